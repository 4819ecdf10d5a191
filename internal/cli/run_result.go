package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"chaos/internal/catalog"
	"chaos/internal/engine"
	"chaos/internal/journal"
	"chaos/internal/judge"
	"chaos/internal/report"
	"chaos/internal/report/text"
	"chaos/internal/verdict"
)

// Files of a run's folder that are not the journal's.
const (
	experimentFile = "experiment.yaml"
	verdictFile    = "verdict.json"
)

// gate is the baseline gate of a plan: the same checks that judge uses, on the same history.
func gate(plan *engine.Plan) func(*journal.History) ([]verdict.Finding, error) {
	return func(h *journal.History) ([]verdict.Finding, error) { return judge.Gate(plan.Checks, h) }
}

// judged judges a run as it was written down.
func (c *campaign) judged(plan *engine.Plan, h *journal.History) report.Run {
	return report.Run{History: h, Verdict: judge.Judge(plan.Checks, h)}
}

// outcome is a line of chaos run --json.
type outcome struct {
	Experiment string         `json:"experiment"`
	Variant    string         `json:"variant"`
	Profile    string         `json:"profile"`
	Status     verdict.Status `json:"status"`
	Expected   verdict.Status `json:"expected"`
	Met        bool           `json:"met"`
	Why        string         `json:"why"`
	Seconds    float64        `json:"seconds"`
	Dir        string         `json:"dir"`
}

// published is the experiment whose reports were written last.
type published struct {
	dir  string
	runs []report.Run
}

// publish writes verdict.json and every report of one experiment, and says the result on stdout.
func (c *campaign) publish(dir string, runs []report.Run, seconds []float64) error {
	if len(runs) == 0 {
		return nil
	}
	c.last = published{dir, runs}
	doc := report.Build(runs)
	errs := []error{writeVerdicts(dir, runs), report.Write(dir, doc, catalog.Formats())}
	if c.json {
		for i, r := range runs {
			line, err := json.Marshal(outcome{
				Experiment: r.Verdict.Experiment, Variant: r.Verdict.Variant, Profile: r.History.Run.Profile, Status: r.Verdict.Status,
				Expected: r.Verdict.Expect.Status, Met: r.Verdict.Met, Why: r.Verdict.MetWhy, Seconds: seconds[i], Dir: c.short(dir),
			})
			if err == nil {
				_, err = fmt.Fprintf(c.Stdout, "%s\n", line)
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
	errs = append(errs, text.Write(c.Stdout, doc))
	fmt.Fprintf(c.Stdout, "report: %s\n\n", c.short(filepath.Join(dir, "report.html")))
	return errors.Join(errs...)
}

// writeVerdicts writes verdict.json: one verdict a variant.
func writeVerdicts(dir string, runs []report.Run) error {
	verdicts := make([]verdict.Verdict, len(runs))
	for i, r := range runs {
		verdicts[i] = r.Verdict
	}
	doc, err := json.MarshalIndent(verdicts, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the verdicts: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, verdictFile), append(doc, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the verdicts: %w", err)
	}
	return nil
}
