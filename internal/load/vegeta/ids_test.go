package vegeta

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"chaos/internal/journal"
	"chaos/internal/target"
	"chaos/internal/trace"
)

// till is a server that makes payments, knows them by id, and refunds those it captured: every third
// payment is only accepted (202).
type till struct {
	mu     sync.Mutex
	paid   map[string]int // id → status
	keys   []string
	wrong  []string
	denied bool // no payment succeeds
}

func (s *till) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // a short body shows as an unknown id
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.URL.Path == "/pay" && s.denied:
		w.WriteHeader(503)
	case r.URL.Path == "/pay":
		id, status := fmt.Sprintf("id-%d", len(s.paid)), 201
		if len(s.paid)%3 == 0 {
			status = 202
		}
		s.paid[id] = status
		s.keys = append(s.keys, r.Header.Get("Idempotency-Key"))
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"id":%q,"state":"x"}`, id)
	case strings.HasPrefix(r.URL.Path, "/pay/"):
		if s.paid[strings.TrimPrefix(r.URL.Path, "/pay/")] == 0 {
			s.wrong = append(s.wrong, r.URL.Path)
		}
	default:
		id := strings.TrimSuffix(strings.TrimPrefix(string(body), `{"payment":"`), `"}`)
		if s.paid[id] != 201 {
			s.wrong = append(s.wrong, string(body))
		}
		w.WriteHeader(201)
	}
}

// TestNeeds: two loads read and one refunds; ids are prepared once for each kind of id, before the
// first request, and recorded as payments of the load that pays.
func TestNeeds(t *testing.T) {
	s := &till{paid: map[string]int{}}
	srv := serve(t, s.ServeHTTP)
	loads := []*Load{newLoad("read", 100, Poisson), newLoad("refund", 100, Poisson), newLoad("read", 50, Constant), newLoad("pay", 1, Constant)}
	r := newRig(t, addrOf(srv), loads...)
	ctx, cancel := context.WithCancel(context.Background())
	go r.until(ctx, cancel, func() bool {
		return r.j.Since(patient, 0).Good >= 20 && r.j.Since(patient, 1).Good >= 20 && r.j.Since(patient, 2).Good >= 10
	})
	var wg sync.WaitGroup
	for i, l := range loads[:3] {
		session := r.session
		session.Index, session.Rand = journal.OpID(i), seeded(uint64(i))
		wg.Go(func() {
			if err := l.Run(ctx, session); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	h := r.history()
	prepared := map[string]bool{}
	worked := make([]int, 4)
	for _, x := range h.Samples {
		switch {
		case x.Flags&journal.FlagPrepare != 0:
			if x.Op != 3 || x.Key[7] != 1 || x.Result != journal.OK || x.Amount == 0 || x.Windowed() {
				t.Errorf("preparation %+v", x)
			}
			prepared[x.Key.String()] = true
		case x.Class == journal.Good:
			worked[x.Op]++
		case x.Err == journal.ErrNotSent && x.Class == journal.Bad: // due in the last moment of a busy machine
		default:
			t.Errorf("%+v", x)
		}
	}
	slices.Sort(s.keys)
	if len(s.wrong) > 0 {
		t.Errorf("asked for what was never acknowledged so: %q", s.wrong)
	}
	// 20 ids of any payment; 20 of captured ones, which are two of three, and some are tried again
	if n := len(prepared); n < 40 || n > 60 || n != len(s.keys) || len(slices.Compact(s.keys)) != n {
		t.Errorf("%d prepared, %d paid", n, len(s.keys))
	}
	if worked[0] < 20 || worked[1] < 20 || worked[2] < 10 {
		t.Errorf("good requests: %v", worked)
	}
}

// TestNoID: when nothing could be prepared, requests are recorded as never sent, not as 404s.
func TestNoID(t *testing.T) {
	s := &till{paid: map[string]int{}, denied: true}
	srv := serve(t, s.ServeHTTP)
	l := newLoad("read", 100, Constant)
	r := newRig(t, addrOf(srv), l, newLoad("pay", 1, Constant))
	h := r.runUntil(l, func() bool { return r.j.Since(patient, 0).Excluded >= 20 })
	var not, tried int
	for _, x := range h.Samples {
		switch {
		case x.Flags&journal.FlagPrepare != 0 && x.Op == 1 && x.Result == journal.Unknown && x.Status == 503:
			tried++
		case x.Sent == 0 && x.Err == journal.ErrNotSent && x.Class == journal.Excluded && x.Result == journal.Failed:
			not++
		default:
			t.Errorf("%+v", x)
		}
	}
	if tried != 20*prepareRounds || not < 20 || len(s.wrong) > 0 {
		t.Errorf("%d tried, %d not sent, wrong %q", tried, not, s.wrong)
	}
}

func TestAckNames(t *testing.T) {
	for want, n := range map[string]target.Need{
		"pay/id":         {From: "pay", Field: "id"},
		"pay/ref/201":    {From: "pay", Field: "ref", Status: []int{201}},
		"pay/id/201,202": {From: "pay", Field: "id", Status: []int{202, 201}},
	} {
		if got := ackName(n); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := offers(shop(), "pay"); len(got) != 2 || got[0].acks != "pay/id" || got[1].acks != "pay/id/201" {
		t.Errorf("offers %+v", got)
	}
}

// TestHostileIDs: an id goes into paths, headers and bodies, so it must be made of harmless letters.
func TestHostileIDs(t *testing.T) {
	a := parseAnswer([]byte(`{"ok":"a-1_b.c:2","number":17,"up":"../../admin","dots":"..","nl":"a\r\nX: y","quote":"a\"b","list":[1],"long":"` + strings.Repeat("x", 200) + `"}`))
	for field, want := range map[string]string{"ok": "a-1_b.c:2", "number": "17", "up": "", "dots": "", "nl": "", "quote": "", "list": "", "long": "", "none": ""} {
		if got := a.text(field); got != want {
			t.Errorf("%s: got %q, want %q", field, got, want)
		}
	}
	if !parseAnswer([]byte(`{"id":"x"}`)).ref("id").Zero() || parseAnswer([]byte("<html>")) != nil {
		t.Error("a ref from no UUID, or an answer from no JSON")
	}
}

// TestTheFirstSpanIsKnown: what the load sends as the parent of a request's first span is what readers of
// traces look for.
func TestTheFirstSpanIsKnown(t *testing.T) {
	id := journal.ID{1, 2, 3, 15: 7}
	c := (&template{}).content(journal.ID{}, id)
	if want := "00-" + id.String() + "-" + trace.ClientSpan(trace.ID(id)).String() + "-01"; c.traceparent != want {
		t.Errorf("sent %s, want %s", c.traceparent, want)
	}
}
