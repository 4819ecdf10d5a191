package journal

import (
	"encoding/json"
	"sort"
	"sync"
	"time"

	"chaos/internal/trace"
)

// LoadInfo is what judging must know of a load.
type LoadInfo struct {
	Name     string        `json:"name"`
	Op       string        `json:"op"`
	Node     string        `json:"node"`
	Rate     float64       `json:"rate"` // planned requests per second
	Arrivals string        `json:"arrivals"`
	Timeout  time.Duration `json:"timeout_ns"`       // the client's timeout
	Effect   string        `json:"effect,omitempty"` // what an acknowledged request brings about ("payment"); the invariants follow it
}

// RunInfo is run.json: what the run was, written before anything is started.
type RunInfo struct {
	Schema     int               `json:"schema"` // journal format, see docs/journal.md
	ID         string            `json:"id"`     // 12 hex digits; every key of the run begins with it
	Experiment string            `json:"experiment"`
	Hypothesis string            `json:"hypothesis"`
	Source     string            `json:"source,omitempty"`
	Variant    string            `json:"variant"`
	Profile    string            `json:"profile"`
	Seed       uint64            `json:"seed"`
	Expect     json.RawMessage   `json:"expect"`  // verdict.Expectation
	Command    string            `json:"command"` // repeats this run
	Started    time.Time         `json:"started"` // UTC
	Version    string            `json:"version"`
	Revision   string            `json:"revision,omitempty"`
	Target     string            `json:"target"`                // path of target.yaml, as it was given
	TargetFile string            `json:"target_file,omitempty"` // the same, absolute: heal reads it from any folder
	TargetSum  string            `json:"target_sha256,omitempty"`
	Runtime    string            `json:"runtime"`
	Handle     json.RawMessage   `json:"handle,omitempty"` // what Attach needs in another process
	Owner      Owner             `json:"owner"`
	Watchdog   int               `json:"watchdog,omitempty"` // pid of the process that heals when the owner dies
	Images     map[string]string `json:"images,omitempty"`   // image name → digest or id
	Machine    map[string]string `json:"machine,omitempty"`
	StandIns   []string          `json:"stand_ins,omitempty"` // what served for a program that the machine lacks, in words
	Loads      []LoadInfo        `json:"loads"`
	Phases     map[string]string `json:"phases"`
	Faults     []FaultInfo       `json:"faults,omitempty"`
	Settle     time.Duration     `json:"settle_ns"`                // the deadline for accepted work to settle
	Telemetry  *TelemetryInfo    `json:"telemetry,omitempty"`      // what the target tells of itself; nil in older runs
	Witnesses  []string          `json:"witnesses,omitempty"`      // types of records that the target's audit declares; none: not known
	RecoverMax time.Duration     `json:"recover_max_ns,omitempty"` // the largest max of a recovery_time SLO; window settled starts after it
}

// FaultInfo is one planned fault, for reports.
type FaultInfo struct {
	ID   string          `json:"id"`
	Kind string          `json:"kind"`
	At   time.Duration   `json:"at_ns"` // when it starts, from the start of phase fault
	For  time.Duration   `json:"for_ns"`
	With json.RawMessage `json:"with,omitempty"`

	Victims []string      `json:"victims,omitempty"`  // nodes or edges that the seed picked
	After   string        `json:"after,omitempty"`    // the moment of another fault that it follows; At is then as planned
	Times   int           `json:"times,omitempty"`    // activations, when it has several
	Pause   time.Duration `json:"pause_ns,omitempty"` // between them
	Actions int           `json:"actions,omitempty"`  // planned, over all activations; 0 in older runs: not known
	Undo    string        `json:"undo,omitempty"`
}

// Owner says whose run this is, so that heal never touches another's.
type Owner struct {
	UID     int    `json:"uid"`
	Machine string `json:"machine"`
	Engine  string `json:"engine"`
	PID     int    `json:"pid"`
	PIDTime string `json:"pid_time"` // start time of the process: a recycled pid is not it
	// PIDSpace is the pid namespace in which PID means something; empty where there are none, or not known.
	PIDSpace string `json:"pid_ns,omitempty"`
}

// Window is a half-open interval [From, To) of due times.
type Window struct {
	Name     string
	From, To time.Duration
}

// Empty reports whether the window has no length.
func (w Window) Empty() bool { return w.To <= w.From }

// Contains reports whether at lies in the window.
func (w Window) Contains(at time.Duration) bool { return at >= w.From && at < w.To }

// Len is the window's length.
func (w Window) Len() time.Duration { return max(0, w.To-w.From) }

// History is a run as it was written down: all that judge and report may look at.
type History struct {
	Run      RunInfo
	Events   []Event
	Samples  []Sample // one per request, by Due; a request with only an invoked record is Unknown and Bad
	Readings []Reading
	Audit    []AuditRecord
	Logs     []LogLine
	Lint     map[string]LogLint // by node that target.yaml declares a log schema for
	Spans    []trace.Span       // as they came
	Windows  map[string]Window  // by the names of the experiment language; see windows.go
	Damage   []string           // what could not be read: torn frames, cut lines

	derived *derived // nil: it may still change
}

// derived is what was worked out of a history that does not change any more.
type derived struct {
	mu   sync.Mutex
	byID map[any]any
}

// Freeze promises that samples, readings, audit and logs don't change any more, so that what checks work out of
// them is kept. Read gives frozen histories.
func (h *History) Freeze() { h.derived = &derived{byID: make(map[any]any)} }

// Derive returns what work makes of the history: once for each id where the history is frozen, each time anew where
// it is not. What it returns must not be changed. work must not derive anything itself.
func Derive[T any](h *History, id any, work func(*History) T) T {
	d := h.derived
	if d == nil {
		return work(h)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.byID[id].(T); ok {
		return known
	}
	made := work(h)
	d.byID[id] = made
	return made
}

// Load returns the index of the load called name.
func (h *History) Load(name string) (OpID, bool) {
	for i, l := range h.Run.Loads {
		if l.Name == name {
			return OpID(i), true
		}
	}
	return 0, false
}

// Between returns the samples due in [w.From, w.To), all loads, including replays and
// preparations: use Sample.Windowed. It shares memory with h.Samples.
func (h *History) Between(w Window) []Sample {
	lo := sort.Search(len(h.Samples), func(i int) bool { return h.Samples[i].Due >= w.From })
	hi := lo + sort.Search(len(h.Samples)-lo, func(i int) bool { return h.Samples[lo+i].Due >= w.To })
	return h.Samples[lo:max(lo, hi)]
}

// Find returns the events of one type, in order.
func (h *History) Find(typ string) []Event {
	var found []Event
	for _, e := range h.Events {
		if e.Type == typ {
			found = append(found, e)
		}
	}
	return found
}
