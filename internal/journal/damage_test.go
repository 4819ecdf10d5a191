package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestTornTail cuts the file at every byte of its last frame: the frames before it survive, and the
// loss is named to the byte.
func TestTornTail(t *testing.T) {
	j := create(t, twoLoads, Options{})
	path := filepath.Join(j.Dir(), FileSamples)
	var sizes []int64
	for seq := range uint64(3) {
		s := request(0, seq)
		j.Invoked(&s)
		if err := j.Flush(); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, st.Size())
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for size := sizes[2] - 1; size >= sizes[1]; size-- {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		h := read(t, j.Dir())
		if len(h.Samples) != 2 {
			t.Fatalf("cut at %d: %d samples", size, len(h.Samples))
		}
		want := []string{fmt.Sprintf("samples.zst: dropped %d B of a torn frame at offset %d", size-sizes[1], sizes[1])}
		if size == sizes[1] {
			want = nil
		}
		if !slices.Equal(h.Damage, want) {
			t.Fatalf("cut at %d: damage %q, want %q", size, h.Damage, want)
		}
	}
	for size := int64(headerLen - 1); size >= 0; size-- {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		if h := read(t, j.Dir()); len(h.Samples) != 0 || len(h.Damage) != 1 {
			t.Fatalf("cut at %d: %d samples, damage %q", size, len(h.Samples), h.Damage)
		}
	}
}

// TestFlippedBytes damages each byte of the middle frame: the other two are still read.
func TestFlippedBytes(t *testing.T) {
	j := create(t, twoLoads, Options{})
	path := filepath.Join(j.Dir(), FileSamples)
	var ends []int
	for seq := range uint64(3) {
		s := request(0, seq)
		j.Invoked(&s)
		if err := j.Flush(); err != nil {
			t.Fatal(err)
		}
		st, _ := os.Stat(path)
		ends = append(ends, int(st.Size()))
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := ends[0] + headerLen; at < ends[1]; at++ { // the payload
		bad := slices.Clone(whole)
		bad[at] ^= 0x40
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		h := read(t, j.Dir())
		if len(h.Samples) != 2 || h.Samples[1].Seq != 2 || len(h.Damage) != 1 {
			t.Fatalf("byte %d: %d samples, damage %q", at, len(h.Samples), h.Damage)
		}
	}
	for at := ends[0]; at < ends[0]+headerLen; at++ { // its header: what follows can't be found
		bad := slices.Clone(whole)
		bad[at] ^= 0x40
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if h := read(t, j.Dir()); len(h.Samples) < 1 || h.Samples[0].Seq != 0 || len(h.Damage) == 0 {
			t.Fatalf("byte %d: %d samples, damage %q", at, len(h.Samples), h.Damage)
		}
	}
}

func TestOverflowSticks(t *testing.T) {
	blocked := make(chan struct{})
	j := create(t, twoLoads, Options{Ring: 8, open: func(path string) (file, error) {
		f, err := openFile(path)
		if filepath.Base(path) == FileSamples {
			return &slowFile{file: f, from: 1, until: blocked}, err
		}
		return f, err
	}})
	s := request(0, 0)
	j.Invoked(&s)
	go func() { _ = j.Flush() }() // the writer is stuck in the disk now, or soon
	start := time.Now()
	for seq := uint64(1); j.Err() == nil && time.Since(start) < 10*time.Second; seq++ {
		s := request(0, seq)
		j.Invoked(&s)
	}
	if !errors.Is(j.Err(), ErrOverflow) {
		t.Fatalf("got %v", j.Err())
	}
	<-j.Failed()
	close(blocked)
	if err := j.Flush(); !errors.Is(err, ErrOverflow) {
		t.Errorf("after the writer recovered: %v", err)
	}
	if err := j.Close(); !errors.Is(err, ErrOverflow) {
		t.Errorf("Close: %v", err)
	}
}

// slowFile hangs in its writes after the first few.
type slowFile struct {
	file
	from, n int
	until   chan struct{}
}

func (f *slowFile) Write(p []byte) (int, error) {
	if f.n++; f.n > f.from {
		<-f.until
	}
	return f.file.Write(p)
}

// watchedFile counts what reached the disk.
type watchedFile struct {
	file
	buf     bytes.Buffer
	synced  int // bytes that were there at the last Sync
	failing error
}

func (f *watchedFile) Write(p []byte) (int, error) {
	if f.failing != nil {
		n, _ := f.file.Write(p[:len(p)/2])
		return n, f.failing
	}
	f.buf.Write(p)
	return f.file.Write(p)
}

func (f *watchedFile) Sync() error {
	f.synced = f.buf.Len()
	return f.file.Sync()
}

func watch(name string, into *watchedFile) Options {
	return Options{open: func(path string) (file, error) {
		f, err := openFile(path)
		if filepath.Base(path) == name {
			into.file = f
			return into, err
		}
		return f, err
	}}
}

func TestDiskFull(t *testing.T) {
	full := errors.New("no space left on device")
	for _, name := range []string{FileEvents, FileSamples, FileReadings} {
		t.Run(name, func(t *testing.T) {
			var f watchedFile
			j := create(t, twoLoads, watch(name, &f))
			s := request(0, 0)
			j.Invoked(&s)
			j.Read(Reading{Name: "x"})
			if _, err := j.Append(Event{Type: EventPhase}); err != nil {
				t.Fatal(err)
			}
			if err := j.Flush(); err != nil {
				t.Fatal(err)
			}
			f.failing = full
			s = request(0, 1)
			j.Invoked(&s)
			j.Read(Reading{Name: "y"})
			_, _ = j.Append(Event{Type: EventIntent})
			if err := j.Flush(); !errors.Is(err, full) {
				t.Fatalf("got %v", err)
			}
			<-j.Failed()
			f.failing = nil
			if _, err := j.Append(Event{Type: EventReverted}); err != nil {
				t.Errorf("an event after the disk recovered: %v", err)
			}
			if err := j.Close(); !errors.Is(err, full) {
				t.Errorf("Close: %v", err)
			}
			h := read(t, j.Dir())
			if len(h.Samples) == 0 || len(h.Readings) == 0 || len(h.Damage) != 1 || h.Events[len(h.Events)-1].Type != EventReverted {
				t.Errorf("%d samples, %d readings, events %v, damage %q", len(h.Samples), len(h.Readings), h.Events, h.Damage)
			}
		})
	}
}
