package judge_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"chaos/internal/check"
	"chaos/internal/check/checktest"
	"chaos/internal/check/invariant"
	"chaos/internal/check/slo"
	"chaos/internal/journal"
	"chaos/internal/judge"
	"chaos/internal/kind"
	"chaos/internal/verdict"
)

// The corpus: each file of testdata describes a run in a few lines and what must be said of it; each
// file of testdata/wrong expects something untrue and names the complaints that the runner must make.
// README.md there lists the words.
func TestCorpus(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) < 20 {
		t.Fatalf("only %d files in the corpus", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			for _, c := range play(t, file).complaints {
				t.Error(c)
			}
		})
	}
}

func TestWrongExpectationsAreReported(t *testing.T) {
	files, _ := filepath.Glob("testdata/wrong/*.txt")
	if len(files) < 5 {
		t.Fatalf("only %d wrong files", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			p := play(t, file)
			if len(p.complains) == 0 {
				t.Fatal("the file names no complaint")
			}
			if len(p.complaints) != len(p.complains) {
				t.Fatalf("%d complaints, want %d: %q", len(p.complaints), len(p.complains), p.complaints)
			}
			for i, want := range p.complains {
				if !strings.Contains(p.complaints[i], want) {
					t.Errorf("complaint %q does not say %q", p.complaints[i], want)
				}
			}
		})
	}
}

// player reads one file. Story and expectations are gathered first, then judged.
type player struct {
	*checktest.Story
	objectives []slo.Objective
	invariants []string
	wants      [][]string
	complains  []string
	complaints []string
}

func play(t *testing.T, file string) *player {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := &player{Story: checktest.NewStory()}
	for n, line := range strings.Split(string(text), "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if err := p.do(words); err != nil {
			t.Fatalf("%s:%d: %v", file, n+1, err)
		}
	}
	if err := p.judge(); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return p
}

func (p *player) do(w []string) error {
	switch w[0] {
	case "want":
		p.wants = append(p.wants, w[1:])
	case "complain":
		p.complains = append(p.complains, strings.Join(w[1:], " "))
	case "variant":
		p.H.Run.Variant = w[1]
	case "expect":
		return p.expect(w[1:])
	case "load":
		return p.load(w[1:])
	case "slo":
		return p.slo(w[1:])
	case "invariant":
		p.invariants = append(p.invariants, w[1])
	case "steady":
		p.Steady()
	case "settle":
		p.Settle()
	case "fault":
		p.Fault(w[1], w[2])
	default:
		return p.corrupt(w)
	}
	return nil
}

// corrupt are the words that spoil a story.
func (p *player) corrupt(w []string) error {
	switch w[0] {
	case "spoil":
		return p.spoil(w[1], w[2], w[3], w[4])
	case "event":
		at, err := time.ParseDuration(w[1])
		if err != nil {
			return err
		}
		p.Event(at, w[2], strings.Trim(w[3], "-"), nil)
		for i := range p.H.Events {
			if e := &p.H.Events[i]; e.At == at && e.Type == w[2] {
				e.Err = strings.Join(w[4:], " ")
			}
		}
	case "state":
		return p.state(w[1:])
	case "remove":
		p.H.Events = slices.DeleteFunc(p.H.Events, func(e journal.Event) bool { return e.Type == w[1] })
	case "numb":
		for i := range p.H.Events {
			if e := &p.H.Events[i]; e.Type == journal.EventMeasured {
				e.Detail, _ = json.Marshal(verdict.Bite{Fault: w[1], Asked: "+1s", Delivered: "0 requests", Why: strings.Join(w[2:], " ")})
			}
		}
	case "canary":
		late, err := strconv.ParseFloat(w[2], 64)
		win := p.H.Windows[w[1]]
		for at := win.From; at < win.To; at += time.Second {
			p.H.Readings = append(p.H.Readings,
				journal.Reading{At: at, Source: journal.SourceCanary, Name: journal.CanaryTicks, Value: 100},
				journal.Reading{At: at, Source: journal.SourceCanary, Name: journal.CanaryLate, Value: late})
		}
		return err
	case "damage":
		p.H.Damage = append(p.H.Damage, strings.Join(w[1:], " "))
	case "drop":
		p.Drop(w[1], 3)
	default:
		return fmt.Errorf("unknown word %q", w[0])
	}
	return nil
}

