package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	frameEvery   = time.Second // a frame is closed this often: what kill -9 can take away
	readingsRoom = 32_768      // readings that wait for the writer at most
)

// The errors that make a run ERROR because its recording can't be trusted.
var (
	ErrOverflow = errors.New("recorder overflow: more samples than the writer could take")
	ErrClosed   = errors.New("recorder used after close")
)

// Options are for tests; the zero value is what a run uses.
type Options struct {
	Now  func() time.Time // clock; default time.Now
	Ring int              // records that wait for the writer at most; default 65,536

	open func(path string) (file, error)
}

// Journal writes one run down. It implements Recorder and Live.
//
//	Invoked, Completed ─▶ ring ─┐
//	                            ├─▶ writer ─▶ a frame each second or MiB ─▶ samples.zst, readings
//	Read ─▶ waiting readings ───┘
//	Append ─▶ events.ndjson (fsync for what heal needs)
//
// All methods are safe for concurrent use. Its first error sticks (Err, Failed) and makes the run ERROR.
type Journal struct {
	events *Events
	dir    string
	opts   Options
	ring   *ring
	live   *live
	mask   *Masker

	infoMu sync.Mutex
	info   RunInfo

	readMu  sync.Mutex
	waiting []Reading

	spans spanWriter

	wake   chan struct{}
	flush  chan chan struct{}
	stop   chan struct{}
	done   chan struct{}
	closed atomic.Bool
	once   sync.Once

	failMu sync.Mutex
	err    error
	failed chan struct{}
}

// Create makes dir with run.json in it and starts recording; the run's clock starts now. A zero
// info.Started and info.Schema are filled in. A run that is there already is an error.
func Create(dir string, info RunInfo, o Options) (*Journal, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.open == nil {
		o.open = openFile
	}
	if o.Ring == 0 {
		o.Ring = ringSize
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the run's folder: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, FileRun)); err == nil {
		return nil, fmt.Errorf("making the run's folder: %s holds a run already", dir)
	}
	start := o.Now()
	info.Schema = Schema
	if info.Started.IsZero() {
		info.Started = start.UTC()
	}
	j := &Journal{
		dir: dir, opts: o, info: info,
		ring: newRing(o.Ring), live: newLive(len(info.Loads)), mask: NewMasker(),
		waiting: make([]Reading, 0, readingsRoom),
		wake:    make(chan struct{}, 1), flush: make(chan chan struct{}),
		stop: make(chan struct{}), done: make(chan struct{}), failed: make(chan struct{}),
	}
	if err := j.open(start); err != nil {
		return nil, err
	}
	return j, nil
}

// open creates the files and starts the writer.
func (j *Journal) open(start time.Time) (err error) {
	var opened []file
	defer func() {
		for _, f := range opened {
			if err != nil {
				err = errors.Join(err, f.Close())
			}
		}
	}()
	open := func(name string) (f file) {
		if err != nil {
			return nil
		}
		if f, err = j.opts.open(filepath.Join(j.dir, name)); err != nil {
			err = fmt.Errorf("opening %s: %w", name, err)
			return nil
		}
		opened = append(opened, f)
		return f
	}
	if err = writeInfo(j.dir, j.mask.info(j.info), j.opts.open); err != nil {
		return err
	}
	events, samples, readings := open(FileEvents), open(FileSamples), open(FileReadings)
	if err != nil {
		return err
	}
	j.events = &Events{now: j.opts.Now, start: start, mask: j.mask, f: events}
	w := &writer{j: j, samples: samples, readings: readings, raw: make([]byte, 0, frameTarget+invokedLen)}
	if w.sampleFrames, err = newFramer(samples, contentSmpl); err != nil {
		return err
	}
	if w.readingFrames, err = newFramer(readings, contentRdngs); err != nil {
		return err
	}
	if err = syncDir(j.dir); err != nil {
		return fmt.Errorf("syncing the run's folder: %w", err)
	}
	go w.run()
	return nil
}

// Dir is the run's folder.
func (j *Journal) Dir() string { return j.dir }

// Start is the moment from which offsets count.
func (j *Journal) Start() time.Time { return j.events.start }

// Now is the offset from the start of the run.
func (j *Journal) Now() time.Duration { return j.opts.Now().Sub(j.events.start) }

// Err returns the first error of the recording, or nil.
func (j *Journal) Err() error {
	j.failMu.Lock()
	defer j.failMu.Unlock()
	return j.err
}

// Failed is closed at the first error of the recording.
func (j *Journal) Failed() <-chan struct{} { return j.failed }

