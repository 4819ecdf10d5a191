// Command soak runs the experiments again and again and prints the table of docs/reliability.md:
// per experiment and variant, how often the verdict was the expected one. It exits 1 when one was not.
// Ctrl-C ends it after the round that is under way; the table then tells of the rounds so far.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// result is a line of `chaos run --json`.
type result struct {
	Experiment string  `json:"experiment"`
	Variant    string  `json:"variant"`
	Status     string  `json:"status"`
	Expected   string  `json:"expected"`
	Met        bool    `json:"met"`
	Seconds    float64 `json:"seconds"`
	Dir        string  `json:"dir"`
}

// row is what the soak saw of one variant.
type row struct {
	name     string
	expected string
	runs     int
	met      int
	other    []string // "FAIL (reports/…)" for each unexpected verdict
}

func main() {
	chaos := flag.String("chaos", "bin/chaos", "the chaos binary")
	runs := flag.Int("runs", 20, "how many rounds")
	profile := flag.String("profile", "quick", "profile")
	where := flag.String("runtime", "auto", "runtime")
	flag.Parse()
	enough, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	command := []string{*chaos, "run", "--json", "--profile", *profile, "--runtime", *where}
	if err := soak(enough, append(command, flag.Args()...), *runs); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func soak(enough context.Context, command []string, runs int) error {
	var rows []*row
	var took []time.Duration
	unexpected := 0
	for i := 0; i < runs; i++ {
		began := time.Now()
		results, err := round(command)
		took = append(took, time.Since(began).Round(time.Second))
		if err != nil {
			return fmt.Errorf("round %d: %w", i+1, err)
		}
		for _, r := range results {
			rows = add(rows, r)
			if !r.Met {
				unexpected++
			}
		}
		if enough.Err() != nil {
			runs = i + 1
		}
		fmt.Fprintf(os.Stderr, "round %d of %d: %v, %d unexpected verdicts so far\n", i+1, runs, took[i], unexpected)
	}
	table(rows, took)
	if unexpected > 0 {
		return fmt.Errorf("%d unexpected verdicts", unexpected)
	}
	return nil
}

// round is one `make chaos`. Exit codes 1, 2 and 4 are verdicts; the rest is a failure of the harness.
func round(command []string) ([]result, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the soak, not for the round
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && slices.Contains([]int{1, 2, 4}, exit.ExitCode()) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	var results []result
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	for lines.Scan() {
		var r result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("reading %q: %w", lines.Text(), err)
		}
		results = append(results, r)
	}
	if len(results) == 0 {
		return nil, errors.New("it printed no verdict")
	}
	return results, nil
}

func add(rows []*row, r result) []*row {
	name := r.Experiment + " / " + r.Variant
	i := slices.IndexFunc(rows, func(x *row) bool { return x.name == name })
	if i < 0 {
		rows = append(rows, &row{name: name, expected: r.Expected})
		i = len(rows) - 1
	}
	rows[i].runs++
	if r.Met {
		rows[i].met++
	} else {
		rows[i].other = append(rows[i].other, fmt.Sprintf("%s (%s)", r.Status, r.Dir))
	}
	return rows
}

func table(rows []*row, took []time.Duration) {
	fmt.Println("| experiment / variant | expected | runs | as expected | otherwise |")
	fmt.Println("|---|---|---|---|---|")
	for _, r := range rows {
		fmt.Printf("| %s | %s | %d | %d | %s |\n", r.name, r.expected, r.runs, r.met, strings.Join(r.other, ", "))
	}
	slices.Sort(took)
	fmt.Printf("\nRounds: %d; each took %v (min), %v (median), %v (max).\n", len(took), took[0], took[len(took)/2], took[len(took)-1])
}
