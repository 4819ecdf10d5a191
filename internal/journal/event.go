package journal

import (
	"encoding/json"
	"strings"
	"time"
)

// Event is one fact of a run, appended to events.ndjson and fsynced when Type is an intent.
type Event struct {
	Seq     uint64          `json:"seq"`
	At      time.Duration   `json:"at_ns"` // offset from the start of the run
	Wall    time.Time       `json:"wall"`  // UTC, for postmortems
	Type    string          `json:"type"`
	Phase   string          `json:"phase,omitempty"`
	Action  string          `json:"action,omitempty"`  // fault action id, for the fault events
	Subject string          `json:"subject,omitempty"` // what any other event is about: a guard's text, a node, an audit source
	Detail  json.RawMessage `json:"detail,omitempty"`
	Err     string          `json:"err,omitempty"`
}

// Types of events.
const (
	EventRunStart    = "run.start"
	EventSystemReady = "system.ready" // the target is up or reset and ready; Detail: Took
	EventPhase       = "phase"        // Phase begins
	EventLoadStart   = "load.start"
	EventLoadStop    = "load.stop"
	EventGap         = "gap"      // the last second of phase baseline begins
	EventBaseline    = "baseline" // Detail: findings of the gate; Err set when it did not hold
	EventIntent      = "intent"   // Detail: the Action as it will be undone; on disk before the fault is made
	EventActive      = "active"   // the fault was seen to be there
	EventHeld        = "held"     // an action of a fault that takes its places in turn was not made; Err says why its turn did not come
	EventMeasured    = "measured" // Detail: verdict.Bite
	EventReverting   = "reverting"
	EventReverted    = "reverted" // the fault was seen to be gone
	EventStuck       = "stuck"    // it could not be reverted; Err says why; a later reverted wins
	EventGuard       = "guard"    // a guard's decision; Err set when it was a breach
	EventNodeDied    = "node.died"
	EventInterrupted = "interrupted"
	EventResolved    = "resolved"    // outcome of replaying unknowns; Detail: Resolution
	EventSettled     = "settled"     // the target's settled query held; Err set when the deadline passed
	EventAudit       = "audit"       // Detail: counts per source; Err set when a source could not be read
	EventDown        = "system.down" // the target was removed after the last run on it; Detail: Took
	EventError       = "error"       // the harness failed; Err says how
	EventHealed      = "healed"      // by `chaos heal`, in another process
	EventRunEnd      = "run.end"     // the run came to its end by itself

	EventTelemetry = "telemetry" // what was received and lost of spans and metrics; Detail: Telemetry; Err: what went wrong on the way

	EventStateBefore = "state.before" // Detail: States, of every place that a fault can change; Err says what could not be seen
	EventStateAfter  = "state.after"  // after the last heal; Detail: Comparison with state.before; Err says what could not be seen
)

// States is the Detail of EventStateBefore: place → state, in words.
type States map[string]string

// Comparison is the Detail of EventStateAfter.
type Comparison struct {
	Places  int           `json:"places"`            // that were seen before the first fault
	Changed []StateChange `json:"changed,omitempty"` // the others are as they were before
}

// StateChange is a place that is not as it was before the faults.
type StateChange struct {
	Place  string `json:"place"`
	Before string `json:"before"`
	After  string `json:"after"`
	// Down is the node that does not run and without which the place can't be as it was: the node itself, for
	// an edge the proxy. Empty when that node runs.
	Down string `json:"down,omitempty"`
}

// Words of a state in a StateChange that no runtime says itself.
const (
	StateAbsent = "not there"
	StateUnseen = "can't be seen"
)

// Unexplained are the changes that no node's own death explains: what was left.
func (c Comparison) Unexplained(events []Event) (left []StateChange) {
	died := make(map[string]bool)
	for _, e := range events {
		if e.Type == EventNodeDied {
			died[e.Subject] = true
		}
	}
	for _, change := range c.Changed {
		if change.Down == "" || !died[change.Down] {
			left = append(left, change)
		}
	}
	return left
}

// On tells whether a fault at place can have changed what the change is about: "node:x limits" is of "node:x".
func (c StateChange) On(place string) bool {
	return c.Place == place || strings.HasPrefix(c.Place, place+" ")
}

// Took is the Detail of EventSystemReady and EventDown.
type Took struct {
	How    string  `json:"how"` // start, reset or down
	TookMS float64 `json:"took_ms"`
}

// Resolution is the Detail of EventResolved.
type Resolution struct {
	Unknown    int `json:"unknown"`    // outcomes that were not known when the load stopped
	Resolved   int `json:"resolved"`   // of these, known after replaying the same key
	Unresolved int `json:"unresolved"` // still not known at the deadline
}

// Reading is a measurement that is not a request: the canary, the generator's own CPU, a probe.
type Reading struct {
	At     time.Duration `json:"at_ns"`
	Source string        `json:"source"` // "canary", "proxy:<edge>", "node:<name>"
	Name   string        `json:"name"`   // "ticks", "late", "cpu_seconds"
	Value  float64       `json:"value"`
}

// The canary's readings: how many 10 ms ticks the last second had, and how many came more than
// 50 ms late.
const (
	SourceCanary = "canary"
	CanaryTicks  = "ticks"
	CanaryLate   = "late"
)

// AuditRecord is one row of what an independent witness says after the load: a payment, a ledger
// entry, a charge in the processor's settlement. Targets answer these as NDJSON (docs/target.md).
type AuditRecord struct {
	Source   string    `json:"source"` // the audit query's name in target.yaml
	Type     string    `json:"type"`   // payment, ledger, charge, refund
	Key      string    `json:"key,omitempty"`
	ID       string    `json:"id,omitempty"`
	Ref      string    `json:"ref,omitempty"`
	Txn      string    `json:"txn,omitempty"`
	Account  string    `json:"account,omitempty"`
	State    string    `json:"state,omitempty"`
	Amount   int64     `json:"amount_minor,omitempty"`
	Currency string    `json:"currency,omitempty"`
	Trace    string    `json:"trace_id,omitempty"`
	At       time.Time `json:"at,omitzero"`
}

// LogLine is the little of a node's log that judging needs: who said what how loud about which trace.
type LogLine struct {
	Node  string `json:"node"`
	Level string `json:"level"`
	Trace string `json:"trace_id,omitempty"`
	Key   string `json:"op_id,omitempty"`
	Msg   string `json:"msg,omitempty"`

	Span   Loose `json:"span_id,omitempty"`
	Reason Loose `json:"reason,omitempty"`
	TS     Loose `json:"ts,omitempty"` // RFC 3339, under either name
	Time   Loose `json:"time,omitempty"`
}

// Loose is a text that may also be written as a number or anything else: a node logs as it likes.
type Loose string

// UnmarshalJSON takes whatever is there.
func (l *Loose) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	*l = Loose(text)
	return nil
}
