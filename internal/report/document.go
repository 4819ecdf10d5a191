package report

import (
	"time"

	"chaos/internal/verdict"
)

// Schema names the layout of report.json. A change that breaks a reader gets a new number.
const Schema = "chaos.report/v1"

// Document is one experiment with all its variants: everything that a report shows, computed. Its
// JSON form is report.json. Offsets count from the variant's Origin, the start of its load, so that
// variants can be laid side by side.
type Document struct {
	Schema     string        `json:"schema"`
	Experiment string        `json:"experiment"`
	Headline   string        `json:"headline"` // verdict of each variant in one line
	Hypothesis string        `json:"hypothesis"`
	Source     string        `json:"source,omitempty"`
	Profile    string        `json:"profile,omitempty"`
	Target     string        `json:"target,omitempty"`
	Runtime    string        `json:"runtime,omitempty"`
	Started    time.Time     `json:"started"`     // UTC, of the first variant
	Duration   time.Duration `json:"duration_ns"` // from the start of the first variant to the end of the last
	Seed       uint64        `json:"seed,string"` // a string: JSON numbers end at 2^53
	Command    string        `json:"command"`     // repeats the experiment
	Version    string        `json:"version,omitempty"`
	Revision   string        `json:"revision,omitempty"`
	Exit       int           `json:"exit"` // what the chaos command returns for these variants
	Met        int           `json:"met"`  // variants whose expectation came true
	Notes      []string      `json:"notes,omitempty"`
	Contrasts  []Contrast    `json:"contrasts,omitempty"`
	Variants   []Variant     `json:"variants"`
}

// Variant is one run.
type Variant struct {
	Name        string            `json:"name"`
	Run         string            `json:"run"`
	Status      verdict.Status    `json:"status"`
	Met         bool              `json:"met"`
	MetWhy      string            `json:"met_why,omitempty"`
	Expected    string            `json:"expected"` // "FAIL because payments-available"
	Because     []string          `json:"because,omitempty"`
	Why         []string          `json:"why,omitempty"`
	Exit        int               `json:"exit"`
	Started     time.Time         `json:"started"`
	Duration    time.Duration     `json:"duration_ns"`
	Command     string            `json:"command"`
	Focus       string            `json:"focus,omitempty"` // the load that the first SLO is about
	Phases      []Span            `json:"phases,omitempty"`
	Windows     []Span            `json:"windows,omitempty"`
	Loads       []Load            `json:"loads,omitempty"`
	Faults      []Fault           `json:"faults,omitempty"`
	Findings    []verdict.Finding `json:"findings,omitempty"`
	Honesty     []verdict.Honesty `json:"honesty,omitempty"`
	Canary      []Canary          `json:"canary,omitempty"`
	Moments     []Moment          `json:"moments,omitempty"`
	Impact      Impact            `json:"impact"`
	Telemetry   *Telemetry        `json:"telemetry,omitempty"` // nil when the target tells nothing of itself
	Environment []Pair            `json:"environment,omitempty"`
	Notes       []string          `json:"notes,omitempty"`
	Damage      []string          `json:"damage,omitempty"` // what of the journal could not be read
	FalseFails  float64           `json:"expected_false_fails"`
}

// Span is a named stretch of time, half-open.
type Span struct {
	Name string        `json:"name"`
	From time.Duration `json:"from_ns"`
	To   time.Duration `json:"to_ns"`
}

// Pair is a named value, as the journal has it. People are shown its Words.
type Pair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Load is one stream of requests: its course over time and its totals per window.
type Load struct {
	Name     string        `json:"name"`
	Op       string        `json:"op"`
	Node     string        `json:"node"`
	Rate     float64       `json:"rate"` // planned requests per second
	Arrivals string        `json:"arrivals,omitempty"`
	Timeout  time.Duration `json:"timeout_ns"`
	Effect   string        `json:"effect,omitempty"`
	Step     time.Duration `json:"step_ns"` // length of one point: 1 s, more for runs over maxPoints seconds
	Points   []Point       `json:"points,omitempty"`
	Totals   []Total       `json:"totals,omitempty"`
}

// Point is one Step of a load, by due time. Latencies are Done − Due of all but the excluded
// requests; one that never ended counts as the client's timeout.
type Point struct {
	At       time.Duration `json:"at_ns"`
	Good     int           `json:"good"`
	Bad      int           `json:"bad"`
	Excluded int           `json:"excluded,omitempty"`
	Lost     int           `json:"lost,omitempty"` // of Good: accepted, but no witness has it
	P50      time.Duration `json:"p50_ns"`
	P90      time.Duration `json:"p90_ns"`
	Max      time.Duration `json:"max_ns"`
}

// Judged is how many requests of the point count: good and bad, not excluded.
func (p Point) Judged() int { return p.Good + p.Bad }

// Total is one load in one window.
type Total struct {
	Window   string        `json:"window"`
	Good     int           `json:"good"`
	Bad      int           `json:"bad"`
	Excluded int           `json:"excluded"`
	Lost     int           `json:"lost"`
	P50      time.Duration `json:"p50_ns"`
	P90      time.Duration `json:"p90_ns"`
	P99      time.Duration `json:"p99_ns,omitempty"` // only with minP99 samples: ten lie beyond it
	Max      time.Duration `json:"max_ns"`
	Outcomes []Outcome     `json:"outcomes,omitempty"` // most frequent first
}

