// Package journal is the memory of a run: events, samples, readings and audit records on disk,
// and the History that judge and report read. Times are monotonic offsets from the start of the
// run; zero values are the pessimistic ones.
package journal

import (
	"encoding/hex"
	"time"
)

// OpID is the index of a load in RunInfo.Loads.
type OpID uint16

// Result says what is known about the effect of a request. The zero value is Unknown: it may have happened.
type Result uint8

// The results of a request.
const (
	Unknown Result = iota // timeout, reset, EOF, 5xx after sending: it may have happened
	OK                    // acknowledged
	Failed                // certainly no effect: refused before a byte was written, 4xx, 429, 503 marked as shed
)

var resultNames = [...]string{"unknown", "ok", "failed"}

// String names the result.
func (r Result) String() string {
	if int(r) < len(resultNames) {
		return resultNames[r]
	}
	return resultNames[Unknown]
}

// Class is how an SLI counts a request. The zero value is Bad.
type Class uint8

// The classes of a request.
const (
	Bad Class = iota
	Good
	Excluded // neither good nor bad: the client's own fault, as listed by the op
)

var classNames = [...]string{"bad", "good", "excluded"}

// String names the class.
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return classNames[Bad]
}

// ErrClass is the kind of transport error, without the text that would make it unbounded.
type ErrClass uint8

// The transport errors a sample can carry.
const (
	ErrNone     ErrClass = iota
	ErrTimeout           // the client's timeout passed
	ErrReset             // connection reset by peer
	ErrEOF               // connection closed before or inside the answer
	ErrRefused           // connection refused: no byte was sent
	ErrNotSent           // the generator never sent it: planned, but no worker took it before the load stopped
	ErrReplayed          // headers were written twice: the transport replayed silently; makes the run ERROR
	ErrCanceled          // the run ended while it was in flight
	ErrOther
)

var errNames = [...]string{"", "timeout", "reset", "eof", "refused", "not sent", "replayed by transport", "canceled", "other"}

// String names the error class; ErrNone is empty.
func (e ErrClass) String() string {
	if int(e) < len(errNames) {
		return errNames[e]
	}
	return "other"
}

// ID is a 16-byte identifier: an idempotency key, a trace id or the target's own id.
type ID [16]byte

// String returns 32 lower-case hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Zero reports whether the id was never set.
func (id ID) Zero() bool { return id == ID{} }

// Flags are facts about a sample that an SLI may ask for.
type Flags uint8

// The flags of a sample.
const (
	FlagReplay     Flags = 1 << iota // sent again after the load, with the same key, to resolve an Unknown; belongs to no window
	FlagPrepare                      // made by warm-up so that other loads have ids to work on; belongs to no window
	FlagRetryAfter                   // the answer had a Retry-After header
	FlagShed                         // the answer was marked as shed: no effect by contract
)

// Sample is one request. It is written twice: once before it is sent (Invoked: Seq, Op, Due, Sent,
// Key, Trace, Amount, Flags) and once when it ended (Completed: Seq, Op, Sent, Done, Ref, Status,
// Result, Class, Err, Attempts, Flags, State). The two halves are matched by Op, Seq and the flags Replay
// and Prepare.
type Sample struct {
	Seq      uint64        // counts up per load, from 0
	Due      time.Duration // when the schedule wanted it sent
	Sent     time.Duration // when it was handed to the transport; 0 = never sent
	Done     time.Duration // when the last byte of the answer was read or it failed; 0 = never
	Op       OpID
	Key      ID // idempotency key
	Trace    ID // W3C trace id
	Ref      ID // the target's id from the answer (a UUID); zero when there was none
	Amount   int64
	Status   uint16 // HTTP status; 0 = no answer
	Result   Result
	Class    Class
	Err      ErrClass
	Attempts uint8 // times that request headers were written; more than 1 is a silent replay
	Flags    Flags
	State    string // the state that the answer told, where the op says which field it is in; at most StateLen bytes are kept
}

// Latency is Done − Due: measured from when the request was due, not from when a busy generator got
// round to it. ok is false when the request never finished.
func (s *Sample) Latency() (d time.Duration, ok bool) {
	if s.Done == 0 {
		return 0, false
	}
	return s.Done - s.Due, true
}

// Windowed reports whether the sample can belong to a window: replays and preparations don't.
func (s *Sample) Windowed() bool { return s.Flags&(FlagReplay|FlagPrepare) == 0 }

// Recorder takes samples while the load runs. Both calls never block and never allocate; a full
// ring makes the run ERROR ("recorder overflow") instead of slowing the generator.
type Recorder interface {
	// Now is the offset from the start of the run.
	Now() time.Duration
	// Invoked is called before a request is sent.
	Invoked(s *Sample)
	// Completed is called once per invoked sample, when it ended.
	Completed(s *Sample)
	// Read appends a measurement of the harness itself, such as the canary's.
	Read(r Reading)
}

// Counts is what a guard sees of one load over its sliding window.
type Counts struct {
	Good, Bad, Excluded int
	Overdue             int // sent, unfinished and older than OverdueAfter: a black hole completes nothing
}

// OverdueAfter is the age, since due, from which an unfinished request counts as bad for a guard.
const OverdueAfter = time.Second

// Live answers guards about the last seconds.
type Live interface {
	// Since counts the requests of one load that were due in the last d.
	Since(d time.Duration, op OpID) Counts
}
