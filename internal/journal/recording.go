package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// writer is the one goroutine that takes records out of the ring and writes frames.
type writer struct {
	j                           *Journal
	samples, readings           file
	sampleFrames, readingFrames *framer
	raw                         []byte    // records of the frame that is being filled
	spare                       []Reading // swapped with Journal.waiting
	broken                      bool      // the disk failed: nothing more is written behind a torn frame
}

func (w *writer) run() {
	defer close(w.j.done)
	w.spare = make([]Reading, 0, readingsRoom)
	tick := time.NewTicker(frameEvery)
	defer tick.Stop()
	for {
		select {
		case <-w.j.wake: // the ring fills: empty it, but leave the frame open
			w.drain(w.j.ring.tail.Load())
		case <-tick.C:
			w.everything()
		case reply := <-w.j.flush:
			w.everything()
			close(reply)
		case <-w.j.stop:
			w.everything()
			w.close()
			return
		}
	}
}

// drain moves the records below upto from the ring into frames. Those whose producers are still
// copying are waited for.
func (w *writer) drain(upto uint64) {
	put := func(kind uint8, s *Sample) { w.raw = appendRecord(w.raw, kind, s) }
	for w.j.ring.head < upto {
		if !w.j.ring.pop(put) {
			runtime.Gosched()
		}
		if len(w.raw) >= frameTarget {
			w.frame()
		}
	}
}

// frame closes the frame that is being filled.
func (w *writer) frame() {
	if len(w.raw) == 0 {
		return
	}
	if !w.broken {
		if err := w.sampleFrames.write(w.raw); err != nil {
			w.broken = true
			w.j.fail(fmt.Errorf("writing %s: %w", FileSamples, err))
		}
	}
	w.raw = w.raw[:0]
}

// everything writes all that was recorded before the call.
func (w *writer) everything() {
	w.drain(w.j.ring.tail.Load())
	w.frame()
	w.j.readMu.Lock()
	taken := w.j.waiting
	w.j.waiting, w.spare = w.spare[:0], taken
	w.j.readMu.Unlock()
	if len(taken) == 0 || w.broken {
		return
	}
	var lines []byte
	for i := range taken {
		taken[i].Source, taken[i].Name = w.j.mask.Text(taken[i].Source), w.j.mask.Text(taken[i].Name)
		line, err := json.Marshal(&taken[i])
		if err != nil {
			w.j.fail(fmt.Errorf("writing a reading: %w", err))
			continue
		}
		lines = append(append(lines, line...), '\n')
		if len(lines) >= frameTarget || i == len(taken)-1 {
			if err := w.readingFrames.write(lines); err != nil {
				w.broken = true
				w.j.fail(fmt.Errorf("writing %s: %w", FileReadings, err))
				return
			}
			lines = lines[:0]
		}
	}
}

func (w *writer) close() {
	err := errors.Join(w.samples.Sync(), w.readings.Sync(), w.samples.Close(), w.readings.Close(),
		w.sampleFrames.close(), w.readingFrames.close())
	if err != nil {
		w.j.fail(fmt.Errorf("closing the recording: %w", err))
	}
}
