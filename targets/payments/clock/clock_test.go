package clock

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func ask(t *testing.T, c *Clock, method, body string) (int, State) {
	t.Helper()
	mux := http.NewServeMux()
	c.Internal(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(method, "/admin/clock", strings.NewReader(body)))
	var s State
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
	}
	return w.Code, s
}

func TestTheSwitchMovesTheClock(t *testing.T) {
	c := &Clock{}
	for _, offset := range []time.Duration{-time.Hour, 0, 90 * time.Second} {
		body, err := json.Marshal(map[string]int64{"offset_ms": offset.Milliseconds()})
		if err != nil {
			t.Fatal(err)
		}
		before := time.Now().Round(0)
		code, s := ask(t, c, http.MethodPut, string(body))
		now := c.Now()
		after := time.Now().Round(0)
		if code != http.StatusOK || s.OffsetMS != offset.Milliseconds() {
			t.Errorf("PUT %s: %d, %+v", body, code, s)
		}
		for _, at := range []time.Time{s.Now, now} {
			if at.Before(before.Add(offset)) || at.After(after.Add(offset)) {
				t.Errorf("offset %v: it reads %v, not between %v and %v", offset, at, before.Add(offset), after.Add(offset))
			}
		}
	}
	if _, s := ask(t, c, http.MethodGet, ""); s.Reads != 3 {
		t.Errorf("%d reads, want the 3 of Now: looking at the clock is no use of it", s.Reads)
	}
	for _, body := range []string{`{}`, `{"offset_ms":1.5}`, `{"offset_ms":315360000001}`, `nonsense`} {
		if code, _ := ask(t, c, http.MethodPut, body); code != http.StatusBadRequest {
			t.Errorf("PUT %s: %d", body, code)
		}
	}
	if _, s := ask(t, c, http.MethodGet, ""); s.OffsetMS != 90_000 {
		t.Errorf("a refused document moved the clock: %+v", s)
	}
	var none *Clock
	if d := time.Since(none.Now()); d < 0 || d > time.Minute {
		t.Errorf("no clock is off by %v", d)
	}
}
