package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var twoLoads = RunInfo{ID: "0123456789ab", Loads: []LoadInfo{{Name: "pay"}, {Name: "read"}}}

// fakeClock is set by hand.
type fakeClock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *fakeClock { return &fakeClock{at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }

func (c *fakeClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func create(t testing.TB, info RunInfo, o Options) *Journal {
	t.Helper()
	j, err := Create(filepath.Join(t.TempDir(), "run"), info, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() }) // the second Close of most tests; its error was looked at
	return j
}

func request(op OpID, seq uint64) Sample {
	s := Sample{Op: op, Seq: seq, Due: time.Duration(seq+1) * time.Millisecond, Amount: int64(seq) * 7}
	s.Sent = s.Due + time.Microsecond
	s.Key[0], s.Key[15], s.Trace[0] = 1, byte(seq), 9
	return s
}

func finish(s Sample) Sample {
	s.Done = s.Sent + 3*time.Millisecond
	s.Status, s.Result, s.Class, s.Attempts = 201, OK, Good, 1
	s.Ref[3] = byte(s.Seq)
	s.Flags |= FlagRetryAfter
	if s.Seq%2 == 1 {
		s.State = [...]string{"paid", "0123456789abcdef"}[s.Seq/2%2]
	}
	return s
}

// A state is kept as far as there is room for it, and one that was not told leaves the record as it was in earlier
// versions.
func TestStates(t *testing.T) {
	j := create(t, twoLoads, Options{})
	for seq, state := range []string{"", "paid", "longer than sixteen bytes"} {
		s := finish(request(0, uint64(seq)))
		s.State = ""
		j.Invoked(&s)
		s.State = state
		j.Completed(&s)
		if want := map[bool]int{true: completedLen, false: statedLen}[state == ""]; len(appendRecord(nil, recCompleted, &s)) != want {
			t.Errorf("state %q: a record of %d B, want %d", state, len(appendRecord(nil, recCompleted, &s)), want)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	h := read(t, j.Dir())
	for i, want := range []string{"", "paid", "longer than sixt"} {
		if h.Samples[i].State != want || h.Samples[i].Result != OK {
			t.Errorf("state %d is %q, want %q", i, h.Samples[i].State, want)
		}
	}
	if len(h.Damage) > 0 {
		t.Errorf("damage: %q", h.Damage)
	}
}

// What is derived of a frozen history is kept; of one that may still change it is not.
func TestDerive(t *testing.T) {
	type id struct{}
	h := &History{Samples: []Sample{{}}}
	count := func(h *History) int { return len(h.Samples) }
	for n := 1; n <= 2; n++ {
		if got := Derive(h, id{}, count); got != n {
			t.Errorf("derived %d of %d samples", got, n)
		}
		h.Samples = append(h.Samples, Sample{})
	}
	h.Freeze()
	if Derive(h, id{}, count) != 3 {
		t.Error("not derived")
	}
	h.Samples = nil
	if Derive(h, id{}, count) != 3 || Derive(h, "another", count) != 0 {
		t.Error("derived again, or one for the other")
	}
}

func read(t testing.TB, dir string) *History {
	t.Helper()
	h, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestRoundTrip(t *testing.T) {
	j := create(t, twoLoads, Options{})
	var want []Sample
	for seq := range uint64(1000) {
		for op := range OpID(2) {
			s := request(op, seq)
			j.Invoked(&s)
			s = finish(s)
			j.Completed(&s)
			want = append(want, s)
		}
	}
	replay := request(0, 5)
	replay.Due, replay.Flags = time.Minute, FlagReplay
	j.Invoked(&replay)
	replay = finish(replay)
	j.Completed(&replay)
	want = append(want, replay)
	reading := Reading{At: 5, Source: SourceCanary, Name: CanaryTicks, Value: 100}
	j.Read(reading)
	if err := j.Flush(); err != nil {
		t.Fatal(err)
	}
	if h := read(t, j.Dir()); !slices.Equal(h.Samples, want) || !slices.Equal(h.Readings, []Reading{reading}) {
		t.Errorf("after Flush, in the running run: %d samples, %v", len(h.Samples), h.Readings)
	}
	audit := []AuditRecord{{Source: "payments", Type: "payment", Key: "k", Amount: 5}}
	if err := j.WriteAudit(audit); err != nil {
		t.Fatal(err)
	}
	if err := j.UpdateInfo(func(i *RunInfo) { i.Handle = json.RawMessage(`{"x":1}`) }); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	h := read(t, j.Dir())
	if !slices.Equal(h.Samples, want) || !slices.Equal(h.Audit, audit) || h.Damage != nil {
		t.Errorf("after Close: %d samples, audit %v, damage %v", len(h.Samples), h.Audit, h.Damage)
	}
	if h.Run.Started.IsZero() || h.Run.Schema != Schema || !strings.Contains(string(h.Run.Handle), "1") {
		t.Errorf("run.json: %+v", h.Run)
	}
	if st, err := os.Stat(j.Dir()); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the folder's mode is %v, %v", st.Mode(), err)
	}
	if _, err := Create(j.Dir(), twoLoads, Options{}); err == nil {
		t.Error("a second run in the same folder was not refused")
	}
}

func TestInvokedOnly(t *testing.T) {
	for _, tt := range []struct {
		ends bool
		want ErrClass
	}{{false, ErrNone}, {true, ErrCanceled}} {
		j := create(t, twoLoads, Options{})
		s := request(0, 0)
		j.Invoked(&s)
		if tt.ends {
			if _, err := j.Append(Event{Type: EventRunEnd}); err != nil {
				t.Fatal(err)
			}
		}
		if err := j.Flush(); err != nil { // and then kill -9: nothing more is written
			t.Fatal(err)
		}
		h := read(t, j.Dir())
		s.Err = tt.want
		if !slices.Equal(h.Samples, []Sample{s}) || h.Samples[0].Result != Unknown || h.Samples[0].Class != Bad {
			t.Errorf("ends %v: got %+v, want %+v", tt.ends, h.Samples, s)
		}
	}
}

func TestIntentIsDurable(t *testing.T) {
	var f watchedFile
	j := create(t, twoLoads, watch(FileEvents, &f))
	for _, tt := range []struct {
		typ  string
		want bool
	}{
		{EventPhase, false}, {EventIntent, true}, {EventGuard, false}, {EventActive, true},
		{EventReverting, false}, {EventReverted, true}, {EventStuck, true},
	} {
		e, err := j.Append(Event{Type: tt.typ, Action: "a#1", Detail: json.RawMessage(`{"id":"a#1"}`)})
		if err != nil {
			t.Fatal(err)
		}
		if got := f.synced == f.buf.Len(); got != tt.want {
			t.Errorf("%s: on disk when Append returned: %v, want %v", tt.typ, got, tt.want)
		}
		if e.Seq == 0 || e.Wall.IsZero() || !strings.HasSuffix(f.buf.String(), "\n") {
			t.Errorf("%s: %+v", tt.typ, e)
		}
	}
	if h := read(t, j.Dir()); len(h.Events) != 7 || h.Events[6].Seq != 7 || h.Damage != nil {
		t.Errorf("read %d events, damage %v", len(h.Events), h.Damage)
	}
}

func TestReopen(t *testing.T) {
	j := create(t, twoLoads, Options{})
	if _, err := j.Append(Event{Type: EventIntent, Action: "a#1"}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(j.Dir(), FileEvents)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"seq":2,"type":"act`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	e, err := Reopen(j.Dir())
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range []string{EventReverted, EventHealed} {
		if _, err := e.Append(Event{Type: typ, Action: "a#1"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	h := read(t, j.Dir())
	if len(h.Events) != 3 || h.Events[2].Type != EventHealed || h.Events[2].Seq != 3 || len(h.Damage) != 1 {
		t.Errorf("events %+v, damage %q", h.Events, h.Damage)
	}
}

func TestRecorderAfterClose(t *testing.T) {
	j := create(t, twoLoads, Options{})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	s := request(0, 0)
	if j.Invoked(&s); !errors.Is(j.Err(), ErrClosed) {
		t.Errorf("got %v", j.Err())
	}
}

func TestConcurrent(t *testing.T) {
	const producers, each = 8, 5000
	j := create(t, twoLoads, Options{Ring: 1 << 17}) // room for all: a busy machine may hold the writer up
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			for i := range each {
				s := request(OpID(p%2), uint64(p/2*each+i))
				j.Invoked(&s)
				s = finish(s)
				j.Completed(&s)
				if i%100 == 0 {
					j.Since(time.Second, 0)
					j.Read(Reading{Name: "x"})
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			if err := j.Flush(); err != nil {
				t.Error(err)
			}
			if _, err := j.Append(Event{Type: EventGuard}); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	h := read(t, j.Dir())
	if len(h.Samples) != producers*each || len(h.Readings) != producers*each/100 || h.Damage != nil {
		t.Fatalf("%d samples, %d readings, damage %q", len(h.Samples), len(h.Readings), h.Damage)
	}
	for i := range h.Samples {
		if want := finish(request(h.Samples[i].Op, h.Samples[i].Seq)); h.Samples[i] != want {
			t.Fatalf("sample %d: %+v, want %+v", i, h.Samples[i], want)
		}
	}
}

func TestLogs(t *testing.T) {
	j := create(t, twoLoads, Options{})
	w, err := j.LogWriter("payments")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(w, `{"level":"INFO","msg":"an ERROR that is none"}`)
	fmt.Fprintln(w, `{"level":"WARN","msg":"slow","trace_id":"t1","op_id":"k1","node":"forged"}`)
	fmt.Fprintln(w, `panic: no JSON, ERROR`)
	fmt.Fprintln(w, `{"level":"ERROR","msg":"`+strings.Repeat("x", maxLine)+`"}`)
	fmt.Fprint(w, `{"level":"error","msg":"last, without newline"}`)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "..", "a/b", ".hidden", "../x"} {
		if _, err := j.LogWriter(bad); err == nil {
			t.Errorf("node name %q was taken", bad)
		}
	}
	want := []LogLine{
		{Node: "payments", Level: "WARN", Msg: "slow", Trace: "t1", Key: "k1"},
		{Node: "payments", Level: "error", Msg: "last, without newline"},
	}
	if h := read(t, j.Dir()); !slices.Equal(h.Logs, want) {
		t.Errorf("got %+v", h.Logs)
	}
}

func TestExport(t *testing.T) {
	s := finish(request(1, 3))
	h := &History{Run: twoLoads, Samples: []Sample{s}}
	var b bytes.Buffer
	if err := h.ExportJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]any{
		"load": "read", "seq": 3.0, "due_ms": 4.0, "latency_ms": 3.001, "status": 201.0, "class": "good",
		"result": "ok", "key": s.Key.String(), "retry_after": true,
	} {
		if got[field] != want {
			t.Errorf("%s = %v, want %v", field, got[field], want)
		}
	}
}
