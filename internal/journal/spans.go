package journal

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"chaos/internal/trace"
)

// maxSpans is how many spans of a run are kept, on disk and in memory (about 300 B each, with attributes).
const maxSpans = 2_000_000

// spanWriter writes spans.zst, which is there as soon as there is a span. One frame is one batch
// (trace.Encoder).
type spanWriter struct {
	mu     sync.Mutex
	file   file
	frames *framer
	encode trace.Encoder
	kept   int
	closed bool
}

// Spans writes spans down, secrets masked, and returns how many; those above the limit are left out. It
// changes the spans.
func (j *Journal) Spans(spans []trace.Span) (kept int, err error) {
	w := &j.spans
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, ErrClosed
	}
	if kept = min(len(spans), maxSpans-w.kept); kept == 0 {
		return 0, nil
	}
	defer func() { j.fail(err) }()
	if w.file == nil {
		if w.file, err = j.opts.open(filepath.Join(j.dir, FileSpans)); err != nil {
			return 0, fmt.Errorf("opening %s: %w", FileSpans, err)
		}
		if w.frames, err = newFramer(w.file, contentSpans); err != nil {
			return 0, err
		}
	}
	for i := range spans[:kept] {
		j.mask.span(&spans[i])
		w.encode.Add(&spans[i])
		if w.encode.Size() < trace.BatchTarget && i < kept-1 {
			continue
		}
		if err := w.frames.write(w.encode.Take()); err != nil {
			return 0, fmt.Errorf("writing %s: %w", FileSpans, err)
		}
	}
	w.kept += kept
	return kept, nil
}

func (w *spanWriter) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed = true; w.file == nil {
		return nil
	}
	if err := errors.Join(w.file.Sync(), w.file.Close(), w.frames.close()); err != nil {
		return fmt.Errorf("closing %s: %w", FileSpans, err)
	}
	return nil
}

// span masks what a span says.
func (m *Masker) span(s *trace.Span) {
	s.Name, s.Message = m.attr("", s.Name), m.attr("", s.Message)
	for i := range s.Attrs {
		s.Attrs[i].Value = m.attr(s.Attrs[i].Key, s.Attrs[i].Value)
	}
	for i := range s.Events {
		for k := range s.Events[i].Attrs {
			a := &s.Events[i].Attrs[k]
			a.Value = m.attr(a.Key, a.Value)
		}
	}
}

func (m *Masker) attr(key, value string) string {
	switch {
	case suspect([]byte(key)) && m.SecretKey(key) && !m.harmless(value):
		return Masked
	case suspect([]byte(value)):
		return m.Text(value)
	}
	return value
}

// readSpans reads the spans of a run that has any.
func readSpans(dir string, d *damage) (spans []trace.Span, err error) {
	f, _, err := openPart(dir, FileSpans)
	if err != nil || f == nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", FileSpans, err)
	}
	var decode trace.Decoder
	over := 0
	err = readFrameFile(dir, FileSpans, contentSpans, d, func(raw []byte) {
		var failed error
		if spans, failed = decode.Decode(spans, raw); failed != nil {
			d.add("%s: dropped %d B: %v", FileSpans, len(raw), failed)
		}
		if n := len(spans) - maxSpans; n > 0 {
			spans, over = spans[:maxSpans], over+n
		}
	})
	if over > 0 {
		d.add("%s: %d spans above the limit were not read", FileSpans, over)
	}
	return spans, err
}
