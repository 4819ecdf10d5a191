package journal

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Limits of the reader: a run's folder may come from anywhere, so nothing in it may ask for
// unbounded memory.
const (
	maxInfo     = 4 << 20    // bytes of run.json
	maxLine     = 1 << 20    // bytes of one line of NDJSON
	maxEvents   = 1_000_000  // events
	maxReadings = 5_000_000  // readings
	maxAudit    = 5_000_000  // audit records
	maxSamples  = 20_000_000 // samples: 2.1 GB in memory
)

// ReadInfo reads run.json alone.
func ReadInfo(dir string) (RunInfo, error) {
	var info RunInfo
	f, err := os.Open(filepath.Join(dir, FileRun))
	if err != nil {
		return info, fmt.Errorf("reading the run: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxInfo+1))
	if err != nil {
		return info, fmt.Errorf("reading %s: %w", FileRun, err)
	}
	if len(data) > maxInfo {
		return info, fmt.Errorf("reading %s: longer than %d B", FileRun, maxInfo)
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return info, fmt.Errorf("reading %s: %w", FileRun, err)
	}
	if info.Schema != Schema {
		return info, fmt.Errorf("%w: %s has schema %d, this is %d", errVersion, FileRun, info.Schema, Schema)
	}
	return info, nil
}

// ReadEvents reads the event log alone; damage says what of it could not be read.
func ReadEvents(dir string) (events []Event, told []string, err error) {
	var d damage
	events, err = readLines[Event](dir, FileEvents, maxEvents, &d)
	return events, d.all(), err
}

// Read reads a run: while it goes on (up to the last Flush or frame), after its end, or after a
// kill -9. What can't be read is named in Damage and costs nothing that came before it; only a
// missing or foreign run.json, another version of the format or a failing disk is an error.
func Read(dir string) (*History, error) {
	var d damage
	h, err := readRequests(dir, &d)
	if err != nil {
		return nil, err
	}
	if h.Logs, h.Lint, err = readLogs(dir, h.Run.Telemetry.logs(), &d); err != nil {
		return nil, err
	}
	if h.Spans, err = readSpans(dir, &d); err != nil {
		return nil, err
	}
	h.Damage = d.all()
	h.Freeze()
	return h, nil
}

// ReadRequests is Read without logs and spans, of which there may be many more than requests: for who looks
// at a run while it goes on.
func ReadRequests(dir string) (*History, error) {
	var d damage
	h, err := readRequests(dir, &d)
	if err != nil {
		return nil, err
	}
	h.Damage = d.all()
	return h, nil
}

func readRequests(dir string, d *damage) (*History, error) {
	info, err := ReadInfo(dir)
	if err != nil {
		return nil, err
	}
	h := &History{Run: info}
	if h.Events, err = readLines[Event](dir, FileEvents, maxEvents, d); err != nil {
		return nil, err
	}
	if h.Audit, err = readLines[AuditRecord](dir, FileAudit, maxAudit, d); err != nil {
		return nil, err
	}
	m := newMerger(len(info.Loads))
	if err := readFrameFile(dir, FileSamples, contentSmpl, d, m.frame); err != nil {
		return nil, err
	}
	h.Samples = m.finish(slices.ContainsFunc(h.Events, func(e Event) bool { return e.Type == EventRunEnd }), d)
	names := make(map[string]string) // of a series: the same each second
	if err := readFrameFile(dir, FileReadings, contentRdngs, d, func(raw []byte) {
		from := len(h.Readings)
		h.Readings = scanLines(bytes.NewReader(raw), FileReadings, h.Readings, maxReadings, d)
		for i := from; i < len(h.Readings); i++ {
			r := &h.Readings[i]
			r.Source, r.Name = once(names, r.Source), once(names, r.Name)
		}
	}); err != nil {
		return nil, err
	}
	h.Windows = Windows(&h.Run, h.Events)
	return h, nil
}

// once returns a text that is kept once, however often it comes.
func once(known map[string]string, s string) string {
	if k, ok := known[s]; ok {
		return k
	}
	known[s] = s
	return s
}

// openPart opens a file of a run; one that is not there yet is no error but nil.
func openPart(dir, name string) (*os.File, int64, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, nil
	} else if err != nil {
		return nil, 0, fmt.Errorf("reading the run: %w", err)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("reading the run: %w", err), f.Close())
	}
	return f, st.Size(), nil
}

func readFrameFile(dir, name string, content uint16, d *damage, use func([]byte)) error {
	f, size, err := openPart(dir, name)
	if err != nil {
		return err
	}
	if f == nil {
		d.add("%s is missing", name)
		return nil
	}
	defer f.Close()
	return readFrames(bufio.NewReaderSize(io.LimitReader(f, size), 256<<10), size, name, content, d, use)
}

func readLines[T any](dir, name string, limit int, d *damage) ([]T, error) {
	f, size, err := openPart(dir, name)
	if err != nil || f == nil {
		return nil, err
	}
	defer f.Close()
	return scanLines[T](io.LimitReader(f, size), name, nil, limit, d), nil
}

// scanLines decodes NDJSON. A line that is cut, too long or no JSON is dropped and said.
func scanLines[T any](r io.Reader, name string, into []T, limit int, d *damage) []T {
	var at int64
	eachLine(r, func(line []byte, size int, whole bool) bool {
		start := at
		at += int64(size)
		var v T
		switch {
		case !whole:
			d.add("%s: dropped %d B of a cut or too long line at offset %d", name, size, start)
		case len(bytes.TrimSpace(line)) == 0:
		case len(into) >= limit:
			d.add("%s: more than %d lines: the rest was not read", name, limit)
			return false
		default:
			if err := json.Unmarshal(line, &v); err != nil {
				d.add("%s: dropped %d B at offset %d: %v", name, size, start, err)
				break
			}
			into = append(into, v)
		}
		return true
	})
	return into
}

