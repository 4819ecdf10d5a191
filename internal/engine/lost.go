package engine

import (
	"errors"
	"time"

	"chaos/internal/edge"
	"chaos/internal/target"
)

// An engine, or a proxy, that does not answer can't undo anything either, and waiting mends nothing: the run
// ends at once, RESIDUE if a fault stays stuck. The watchdog heals when it answers again.
//
//	a fault can't be reverted: no answer ────┐
//	a fault is on, and no answer for 2 s ────┴──▶ heal what answers ─ stop load ─ run.end (no recovery, settle, audit, logs)

// SilentFor is how long an engine must have left at least two questions unanswered, while a fault is on, to end the run.
const SilentFor = 2 * time.Second

// silentEvery is the pause before a question that was not answered is asked again.
const silentEvery = 100 * time.Millisecond

// errLost ends the phases early: nobody would be there to undo the faults.
var errLost = errors.New("the run ends at once, because who undoes its faults does not answer")

// unanswered tells whether err is that of an engine or a proxy that does not answer.
func unanswered(err error) bool {
	return errors.Is(err, target.ErrUnresponsive) || errors.Is(err, edge.ErrNoAnswer)
}

// silence is what an engine does that leaves one question after another unanswered.
type silence struct {
	questions int
	since     time.Duration // when the first of them was asked
}

// after takes in the answer to a question and tells whether the silence lasts too long by now.
func (s *silence) after(err error, asked, now time.Duration) (lost bool) {
	if !errors.Is(err, target.ErrUnresponsive) {
		*s = silence{}
		return false
	}
	if s.questions == 0 {
		s.since = asked
	}
	s.questions++
	return s.questions > 1 && now-s.since >= SilentFor
}