// state compares what is there with what was there before the fault: at TIME, and each word of the rest
// is a change PLACE=BEFORE/AFTER or PLACE=BEFORE/AFTER/NODE, of which NODE does not run. What follows ! is why
// something could not be seen.
func (p *player) state(w []string) error {
	at, err := time.ParseDuration(w[0])
	c := journal.Comparison{Places: 9}
	words, why, _ := strings.Cut(strings.Join(w[1:], " "), "!")
	for _, word := range strings.Fields(words) {
		place, states, _ := strings.Cut(word, "=")
		s := append(strings.Split(strings.ReplaceAll(states, "_", " "), "/"), "", "")
		c.Changed = append(c.Changed, journal.StateChange{Place: strings.ReplaceAll(place, "_", " "), Before: s[0], After: s[1], Down: s[2]})
	}
	p.Event(10*time.Second, journal.EventStateBefore, "", journal.States{})
	p.Event(at, journal.EventStateAfter, "", c)
	for i := range p.H.Events {
		if e := &p.H.Events[i]; e.Type == journal.EventStateAfter {
			e.Err = strings.TrimSpace(why)
		}
	}
	return err
}

func (p *player) expect(w []string) error {
	var e verdict.Expectation
	if err := e.Status.UnmarshalText([]byte(w[0])); err != nil {
		p.H.Run.Expect = json.RawMessage(w[0]) // something that can't be read
		return nil
	}
	if len(w) > 2 {
		e.Because = strings.Split(w[2], ",")
	}
	p.H.Run.Expect, _ = json.Marshal(e)
	return nil
}

func (p *player) load(w []string) error {
	rate, err := strconv.ParseFloat(w[1], 64)
	l := checktest.ReadLoad(rate)
	if len(w) > 2 {
		l = checktest.PayLoad(rate)
	}
	l.Name = w[0]
	p.H.Run.Loads = append(p.H.Run.Loads, l)
	return err
}

func (p *player) slo(w []string) error {
	o := slo.Objective{Name: w[0], SLI: w[1], Baseline: true}
	for _, setting := range w[2:] {
		name, value, _ := strings.Cut(setting, "=")
		switch name {
		case "target":
			var share kind.Percent
			if err := share.UnmarshalText([]byte(value)); err != nil {
				return err
			}
			o.Target = float64(share)
		case "max":
			o.Max = value
		case "during":
			o.During = strings.Split(value, ",")
		case "baseline":
			o.Baseline = value != "off"
		default:
			return fmt.Errorf("unknown setting %q", setting)
		}
	}
	p.objectives = append(p.objectives, o)
	return nil
}

// spoil changes n (or n %) of a load's requests in a window, evenly spread.
func (p *player) spoil(load, window, amount, how string) error {
	op, ok := p.H.Load(load)
	w, known := p.H.Windows[window]
	if !ok || !known {
		return fmt.Errorf("no load %s or window %s", load, window)
	}
	var picked []*journal.Sample
	for i := range p.H.Samples {
		if x := &p.H.Samples[i]; x.Op == op && w.Contains(x.Due) {
			picked = append(picked, x)
		}
	}
	digits, percent := strings.CutSuffix(amount, "%")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return err
	}
	if percent {
		n = n * len(picked) / 100
	}
	if how == "gone" {
		keep := len(picked) - n
		count := 0
		p.H.Samples = slices.DeleteFunc(p.H.Samples, func(x journal.Sample) bool {
			if x.Op != op || !w.Contains(x.Due) {
				return false
			}
			count++
			return count > keep
		})
		return nil
	}
	for i := range n {
		if !damage(picked[i*len(picked)/n], how) {
			return fmt.Errorf("unknown damage %q", how)
		}
	}
	return nil
}