// eachLine calls use for each line of r, with its size including the newline. whole is false for a
// last line without its newline and for one longer than maxLine, of which line is empty.
func eachLine(r io.Reader, use func(line []byte, size int, whole bool) bool) {
	br := bufio.NewReaderSize(r, 64<<10)
	var long []byte
	size := 0
	for {
		part, err := br.ReadSlice('\n')
		size += len(part)
		if len(long)+len(part) <= maxLine {
			long = append(long, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if size > 0 && !use(bytes.TrimSuffix(long, []byte{'\n'}), size, err == nil && size == len(long)) {
			return
		}
		if err != nil {
			return
		}
		long, size = long[:0], 0
	}
}

// merger puts the two halves of each sample together.
type merger struct {
	loads   int
	samples []Sample
	streams map[streamID]*stream
	states  map[string]string // each text once

	foreign, twice, orphans, full int
	garbage                       int // bytes that are no record
}

// streamID is what a Seq is unique in: one load, its replays apart.
type streamID struct {
	op    OpID
	class Flags
}

// stream finds a sample by its Seq. Sequence numbers count up, so a slice does it; what does not fit
// into a slice in proportion to the samples read (a sparse replay, a hostile file) goes into a map.
type stream struct {
	n      uint64
	dense  []uint32 // index into samples + 1
	sparse map[uint64]uint32
}

func newMerger(loads int) *merger {
	return &merger{loads: loads, streams: make(map[streamID]*stream), states: make(map[string]string)}
}

func (st *stream) find(seq uint64) uint32 {
	if seq < uint64(len(st.dense)) && st.dense[seq] != 0 {
		return st.dense[seq]
	}
	return st.sparse[seq]
}

func (st *stream) put(seq uint64, index uint32) {
	st.n++
	if seq >= 2*st.n+64 {
		if st.sparse == nil {
			st.sparse = make(map[uint64]uint32)
		}
		st.sparse[seq] = index
		return
	}
	for uint64(len(st.dense)) <= seq {
		st.dense = append(st.dense, 0)
	}
	st.dense[seq] = index
}

// frame takes the records of one frame.
func (m *merger) frame(raw []byte) {
	var s Sample
	for len(raw) > 0 {
		kind, n := decodeRecord(raw, &s)
		if n == 0 {
			m.garbage += len(raw)
			return
		}
		raw = raw[n:]
		if int(s.Op) >= m.loads || s.Sent < 0 || (kind == recInvoked && s.Due < 0) || (kind == recCompleted && s.Done < 0) {
			m.foreign++
			continue
		}
		id := streamID{s.Op, s.Flags & classFlags}
		if s.State != "" && kind == recCompleted {
			s.State = once(m.states, s.State)
		}
		st := m.streams[id]
		if st == nil {
			st = &stream{}
			m.streams[id] = st
		}
		at := st.find(s.Seq)
		switch {
		case kind == recInvoked && at != 0:
			m.twice++
		case kind == recInvoked && len(m.samples) >= maxSamples:
			m.full++
		case kind == recInvoked:
			m.samples = append(m.samples, Sample{Seq: s.Seq, Due: s.Due, Sent: s.Sent, Op: s.Op,
				Key: s.Key, Trace: s.Trace, Amount: s.Amount, Flags: s.Flags})
			st.put(s.Seq, uint32(len(m.samples)))
		case at == 0:
			m.orphans++
		case !m.samples[at-1].complete(&s):
			m.twice++
		}
	}
}

// complete adds the second half to s; false when it was there already.
func (s *Sample) complete(half *Sample) bool {
	if s.Attempts&completedMark != 0 {
		return false
	}
	s.Sent, s.Done, s.Ref, s.Status = half.Sent, half.Done, half.Ref, half.Status
	s.Result, s.Class, s.Err, s.Flags, s.State = half.Result, half.Class, half.Err, half.Flags, half.State
	s.Attempts = min(half.Attempts, completedMark-1) | completedMark
	return true
}

// completedMark is set in Attempts, while reading, on samples of which both halves were seen.
const completedMark = 0x80

// finish sorts the samples by Due. In a run that came to its end, a request that never completed was
// cut off by that end: ErrCanceled.
func (m *merger) finish(ended bool, d *damage) []Sample {
	m.streams = nil
	for i := range m.samples {
		s := &m.samples[i]
		if ended && s.Attempts&completedMark == 0 {
			s.Err = ErrCanceled
		}
		s.Attempts &^= completedMark
	}
	slices.SortFunc(m.samples, func(a, b Sample) int {
		return cmp.Or(cmp.Compare(a.Due, b.Due), cmp.Compare(a.Op, b.Op), cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Flags, b.Flags))
	})
	for _, lost := range []struct {
		n    int
		what string
	}{
		{m.foreign, "records of no load of the run or of no possible time"},
		{m.twice, "records that were there already"},
		{m.orphans, "completions of requests that were never invoked"},
		{m.full, "samples above the limit"},
		{m.garbage, "B that are no record"},
	} {
		if lost.n > 0 {
			d.add("%s: dropped %d %s", FileSamples, lost.n, lost.what)
		}
	}
	return m.samples
}
