package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"chaos/internal/edge"
	"chaos/internal/target"
)

// An engine, or a proxy, that does not answer can't undo anything either, and waiting mends nothing: the run
// ends at once, RESIDUE if a fault stays stuck. The watchdog heals when it answers again.
//
//	a fault can't be reverted: no answer ────┐
//	a fault is on, and no answer for 2 s ────┴──▶ heal what answers ─ stop load ─ run.end (no recovery, settle, audit, logs)
//
// That it does not answer takes two questions, since one may be lost or hard. The second one is asked while the first
// one waits, and is the easiest that there is: an engine that answers it is busy, not silent.
//
//	0 s  which nodes died? ───────────────── no answer ──┐
//	            1 s  do you answer? ───────── no answer ──┴──▶ 2 s: silent

// SilentFor is how long an engine must have left at least two questions unanswered, while a fault is on, to end the run.
const SilentFor = 2 * time.Second

const (
	// doubtAfter is how long the first question waits before the second one is asked.
	doubtAfter = SilentFor / 2
	// silentEvery is the pause before an engine is asked again that refused to answer.
	silentEvery = 100 * time.Millisecond
)

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

// listen asks the system a question each second, until ctx ends. When it stays silent while a fault is on, lost is told
// why, and nothing more is asked.
func (l *ledger) listen(ctx context.Context, question func(context.Context) error, lost func(error)) {
	t := time.NewTicker(DeathsEvery)
	defer t.Stop()
	var silent silence
	for {
		if silent.questions == 0 {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		} else if !pause(ctx, silentEvery) {
			return
		}
		asked := l.book.Now()
		first, second := l.ask(ctx, question)
		over := silent.after(first, asked, l.book.Now())
		if silent.questions > 0 && second != nil {
			over = silent.after(second.err, asked, l.book.Now())
		}
		if over && ctx.Err() == nil && len(l.under()) > 0 {
			words, _, _ := strings.Cut(first.Error(), "\n") // the other nodes could not be asked about either
			lost(fmt.Errorf("%w: %s", errLost, words))
			return
		}
	}
}

// answer is what came of a question that was asked.
type answer struct{ err error }

// ask asks a question and, when there is no answer for doubtAfter, whether the system answers at all. It returns when
// both have an answer or were given up. second is nil when it was not asked.
func (l *ledger) ask(ctx context.Context, question func(context.Context) error) (first error, second *answer) {
	asked := make(chan error, 1)
	go func() { asked <- safely(func() error { return question(ctx) }) }()
	doubt := time.NewTimer(doubtAfter)
	defer doubt.Stop()
	select {
	case first = <-asked:
		if !errors.Is(first, target.ErrUnresponsive) {
			return first, nil
		}
		asked <- first
	case <-doubt.C:
	}
	if a, ok := l.sys.(target.Answering); ok {
		second = &answer{safely(func() error { return a.Answers(ctx) })}
	}
	return <-asked, second
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
