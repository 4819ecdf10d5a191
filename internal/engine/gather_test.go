package engine

import (
	"strings"
	"testing"
	"time"

	"chaos/internal/journal"
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
