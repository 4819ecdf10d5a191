package targettest

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"chaos/internal/slowdisk"
	"chaos/internal/target"
)

// slower is a system that can make a node's folder slow.
type slower interface {
	target.System
	target.Signaller
	target.Slower
}

func (h *harness) slower(t *testing.T, s target.System) slower {
	t.Helper()
	able, ok := s.(slower)
	if !ok {
		t.Skip("this runtime has no disk.slow and node.signal")
	}
	return able
}

// late is how late a write is to be, and everSlow so late that only an undo ends it.
const (
	late     = 200 * time.Millisecond
	everSlow = time.Minute
)

// write is how long a write to a file that was open before took the victim, as it says itself.
func (h *harness) write(t *testing.T, s target.System) (time.Duration, error) {
	t.Helper()
	said, err := s.Call(t.Context(), h.Write)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(said)), 10, 64)
	if err != nil {
		t.Fatalf("the victim does not say how long a write took: %q", said)
	}
	return time.Duration(n), nil
}

// slowly makes the victim's writes slow, and checks that nobody else can and who may end it.
func (h *harness) slowly(t *testing.T, s slower, by time.Duration) {
	t.Helper()
	ask := slowdisk.Slow{Latency: by, Ops: []string{slowdisk.Write}}
	if err := s.SlowDisk(t.Context(), h.Victim, diskFault, h.Folder, ask); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{diskFault, "disk.other#0"} {
		if err := s.SlowDisk(t.Context(), h.Victim, id, h.Folder, ask); err == nil {
			t.Errorf("%s was made slow twice", h.Folder)
		}
	}
	if err := s.UnslowDisk(t.Context(), h.Victim, "disk.other#0"); err != nil {
		t.Errorf("ending what another made slow: %v", err)
	}
	if st := h.slowness(t, s); st.ID != diskFault || st.Missed != "" {
		t.Errorf("slow, and %+v", st)
	}
}

func (h *harness) slowness(t *testing.T, s slower) target.Slowness {
	t.Helper()
	st, err := s.Slowness(t.Context(), h.Victim)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// held waits until a call of the victim is held, and returns what it comes to.
func (h *harness) held(t *testing.T, s slower) <-chan error {
	t.Helper()
	came := make(chan error, 1)
	go func() {
		_, err := s.Call(t.Context(), h.Write)
		came <- err
	}()
	for deadline := time.Now().Add(endsWithin); h.slowness(t, s).Held == 0; time.Sleep(lookEvery) {
		if time.Now().After(deadline) {
			t.Fatal("a write that was to be held is not")
		}
	}
	return came
}

func (h *harness) slow(t *testing.T) {
	s := h.slower(t, h.system)
	place := "node:" + h.Victim + " beside"
	before := h.snapshot(t, s)
	for range 2 { // who was let go can be held again
		h.slowly(t, s, late)
		took, err := h.write(t, s)
		if err != nil || took < late {
			t.Errorf("a write that was to be %v late took %v, %v", late, took, err)
		}
		st := h.slowness(t, s)
		if c := st.Counts[slowdisk.Write]; c.N == 0 || c.Asked != time.Duration(c.N)*late || c.Added < c.Asked || c.Added > time.Duration(c.N)*took {
			t.Errorf("a write took %v, and %+v", took, st)
		}
		if st.Counts[slowdisk.Sync].N+st.Counts[slowdisk.Read].N > 0 || st.Passed == 0 {
			t.Errorf("only writes were to be held, and others to pass: %+v", st)
		}
		if during := h.snapshot(t, s); during[place] == before[place] {
			t.Errorf("the snapshot says %q of it", during[place])
		}
		other := h.slower(t, h.handleIn(t))
		for range 2 {
			if err := other.UnslowDisk(t.Context(), h.Victim, diskFault); err != nil {
				t.Fatal(err)
			}
		}
		if st := h.slowness(t, s); st.ID != "" {
			t.Errorf("ended, and %+v", st)
		}
		if after := h.snapshot(t, s); after[place] != before[place] {
			t.Errorf("ended, and the snapshot says %q", after[place])
		}
	}
	h.slowly(t, s, everSlow)
	came := h.held(t, s)
	if err := s.UnslowDisk(t.Context(), h.Victim, diskFault); err != nil {
		t.Fatal(err)
	}
	if err := <-came; err != nil {
		t.Errorf("a write that was held when it was ended: %v", err)
	}
	if err := s.SlowDisk(t.Context(), h.Victim, diskFault, "/no/such/folder", slowdisk.Slow{Latency: late, Ops: slowdisk.Ops()}); err == nil {
		t.Error("a folder was made slow that the node does not have")
	}
}

// slowEnds: it ends with the node's process, also while that is held; it can be undone before and after another start.
func (h *harness) slowEnds(t *testing.T) {
	s := h.slower(t, h.system)
	for i := range 2 {
		h.slowly(t, s, everSlow)
		came := h.held(t, s)
		if err := s.Signal(t.Context(), h.Victim, "KILL"); err != nil {
			t.Fatal(err)
		}
		h.waitNodeDown(t, s, h.Victim)
		if err := <-came; err == nil {
			t.Error("a write of a process that was killed was answered")
		}
		if st := h.slowness(t, s); st.ID != diskFault || st.Missed == "" {
			t.Errorf("the node has ended, and %+v", st)
		}
		undo := func() {
			if err := s.UnslowDisk(t.Context(), h.Victim, diskFault); err != nil {
				t.Error(err)
			}
		}
		if i == 0 {
			undo()
		}
		if err := s.StartNode(t.Context(), h.Victim); err != nil {
			t.Fatal(err)
		}
		if err := s.NodeReady(t.Context(), h.Victim); err != nil {
			t.Fatal(err)
		}
		if st := h.slowness(t, s); (st.ID == "") != (i == 0) {
			t.Errorf("the node was started anew, and %+v", st)
		}
		undo()
		if took, err := h.write(t, s); err != nil || took >= everSlow {
			t.Errorf("undone, and a write took %v, %v", took, err)
		}
	}
}
