package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// fuzzRun writes files of a run and reads it; whatever is in them, Read must not panic, and what it
// returns is in order.
func fuzzRun(t *testing.T, name string, data []byte) {
	dir := t.TempDir()
	run := []byte(`{"schema":1,"loads":[{"name":"pay"},{"name":"read"}]}`)
	if err := os.WriteFile(filepath.Join(dir, FileRun), run, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := Read(dir)
	if err != nil {
		return
	}
	for i := range h.Samples {
		if s := &h.Samples[i]; s.Op > 1 || s.Due < 0 || s.Result > Failed || s.Class > Excluded || s.Err > ErrOther {
			t.Fatalf("sample %+v", s)
		}
		if i > 0 && h.Samples[i].Due < h.Samples[i-1].Due {
			t.Fatal("not in order")
		}
	}
}

// FuzzFrames feeds the sample reader whole files.
func FuzzFrames(f *testing.F) {
	j := create(f, twoLoads, Options{})
	for seq := range uint64(3) {
		s := request(0, seq)
		j.Invoked(&s)
		if err := j.Flush(); err != nil {
			f.Fatal(err)
		}
	}
	whole, err := os.ReadFile(filepath.Join(j.Dir(), FileSamples))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-7])
	f.Fuzz(func(t *testing.T, data []byte) { fuzzRun(t, FileSamples, data) })
}

// FuzzRecords wraps the bytes in a frame with a right checksum, to get behind it.
func FuzzRecords(f *testing.F) {
	s := finish(request(1, 1))
	f.Add(appendRecord(appendRecord(nil, recInvoked, &s), recCompleted, &s))
	f.Add(appendRecord(appendRecord(nil, recInvoked, &s), recCompleted, &s)[:invokedLen+completedLen+3]) // cut in its state
	f.Add(bytes.Repeat([]byte{1}, 200))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var b bytes.Buffer
		w, err := newFramer(&b, contentSmpl)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.write(raw); err != nil {
			t.Fatal(err)
		}
		fuzzRun(t, FileSamples, b.Bytes())
	})
}

// FuzzEvents feeds the event reader whole files.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(`{"seq":1,"type":"intent","action":"a#1"}` + "\n" + `{"seq":2,"type":"rev`))
	f.Fuzz(func(t *testing.T, data []byte) { fuzzRun(t, FileEvents, data) })
}

// TestBomb: a small file that unpacks to much is refused by the frame's limits.
func TestBomb(t *testing.T) {
	var b bytes.Buffer
	w, err := newFramer(&b, contentSmpl)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.write(make([]byte, 64<<20)); err != nil {
		t.Fatal(err)
	}
	le.PutUint32(b.Bytes()[headerLen+12:], 100) // a lie, with its checksum
	frame := b.Bytes()[headerLen:]
	le.PutUint32(frame[16:], checksum(frame[8:16], frame[headerLen:]))
	var d damage
	err = readFrames(bytes.NewReader(b.Bytes()), int64(b.Len()), "x", contentSmpl, &d, func([]byte) { t.Error("unpacked") })
	if err != nil || len(d.all()) != 1 {
		t.Errorf("%v, damage %q", err, d.all())
	}
}

func TestSparseSequences(t *testing.T) {
	m := newMerger(2)
	var raw []byte
	var n int
	for _, seq := range []uint64{1 << 60, 3, 1 << 40, 0, 200, 1, 100, 2} {
		s := request(0, seq)
		raw = appendRecord(raw, recInvoked, &s)
		n++
	}
	for _, seq := range []uint64{1 << 60, 3, 1 << 40, 0, 200, 1, 100, 2} {
		s := finish(request(0, seq))
		raw = appendRecord(raw, recCompleted, &s)
	}
	s := finish(request(0, 3))
	raw = appendRecord(raw, recCompleted, &s)
	raw = appendRecord(raw, recInvoked, &s)
	s = finish(request(1, 9))
	raw = appendRecord(raw, recCompleted, &s)
	s = finish(request(7, 0))
	raw = appendRecord(raw, recInvoked, &s)
	m.frame(raw)
	var d damage
	got := m.finish(true, &d)
	if len(got) != n {
		t.Fatalf("%d samples, want %d", len(got), n)
	}
	for _, s := range got {
		if s.Err != ErrNone || s.Result != OK || s.Attempts != 1 {
			t.Errorf("not merged: %+v", s)
		}
	}
	if len(d.all()) != 3 {
		t.Errorf("damage %q", d.all())
	}
}
