package vegeta

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"chaos/internal/journal"
	"chaos/internal/target"
)

func TestOutcome(t *testing.T) {
	op := shop().Ops["pay"]
	op.NoEffect = []int{418}
	tmpl, err := compile("pay", op)
	if err != nil {
		t.Fatal(err)
	}
	shed := http.Header{"X-Shed": {"1"}, "Retry-After": {"2"}}
	both := journal.FlagShed | journal.FlagRetryAfter
	for _, tt := range []struct {
		status int
		header http.Header
		result journal.Result
		class  journal.Class
		flags  journal.Flags
	}{
		{201, nil, journal.OK, journal.Good, 0},
		{402, nil, journal.OK, journal.Good, 0},
		{200, nil, journal.Unknown, journal.Bad, 0}, // not in the op's list
		{400, nil, journal.Failed, journal.Excluded, 0},
		{422, nil, journal.Failed, journal.Excluded, 0},
		{401, nil, journal.Failed, journal.Bad, 0},
		{404, nil, journal.Failed, journal.Bad, 0},
		{409, nil, journal.Unknown, journal.Bad, 0},
		{418, nil, journal.Failed, journal.Bad, 0},
		{429, http.Header{"Retry-After": {"1"}}, journal.Failed, journal.Bad, journal.FlagRetryAfter},
		{503, nil, journal.Unknown, journal.Bad, 0},
		{503, shed, journal.Failed, journal.Bad, both},
		{503, http.Header{"X-Shed": {"0"}}, journal.Unknown, journal.Bad, 0},
		{500, shed, journal.Unknown, journal.Bad, both},
	} {
		if r, c, f := tmpl.outcome(tt.status, tt.header); r != tt.result || c != tt.class || f != tt.flags {
			t.Errorf("%d %v: %v %v %b, want %v %v %b", tt.status, tt.header, r, c, f, tt.result, tt.class, tt.flags)
		}
	}
}

func TestReplayedIsNeverGood(t *testing.T) {
	tmpl, err := compile("pay", shop().Ops["pay"])
	if err != nil {
		t.Fatal(err)
	}
	var s journal.Sample
	tmpl.fillSample(&s, attempt{status: 201, err: journal.ErrReplayed, writes: 2})
	if s.Err != journal.ErrReplayed || s.Class != journal.Bad || s.Result != journal.Unknown || s.Attempts != 2 {
		t.Errorf("%+v", s)
	}
}

// The state and the id of an answer are on record where the op says which fields they are in; a refusal has none.
func TestAnswersAreKept(t *testing.T) {
	const id = "01234567-89ab-cdef-0123-456789abcdef"
	for _, tt := range []struct {
		field  string
		status int
		body   string
		state  string
	}{
		{"state", 200, `{"id":"` + id + `","state":"paid"}`, "paid"},
		{"state", 200, `{"id":"` + id + `","state":"longer than sixteen"}`, ""}, // no text that can be an id or a state
		{"state", 200, `{"id":"` + id + `","state":"longer_than_sixteen"}`, "longer_than_sixt"},
		{"", 200, `{"id":"` + id + `","state":"paid"}`, ""},
		{"state", 500, `{"id":"` + id + `","state":"paid"}`, ""},
	} {
		tmpl, err := compile("read", target.Op{Method: "GET", Port: "http", Path: "/", Good: []int{200}, ID: "id", State: tt.field})
		if err != nil {
			t.Fatal(err)
		}
		var s journal.Sample
		tmpl.fillSample(&s, attempt{status: tt.status, body: []byte(tt.body), writes: 1})
		if s.State != tt.state || s.Ref.Zero() == (tt.status == 200) {
			t.Errorf("%d %s by %q: state %q, ref %s", tt.status, tt.body, tt.field, s.State, s.Ref)
		}
	}
}

func TestCompile(t *testing.T) {
	for why, op := range map[string]target.Op{
		"unknown placeholder {ammount}": {Path: "/", Body: "{ammount}"},
		"tenants is empty":              {Path: "/", Headers: map[string]string{"X": "{tenant}"}},
		"amount is not given":           {Path: "/{amount}"},
		"must begin with /":             {Path: "pay"},
		"is no range":                   {Path: "/", Amount: &target.Range{Min: 2, Max: 1}},
	} {
		if _, err := compile("x", op); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("got %v, want %s", err, why)
		}
	}
	tmpl, err := compile("x", target.Op{Path: "/", Body: `{"a":{"b":{key}},"c":[{}]}{key}`})
	if err != nil {
		t.Fatal(err)
	}
	if got := tmpl.body.fill(&values{key: "K"}); got != `{"a":{"b":K},"c":[{}]}K` {
		t.Errorf("got %s", got)
	}
}

type timeout struct{ error }

func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want journal.ErrClass
	}{
		{nil, journal.ErrNone},
		{context.Canceled, journal.ErrCanceled},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), journal.ErrTimeout},
		{timeout{errors.New("i/o timeout")}, journal.ErrTimeout},
		{fmt.Errorf("dial: %w", syscall.ECONNREFUSED), journal.ErrRefused},
		{fmt.Errorf("read: %w", syscall.ECONNRESET), journal.ErrReset},
		{fmt.Errorf("write: %w", syscall.EPIPE), journal.ErrReset},
		{io.ErrUnexpectedEOF, journal.ErrEOF},
		{errors.New("http: server closed idle connection"), journal.ErrEOF},
		{errors.New("malformed HTTP response"), journal.ErrOther},
	} {
		if got := classify(tt.err); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.err, got, tt.want)
		}
	}
}
