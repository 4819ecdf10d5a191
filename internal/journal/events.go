package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Events is the event log of a run, open for appending. A Journal has one; Reopen makes one for
// `chaos heal`, which goes on where a dead process stopped.
type Events struct {
	now   func() time.Time
	start time.Time // At counts from here
	mask  *Masker

	mu   sync.Mutex
	f    file
	seq  uint64 // of the newest event
	torn bool   // the file ends inside a line: the next event starts a new one
}

// Reopen opens the event log of a run whose process is gone. Event times count from the run's
// Started by the wall clock, as the monotonic clock died with its process.
func Reopen(dir string) (*Events, error) {
	info, err := ReadInfo(dir)
	if err != nil {
		return nil, err
	}
	events, _, err := ReadEvents(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, FileEvents)
	torn, err := endsInsideLine(path)
	if err != nil {
		return nil, fmt.Errorf("opening the event log: %w", err)
	}
	f, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("opening the event log: %w", err)
	}
	e := &Events{now: time.Now, start: info.Started, mask: NewMasker(), f: f, torn: torn}
	for _, ev := range events {
		e.seq = max(e.seq, ev.Seq)
	}
	return e, nil
}

// endsInsideLine reports whether a file is cut inside a line.
func endsInsideLine(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		return false, err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], st.Size()-1); err != nil {
		return false, err
	}
	return last[0] != '\n', nil
}

// Durable says which types of events are on disk before Append returns: those from which heal knows what is
// to be undone.
func Durable(typ string) bool {
	switch typ {
	case EventIntent, EventActive, EventReverted, EventStuck, EventHealed, EventRunEnd:
		return true
	}
	return false
}

// Append writes one event and returns it as written: masked, with Seq, At and Wall filled in. An intent, active,
// reverted, stuck, healed or run.end is on disk when it returns. Safe for concurrent use.
func (l *Events) Append(e Event) (Event, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	e = l.mask.event(e)
	e.Seq, e.At, e.Wall = l.seq+1, now.Sub(l.start), now.UTC()
	line, err := json.Marshal(e)
	if err != nil {
		return e, fmt.Errorf("writing event %s: %w", e.Type, err)
	}
	if l.torn {
		line = append([]byte{'\n'}, line...)
	}
	if _, err := l.f.Write(append(line, '\n')); err != nil {
		l.torn = true
		return e, fmt.Errorf("writing event %s: %w", e.Type, err)
	}
	l.seq, l.torn = e.Seq, false
	if Durable(e.Type) {
		if err := l.f.Sync(); err != nil {
			return e, fmt.Errorf("syncing event %s: %w", e.Type, err)
		}
	}
	return e, nil
}

// Close syncs and closes the log.
func (l *Events) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.f.Sync(), l.f.Close())
}
