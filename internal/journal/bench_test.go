package journal

import (
	"crypto/rand"
	"os"
	"runtime"
	"testing"
	"time"
)

// recording returns a journal whose ring is emptied as fast as the benchmark fills it.
func recording(b *testing.B) (*Journal, func(n int)) {
	j := create(b, twoLoads, Options{Ring: 1 << 20})
	return j, func(n int) {
		if n%(1<<19) == 1<<19-1 {
			b.StopTimer()
			if err := j.Flush(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	}
}

func BenchmarkInvoked(b *testing.B) {
	j, breathe := recording(b)
	s := request(0, 0)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		s.Seq, s.Due = uint64(n), time.Duration(n)*time.Microsecond
		j.Invoked(&s)
		breathe(n)
	}
}

func BenchmarkCompleted(b *testing.B) {
	j, breathe := recording(b)
	s := finish(request(0, 0))
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		s.Seq, s.Due = uint64(n), time.Duration(n)*time.Microsecond
		j.Completed(&s)
		breathe(n)
	}
}

// BenchmarkRead1M reads a run of a million requests with random ids, as real ones are.
func BenchmarkRead1M(b *testing.B) {
	const n = 1_000_000
	j := create(b, twoLoads, Options{Ring: 1 << 20})
	for i := range uint64(n) {
		s := request(OpID(i%2), i/2)
		s.Due = time.Duration(i) * time.Millisecond / 2
		rand.Read(s.Trace[:])
		rand.Read(s.Ref[:])
		j.Invoked(&s)
		s = finish(s)
		j.Completed(&s)
		if i%100_000 == 0 {
			if err := j.Flush(); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	st, err := os.Stat(j.Dir() + "/" + FileSamples)
	if err != nil {
		b.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var h *History
	for b.Loop() {
		h = read(b, j.Dir())
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if len(h.Samples) != n {
		b.Fatalf("%d samples", len(h.Samples))
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "heap-B/sample")
	b.ReportMetric(float64(st.Size())/n, "disk-B/sample")
	runtime.KeepAlive(h)
}