// fail keeps the first error.
func (j *Journal) fail(err error) {
	j.failMu.Lock()
	defer j.failMu.Unlock()
	if err != nil && j.err == nil {
		j.err = err
		close(j.failed)
	}
}

// Invoked implements Recorder.
func (j *Journal) Invoked(s *Sample) {
	j.live.invoked(s)
	j.push(recInvoked, s)
}

// Completed implements Recorder.
func (j *Journal) Completed(s *Sample) {
	j.live.completed(s)
	j.push(recCompleted, s)
}

func (j *Journal) push(kind uint8, s *Sample) {
	pos, ok := j.ring.push(kind, s)
	switch {
	case j.closed.Load():
		j.fail(ErrClosed)
	case !ok:
		j.fail(ErrOverflow)
	case pos&(j.ring.mask>>2) == 0: // each quarter of the ring
		select {
		case j.wake <- struct{}{}:
		default:
		}
	}
}

// Read implements Recorder.
func (j *Journal) Read(r Reading) {
	j.readMu.Lock()
	defer j.readMu.Unlock()
	switch {
	case math.IsNaN(r.Value) || math.IsInf(r.Value, 0):
		j.fail(fmt.Errorf("reading %s of %s is %v", r.Name, r.Source, r.Value))
	case j.closed.Load():
		j.fail(ErrClosed)
	case len(j.waiting) == cap(j.waiting):
		j.fail(ErrOverflow)
	default:
		j.waiting = append(j.waiting, r)
	}
}

// Observe takes readings that a target told, and returns how many: those for which there is no room are left
// out. Losing them is told, not fatal, unlike what Read takes.
func (j *Journal) Observe(readings []Reading) (kept int) {
	j.readMu.Lock()
	defer j.readMu.Unlock()
	if j.closed.Load() {
		return 0
	}
	for _, r := range readings {
		if len(j.waiting) >= cap(j.waiting)/2 { // the other half is for the harness's own
			break
		}
		if !math.IsNaN(r.Value) && !math.IsInf(r.Value, 0) {
			j.waiting = append(j.waiting, r)
		}
		kept++
	}
	return kept
}

// Since implements Live, to 100 ms.
func (j *Journal) Since(d time.Duration, op OpID) Counts { return j.live.since(j.Now(), d, op) }

// Append writes one event; see Events.Append. An error also makes the run fail.
func (j *Journal) Append(e Event) (Event, error) {
	e, err := j.events.Append(e)
	j.fail(err)
	return e, err
}

// Info returns run.json as it is now.
func (j *Journal) Info() RunInfo {
	j.infoMu.Lock()
	defer j.infoMu.Unlock()
	return j.info
}

// UpdateInfo changes run.json; a reader sees the old one or the new one.
func (j *Journal) UpdateInfo(change func(*RunInfo)) error {
	j.infoMu.Lock()
	defer j.infoMu.Unlock()
	change(&j.info)
	err := writeInfo(j.dir, j.mask.info(j.info), j.opts.open)
	j.fail(err)
	return err
}

// WriteAudit writes audit.ndjson, replacing what an earlier call wrote.
func (j *Journal) WriteAudit(records []AuditRecord) error {
	err := writeAtomic(j.dir, FileAudit, j.opts.open, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		for i := range records {
			if err := enc.Encode(&records[i]); err != nil {
				return err
			}
		}
		return nil
	})
	j.fail(err)
	return err
}

// LogWriter opens logs/<node>.log anew; secrets are masked on the way.
func (j *Journal) LogWriter(node string) (io.WriteCloser, error) {
	if node == "" || node != filepath.Base(node) || strings.HasPrefix(node, ".") {
		return nil, fmt.Errorf("opening a log: %q is no node's name", node)
	}
	dir := filepath.Join(j.dir, DirLogs)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	path := filepath.Join(dir, node+".log")
	if err := removeQuietly(path); err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	f, err := j.opts.open(path)
	if err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	return &maskedLog{to: f, mask: j.mask}, nil
}

// Flush returns when all that was recorded before the call can be read on disk.
func (j *Journal) Flush() error {
	reply := make(chan struct{})
	select {
	case j.flush <- reply:
		<-reply
	case <-j.done:
	}
	return j.Err()
}

// Close writes what is left, syncs and closes. It returns the first error of the recording. It is idempotent.
func (j *Journal) Close() error {
	j.once.Do(func() {
		j.closed.Store(true)
		close(j.stop)
		<-j.done
		j.fail(j.spans.close())
		if err := j.events.Close(); err != nil {
			j.fail(fmt.Errorf("closing the event log: %w", err))
		}
	})
	return j.Err()
}
