package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// A batch of spans is a table of texts and the spans that refer to it, so that each name is there once:
//
//	u8 version │ uvarint texts │ each: uvarint length, bytes │ uvarint spans │ each: see appendSpan
const (
	batchVersion = 1
	// BatchTarget is the size from which a batch should be closed: a frame of the journal takes it whole.
	BatchTarget = 256 << 10
	// MaxBatch is the largest batch that is read.
	MaxBatch = 2 << 20
	minSpan  = 16 + 8 + 8 + 8 // bytes of the fixed part
)

var errBatch = errors.New("trace: not a batch of spans")

// Encoder puts spans into batches. The zero value is ready to use.
type Encoder struct {
	texts map[string]uint64
	table []byte
	spans []byte
	n     int
}

// Len is how many spans wait in the batch.
func (e *Encoder) Len() int { return e.n }

// Size is about how many bytes the batch has.
func (e *Encoder) Size() int { return len(e.table) + len(e.spans) }

// Add puts one span into the batch. It should be bounded (Span.Bound).
func (e *Encoder) Add(s *Span) {
	if e.texts == nil {
		e.texts = make(map[string]uint64)
	}
	b := append(e.spans, s.Trace[:]...)
	b = append(b, s.ID[:]...)
	b = append(b, s.Parent[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.Start))
	b = binary.AppendUvarint(b, uint64(max(0, s.Duration)))
	b = append(b, byte(s.Kind), byte(s.Status))
	for _, text := range [...]string{s.Service, s.Instance, s.Name, s.Message} {
		b = binary.AppendUvarint(b, e.text(text))
	}
	b = e.attrs(b, s.Attrs)
	b = binary.AppendUvarint(b, uint64(len(s.Links)))
	for _, l := range s.Links {
		b = append(append(b, l.Trace[:]...), l.Span[:]...)
	}
	b = binary.AppendUvarint(b, uint64(len(s.Events)))
	for _, ev := range s.Events {
		b = binary.AppendVarint(b, int64(ev.After))
		b = binary.AppendUvarint(b, e.text(ev.Name))
		b = e.attrs(b, ev.Attrs)
	}
	e.spans = binary.AppendUvarint(b, uint64(s.Dropped))
	e.n++
}

func (e *Encoder) text(s string) uint64 {
	if i, ok := e.texts[s]; ok {
		return i
	}
	i := uint64(len(e.texts))
	e.texts[s] = i
	e.table = binary.AppendUvarint(e.table, uint64(len(s)))
	e.table = append(e.table, s...)
	return i
}

func (e *Encoder) attrs(b []byte, attrs []Attr) []byte {
	b = binary.AppendUvarint(b, uint64(len(attrs)))
	for _, a := range attrs {
		b = binary.AppendUvarint(b, e.text(a.Key))
		b = binary.AppendUvarint(b, e.text(a.Value))
	}
	return b
}

// Take returns the batch and begins another one.
func (e *Encoder) Take() []byte {
	b := make([]byte, 0, len(e.table)+len(e.spans)+2*binary.MaxVarintLen64+1)
	b = append(b, batchVersion)
	b = binary.AppendUvarint(b, uint64(len(e.texts)))
	b = append(b, e.table...)
	b = binary.AppendUvarint(b, uint64(e.n))
	b = append(b, e.spans...)
	clear(e.texts)
	e.table, e.spans, e.n = e.table[:0], e.spans[:0], 0
	return b
}

// Decoder reads batches; texts that come again are kept once. The zero value is ready to use.
type Decoder struct{ known map[string]string }

// maxKnown bounds the texts that a Decoder remembers.
const maxKnown = 100_000

// Decode appends the spans of one batch to into. A batch may come from anywhere: what is no batch is an
// error, and then nothing of it is appended.
func (d *Decoder) Decode(into []Span, batch []byte) ([]Span, error) {
	if len(batch) == 0 || len(batch) > MaxBatch || batch[0] != batchVersion {
		return into, errBatch
	}
	r := reader{b: batch[1:]}
	texts := make([]string, 0, r.count(1))
	for range cap(texts) {
		texts = append(texts, d.intern(r.take(r.count(1))))
	}
	r.texts = texts
	n := r.count(minSpan)
	before := len(into)
	for range n {
		into = append(into, r.span())
		if r.bad {
			return into[:before], fmt.Errorf("%w: cut or damaged", errBatch)
		}
	}
	if r.bad || len(r.b) > 0 {
		return into[:before], fmt.Errorf("%w: cut or damaged", errBatch)
	}
	return into, nil
}

func (d *Decoder) intern(b []byte) string {
	if s, ok := d.known[string(b)]; ok {
		return s
	}
	s := string(b)
	if d.known == nil {
		d.known = make(map[string]string)
	}
	if len(d.known) < maxKnown {
		d.known[s] = s
	}
	return s
}

// reader takes values off a batch; after the first that is not there, bad is set and all are zero.
type reader struct {
	b     []byte
	texts []string
	bad   bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	part := r.b[:n]
	r.b = r.b[n:]
	return part
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if r.bad || n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count is a number of things of at least size bytes each, so never more than there can be.
func (r *reader) count(size int) int {
	v := r.uvarint()
	if v > uint64(len(r.b)/size) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(v)
}

func (r *reader) text() string {
	i := r.uvarint()
	if i >= uint64(len(r.texts)) {
		r.bad = true
		return ""
	}
	return r.texts[i]
}

func (r *reader) attrs() []Attr {
	n := r.count(2)
	if n == 0 {
		return nil
	}
	attrs := make([]Attr, n)
	for i := range attrs {
		attrs[i].Key, attrs[i].Value = r.text(), r.text()
	}
	return attrs
}

func (r *reader) span() (s Span) {
	copy(s.Trace[:], r.take(len(s.Trace)))
	copy(s.ID[:], r.take(len(s.ID)))
	copy(s.Parent[:], r.take(len(s.Parent)))
	if b := r.take(8); b != nil {
		s.Start = int64(binary.LittleEndian.Uint64(b))
	}
	s.Duration = max(0, time.Duration(r.uvarint()))
	if b := r.take(2); b != nil {
		s.Kind, s.Status = Kind(b[0]), Status(b[1])
	}
	s.Service, s.Instance, s.Name, s.Message = r.text(), r.text(), r.text(), r.text()
	s.Attrs = r.attrs()
	if n := r.count(len(Link{}.Trace) + len(Link{}.Span)); n > 0 {
		s.Links = make([]Link, n)
		for i := range s.Links {
			copy(s.Links[i].Trace[:], r.take(len(Link{}.Trace)))
			copy(s.Links[i].Span[:], r.take(len(Link{}.Span)))
		}
	}
	if n := r.count(3); n > 0 {
		s.Events = make([]Event, n)
		for i := range s.Events {
			s.Events[i] = Event{After: time.Duration(r.varint()), Name: r.text(), Attrs: r.attrs()}
		}
	}
	s.Dropped = uint32(r.uvarint())
	return s
}
