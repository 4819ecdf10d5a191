package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"chaos/internal/journal"
	"chaos/internal/target"
)

func contains(s string, all ...string) bool {
	for _, part := range all {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}

func TestAnAuditThatWasCutIsAnError(t *testing.T) {
	row := `{"type":"charge","key":"k","amount_minor":5}` + "\n"
	for _, c := range []struct {
		name, body, err string
		n               int
	}{
		{"whole", row + `{"type":"end","count":1}`, "", 1},
		{"empty", `{"type":"end","count":0}`, "", 0},
		{"nothing at all", "", "no end line", 0},
		{"no end", row, "no end line", 1},
		{"lies", row + `{"type":"end","count":2}`, "was cut", 1},
		{"garbage", "<html>", "line 1", 0},
	} {
		records, err := parseAudit("psp", []byte(c.body))
		if (err == nil) != (c.err == "") || (err != nil && !strings.Contains(err.Error(), c.err)) || len(records) != c.n {
			t.Errorf("%s: %d records, error %v", c.name, len(records), err)
		}
		for _, r := range records {
			if r.Source != "psp" || r.Amount != 5 {
				t.Errorf("%s: %+v", c.name, r)
			}
		}
	}
}

// twins is a system of which some nodes can't be reached.
type twins struct {
	target.System
	dead map[string]error
}

func (s twins) Call(_ context.Context, c target.Call) ([]byte, error) {
	return []byte(c.Query.Node), s.dead[c.Query.Node]
}

// A replica answers for a node that was killed, but only for one, and only if it is not a witness of its own.
func TestAReplicaAnswersForADeadWitness(t *testing.T) {
	gone, refused := errors.New("not published now"), &target.StatusError{Status: 503}
	nodes := []target.NodeSpec{{Name: "a", Service: "payments"}, {Name: "b", Service: "payments"}, {Name: "c", Service: "orders"}, {Name: "d"}, {Name: "e"}}
	for _, c := range []struct {
		name  string
		audit map[string]target.Query
		dead  map[string]error
		ask   string
		from  string // "": an error
	}{
		{"alive", nil, nil, "a", "a"},
		{"killed", nil, map[string]error{"a": gone}, "a", "b"},
		{"both killed", nil, map[string]error{"a": gone, "b": gone}, "a", ""},
		{"it answers that it can't", nil, map[string]error{"a": refused}, "a", ""},
		{"the other is asked for itself", map[string]target.Query{"b": {Node: "b"}}, map[string]error{"a": gone}, "a", ""},
		{"nobody of its service", nil, map[string]error{"c": gone}, "c", ""},
		{"without a service", nil, map[string]error{"d": gone}, "d", ""},
	} {
		r := &run{sys: twins{dead: c.dead}, plan: &Plan{Topology: &target.Topology{Nodes: nodes, Audit: c.audit}}}
		body, err := r.ask(t.Context(), target.Query{Node: c.ask})
		if got := string(body); (err == nil) != (c.from != "") || err == nil && got != c.from {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.from)
		}
	}
}

func TestUnresolvedAreSentUnknownWithEffectAndNoAnswerSince(t *testing.T) {
	key := func(b byte) (id journal.ID) { id[0] = b; return id }
	h := &journal.History{Run: journal.RunInfo{Loads: []journal.LoadInfo{{Name: "pay", Effect: "payment"}, {Name: "read"}}},
		Samples: []journal.Sample{
			{Key: key(1), Sent: time.Second},                                                // unresolved
			{Key: key(2), Sent: time.Second},                                                // resolved by its replay
			{Key: key(2), Sent: time.Second, Result: journal.OK, Flags: journal.FlagReplay}, //
			{Key: key(3)},                                                                                                // never sent
			{Key: key(4), Sent: time.Second, Op: 1},                                                                      // no effect
			{Key: key(5), Sent: time.Second, Result: journal.Failed},                                                     // known
			{Key: key(6), Sent: time.Second, Result: journal.Unknown}, {Key: key(6), Sent: 1, Flags: journal.FlagReplay}, // replayed in vain
			{Key: key(7), Sent: time.Second}, {Key: key(7), Sent: 1, Flags: journal.FlagReplay, Result: journal.Failed}, // the replay was refused
		}}
	got := Unresolved(h)
	if len(got) != 3 || got[0].Key != key(1) || got[1].Key != key(6) || got[2].Key != key(7) {
		t.Errorf("unresolved %+v", got)
	}
}