// Outcome counts the requests that ended in one way: an HTTP status or a transport error.
type Outcome struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// Fault is one action of one fault: what was asked, what it was seen to do, and how it ended.
type Fault struct {
	ID        string        `json:"id"`     // in the experiment
	Action    string        `json:"action"` // in the journal
	Kind      string        `json:"kind"`
	Place     string        `json:"place,omitempty"`
	State     string        `json:"state"`       // one of the State constants
	At        time.Duration `json:"planned_ns"`  // from the start of phase fault
	For       time.Duration `json:"for_ns"`      // planned length
	From      time.Duration `json:"from_ns"`     // seen active, from Origin
	To        time.Duration `json:"to_ns"`       // start of its revert, or the end of what is known
	Healed    time.Duration `json:"healed_ns"`   // seen gone, from Origin; 0 when never
	Measured  bool          `json:"measured"`    // Asked, Delivered and Bit are known
	Bit       bool          `json:"bit"`         //
	Asked     string        `json:"asked"`       //
	Delivered string        `json:"delivered"`   //
	Why       string        `json:"why"`         // when it did not bite or could not be reverted
	Undo      string        `json:"undo"`        //
	With      []Pair        `json:"with"`        // parameters as planned
	Detail    []Pair        `json:"detail"`      // counters of the bite
	Span      bool          `json:"has_span_ns"` // From and To are known: it was active
}

// The states of a fault, as drawn in package fault.
const (
	StatePlanned  = "planned"
	StateIntended = "intended"
	StateActive   = "active"
	StateReverted = "reverted"
	StateStuck    = "stuck"
)

// Canary is what the harness's own clock saw in one window: 10 ms ticks, and those over 50 ms late.
type Canary struct {
	Window string `json:"window"`
	Ticks  int    `json:"ticks"`
	Late   int    `json:"late"`
}

// Moment is one line of the story of a run.
type Moment struct {
	At   time.Duration `json:"at_ns"` // from Origin; negative before the load
	Wall time.Time     `json:"wall"`  // UTC
	Kind string        `json:"kind"`  // one of the Moment constants
	Text string        `json:"text"`
}

// Kinds of moments.
const (
	MomentHarness = "harness"
	MomentPhase   = "phase"
	MomentFault   = "fault"
	MomentEffect  = "effect" // what the system under test did
	MomentTrouble = "trouble"
)

// Impact is what the incident cost, in exact numbers.
type Impact struct {
	Requests   int           `json:"requests"` // due from the first fault until the load stopped, excluded ones left out
	Bad        int           `json:"bad"`
	BadSeconds int           `json:"bad_seconds"` // seconds with at least one bad request
	FirstBad   time.Duration `json:"first_bad_ns"`
	LastBad    time.Duration `json:"last_bad_ns"`
	Breaches   []Breach      `json:"breaches,omitempty"` // failed invariants
	Worst      *Burn         `json:"worst,omitempty"`    // the SLO that burnt fastest
	Currency   string        `json:"currency,omitempty"`
	Unknown    int           `json:"unknown"`    // outcomes not known when the load stopped
	Unresolved int           `json:"unresolved"` // still not known at the deadline
}

// Breach is one invariant that did not hold.
type Breach struct {
	Check  string `json:"check"`
	Count  int    `json:"count"`
	N      int    `json:"n"`
	Silent *int   `json:"silent,omitempty"`
	Amount int64  `json:"amount"`
}

// Burn is the budget accounting of one SLO in one window.
type Burn struct {
	Check  string         `json:"check"`
	Window string         `json:"window"`
	Budget verdict.Budget `json:"budget"`
}

// Contrast lays what the technical indicators said beside what happened to the business, for a
// variant that lost accepted work without telling anyone.
type Contrast struct {
	Variant   string        `json:"variant"`
	Technical bool          `json:"technical_green"`
	Business  bool          `json:"business_green"`
	Rows      []ContrastRow `json:"rows"`
}

// ContrastRow is one line of a Contrast.
type ContrastRow struct {
	Label     string `json:"label"`
	Technical string `json:"technical"`
	Business  string `json:"business"`
}

// SLOs are the findings about service level objectives, in order.
func (v *Variant) SLOs() []verdict.Finding { return v.kind(kindSLO) }

// Invariants are the findings that are not about SLOs, in order.
func (v *Variant) Invariants() []verdict.Finding { return v.kind(kindInvariant) }

const (
	kindSLO       = "slo"
	kindInvariant = "invariant"
)

func (v *Variant) kind(kind string) []verdict.Finding {
	var found []verdict.Finding
	for _, f := range v.Findings {
		if (f.Kind == kindSLO) == (kind == kindSLO) {
			found = append(found, f)
		}
	}
	return found
}

// FocusLoad is the load that the first screen shows; nil when there is none.
func (v *Variant) FocusLoad() *Load {
	for i := range v.Loads {
		if v.Loads[i].Name == v.Focus {
			return &v.Loads[i]
		}
	}
	return nil
}

// Verdict is the status with what the experiment expected: "FAIL as expected".
func (v *Variant) Verdict() string { return v.Status.String() + " " + v.Expectation() }

// Expectation is "as expected" or "unexpected".
func (v *Variant) Expectation() string {
	if v.Met {
		return "as expected"
	}
	return "unexpected"
}
