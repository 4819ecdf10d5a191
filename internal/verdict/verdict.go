// Package verdict holds the words in which the harness speaks about what it saw: the
// three-valued Outcome of one check, the Status of one run, and whether an expectation
// came true. It imports nothing of the project, so that every layer can use it.
package verdict

import (
	"encoding/json"
	"fmt"
	"time"
)

// Outcome is what one check says. Its zero value is Inconclusive, so that a forgotten
// assignment is never a pass.
type Outcome uint8

// The outcomes of a check.
const (
	Inconclusive Outcome = iota // not enough evidence to say either
	Pass                        // the evidence supports it
	Fail                        // the evidence refutes it
)

var outcomeNames = [...]string{"Inconclusive", "Pass", "Fail"}

// String returns the outcome's name as it appears in reports and JSON.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return outcomeNames[Inconclusive]
}

// MarshalText writes the outcome's name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads a name written by MarshalText; any other text is an error.
func (o *Outcome) UnmarshalText(text []byte) error {
	for i, name := range outcomeNames {
		if name == string(text) {
			*o = Outcome(i)
			return nil
		}
	}
	return fmt.Errorf("unknown outcome %q", text)
}

// Evidence is one concrete witness of a finding, so that a reader can follow a single
// payment through logs and traces.
type Evidence struct {
	Key    string `json:"key,omitempty"`    // the client's idempotency key
	Ref    string `json:"ref,omitempty"`    // the target's own id, such as a payment id
	Trace  string `json:"trace,omitempty"`  // W3C trace id, 32 hex digits
	Amount int64  `json:"amount,omitempty"` // minor units of the currency
	Note   string `json:"note,omitempty"`   // what is wrong with this one
}

// Budget is the error-budget accounting of one SLO in one window. It counts, it infers nothing.
type Budget struct {
	Allowed  float64 `json:"allowed"`   // bad events that the target allows among N: (1−T)·n
	Used     float64 `json:"used"`      // bad events seen
	BurnRate float64 `json:"burn_rate"` // error rate ÷ (1−T); 1 = exactly on budget
	Share1h  float64 `json:"share_1h"`  // share of a 30-day budget used if this lasted 1 h (1 = all of it)
	Share6h  float64 `json:"share_6h"`  // the same for 6 h
}

// Finding is what one check found in one window.
type Finding struct {
	Check     string     `json:"check"`            // the SLO's or invariant's name
	Kind      string     `json:"kind"`             // "slo", "invariant" or "telemetry"
	Window    string     `json:"window,omitempty"` // the history's window it was judged on
	Load      string     `json:"load,omitempty"`   // the load that an SLO is about
	SLI       string     `json:"sli,omitempty"`    // the indicator's text, as written in the experiment
	Want      string     `json:"want"`             // the objective in words: "≥ 99.9 %"
	Got       string     `json:"got"`              // what was seen in words: "99.94 %"
	Outcome   Outcome    `json:"outcome"`          //
	N         int        `json:"n"`                // events judged
	Bad       int        `json:"bad"`              // of these, bad ones
	Need      int        `json:"need,omitempty"`   // planned events that a Pass needs
	Short     bool       `json:"short,omitempty"`  // there were fewer, so it can't Pass
	Alpha     float64    `json:"alpha,omitempty"`  // chance of a false Fail that the test accepts
	Bound     string     `json:"bound,omitempty"`  // the confidence bound that decided, in words
	Certified bool       `json:"certified,omitempty"`
	Latency   bool       `json:"latency,omitempty"` // depends on time measured by a possibly busy machine
	Why       string     `json:"why,omitempty"`     // one sentence: why this outcome
	Count     int        `json:"count,omitempty"`   // how many offend; Evidence may be cut
	Silent    *int       `json:"silent,omitempty"`  // of Count, those nobody was told about (lost payments)
	Amount    int64      `json:"amount,omitempty"`  // money concerned, minor units
	Budget    *Budget    `json:"budget,omitempty"`
	Evidence  []Evidence `json:"evidence,omitempty"`
}

// Status is the verdict of one run of one variant. Its zero value is Error.
type Status uint8

// The verdicts of a run.
const (
	ERROR        Status = iota // the harness failed
	PASS                       // every check passed, on evidence that can be trusted
	FAIL                       // at least one check failed
	INCONCLUSIVE               // none failed, at least one could not decide
	INVALID                    // the run proves nothing: broken baseline, a fault that did not bite, a late generator
	ABORTED                    // a guard stopped it
	RESIDUE                    // something of the fault is left and is named
)

var statusNames = [...]string{"ERROR", "PASS", "FAIL", "INCONCLUSIVE", "INVALID", "ABORTED", "RESIDUE"}

// String returns the status as printed.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return statusNames[ERROR]
}

// MarshalText writes the status as printed.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a status written by MarshalText; any other text is an error.
func (s *Status) UnmarshalText(text []byte) error {
	for i, name := range statusNames {
		if name == string(text) {
			*s = Status(i)
			return nil
		}
	}
	return fmt.Errorf("unknown status %q", text)
}

// Expectation is what an experiment says a variant will do.
type Expectation struct {
	Status  Status   `json:"status"`            // PASS, FAIL, INVALID or ABORTED
	Because []string `json:"because,omitempty"` // for FAIL: the checks that must all Fail
}

// Bite is what one fault did, as measured before it was reverted.
type Bite struct {
	Fault     string          `json:"fault"` // the fault's id in the experiment
	Action    string          `json:"action"`
	Kind      string          `json:"kind"`
	Place     string          `json:"place"`
	Asked     string          `json:"asked"`
	Delivered string          `json:"delivered"`
	Bit       bool            `json:"bit"`           // false = it did not bite: the run is INVALID
	Why       string          `json:"why,omitempty"` // when it did not bite
	Active    time.Duration   `json:"active_ns"`     // from active to start of revert
	Detail    json.RawMessage `json:"detail,omitempty"`
}

// Honesty is what is known about the load generator in one window, per load.
type Honesty struct {
	Window    string        `json:"window"`
	Load      string        `json:"load"`
	Planned   int           `json:"planned"`
	Sent      int           `json:"sent"`
	Late      int           `json:"late"` // sent more than 50 ms after due
	WorstLate time.Duration `json:"worst_late_ns"`
}

// Verdict is the judgement of one run: a pure function of its journal.
type Verdict struct {
	Run        string      `json:"run"`
	Experiment string      `json:"experiment"`
	Variant    string      `json:"variant"`
	Status     Status      `json:"status"`
	Why        []string    `json:"why,omitempty"` // reasons, most important first
	Expect     Expectation `json:"expect"`
	Met        bool        `json:"met"` // the expectation came true
	MetWhy     string      `json:"met_why,omitempty"`
	Findings   []Finding   `json:"findings"`
	Bites      []Bite      `json:"bites,omitempty"`
	Honesty    []Honesty   `json:"honesty,omitempty"`
	Notes      []string    `json:"notes,omitempty"` // e.g. "machine too busy", foreign records, dropped frames
	FalseFails float64     `json:"expected_false_fails"`
}