func damage(x *journal.Sample, how string) bool {
	switch how {
	case "bad":
		x.Class, x.Result, x.Status = journal.Bad, journal.Failed, 500
	case "unknown":
		x.Class, x.Result, x.Status, x.Err = journal.Bad, journal.Unknown, 0, journal.ErrTimeout
	case "slow":
		x.Done = x.Due + 2*time.Second
	case "late":
		x.Sent, x.Done = x.Due+500*time.Millisecond, x.Due+520*time.Millisecond
	case "unsent":
		x.Sent, x.Done, x.Class, x.Result, x.Status, x.Err = 0, 0, journal.Bad, journal.Failed, 0, journal.ErrNotSent
	case "unfinished":
		x.Done, x.Class, x.Result, x.Status = 0, journal.Bad, journal.Unknown, 0
	case "excluded":
		x.Class, x.Status, x.Result = journal.Excluded, 400, journal.Failed
	case "shed":
		x.Class, x.Status, x.Result, x.Flags = journal.Bad, 503, journal.Failed, journal.FlagRetryAfter|journal.FlagShed
	case "replayed":
		x.Err = journal.ErrReplayed
	case "twice":
		x.Attempts = 2
	default:
		return false
	}
	return true
}

// judge judges the story and compares with what is wanted.
func (p *player) judge() error {
	var checks []check.Check
	for _, o := range p.objectives {
		list, err := o.Checks(p.H.Run.Loads)
		if err != nil {
			return fmt.Errorf("%s: %w", o.Name, err)
		}
		checks = append(checks, list...)
	}
	for _, name := range p.invariants {
		c, err := invariant.Table().New(name)
		if err != nil {
			return err
		}
		checks = append(checks, c)
	}
	v := judge.Judge(checks, p.H)
	for _, w := range p.wants {
		rest := strings.Join(w[1:], " ")
		switch w[0] {
		case "status":
			p.expectText("status", v.Status.String(), rest, v.Status.String() == rest, v.Why)
		case "why":
			p.expectText("why", strings.Join(v.Why, " | "), rest, strings.Contains(strings.Join(v.Why, " | "), rest), nil)
		case "first":
			p.expectText("first reason", strings.Join(v.Why, " | "), rest, len(v.Why) > 0 && strings.Contains(v.Why[0], rest), nil)
		case "reasons":
			p.expectText("number of reasons", strconv.Itoa(len(v.Why)), rest, strconv.Itoa(len(v.Why)) == rest, v.Why)
		case "note":
			p.expectText("note", strings.Join(v.Notes, " | "), rest, strings.Contains(strings.Join(v.Notes, " | "), rest), nil)
		case "met":
			p.expectText("met", v.MetWhy, rest, v.Met && strings.Contains(v.MetWhy, rest), nil)
		case "unmet":
			p.expectText("unmet", v.MetWhy, rest, !v.Met && strings.Contains(v.MetWhy, rest), nil)
		case "exit":
			p.expectText("exit", strconv.Itoa(v.ExitCode()), rest, strconv.Itoa(v.ExitCode()) == rest, nil)
		case "finding":
			got := outcomes(v.Findings, w[1], w[2])
			p.expectText("finding "+w[1]+" in "+w[2], got, w[3], got == w[3], nil)
		case "gate":
			_, err := judge.Gate(checks, p.H)
			says := fmt.Sprint(err)
			holds := w[1] == "holds"
			p.expectText("gate", says, rest, holds == (err == nil) && (holds || strings.Contains(says, strings.Join(w[2:], " "))), nil)
		default:
			return fmt.Errorf("unknown want %q", w[0])
		}
	}
	if len(p.wants) == 0 {
		return fmt.Errorf("the file wants nothing")
	}
	return nil
}

func (p *player) expectText(what, got, want string, ok bool, why []string) {
	if !ok {
		p.complaints = append(p.complaints, strings.TrimSpace(fmt.Sprintf("%s is %q, want %q %s", what, got, want, strings.Join(why, "; "))))
	}
}

func outcomes(findings []verdict.Finding, name, window string) string {
	var list []string
	for _, f := range findings {
		if f.Check == name && f.Window == window {
			list = append(list, f.Outcome.String())
		}
	}
	return strings.Join(list, ",")
}
