package vegeta

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"chaos/internal/journal"
	"chaos/internal/target"
)

// The placeholders that every op has; the others are the names of its needs.
const (
	holdKey         = "key"
	holdTraceparent = "traceparent"
	holdTenant      = "tenant"
	holdAmount      = "amount"
)

// placeholder matches {name}; a JSON body has no such thing, as its keys are quoted.
var placeholder = regexp.MustCompile(`\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// text is a template cut at its placeholders: fixed[0] hold[0] fixed[1] hold[1] … fixed[n].
type text struct {
	fixed, hold []string
}

func cut(s string) (t text) {
	at := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(s, -1) {
		t.fixed = append(t.fixed, s[at:m[0]])
		t.hold = append(t.hold, s[m[2]:m[3]])
		at = m[1]
	}
	t.fixed = append(t.fixed, s[at:])
	return t
}

// values is what the placeholders of one request stand for.
type values struct {
	key, traceparent, tenant, amount string
	ids                              map[string]string
}

func (v *values) get(name string) string {
	switch name {
	case holdKey:
		return v.key
	case holdTraceparent:
		return v.traceparent
	case holdTenant:
		return v.tenant
	case holdAmount:
		return v.amount
	}
	return v.ids[name]
}

func (t text) fill(v *values) string {
	if len(t.hold) == 0 {
		return t.fixed[0]
	}
	var b strings.Builder
	for i, name := range t.hold {
		b.WriteString(t.fixed[i])
		b.WriteString(v.get(name))
	}
	b.WriteString(t.fixed[len(t.hold)])
	return b.String()
}

type header struct {
	name string // canonical
	text text
}

// template is an op, ready to be filled in.
type template struct {
	op      target.Op
	method  string
	path    text
	headers []header
	body    text
	shed    string
}

// compile checks an op's placeholders and cuts its texts.
func compile(name string, op target.Op) (*template, error) {
	t := &template{op: op, method: op.Method, path: cut(op.Path), body: cut(op.Body), shed: op.Shed}
	if t.method == "" {
		t.method = http.MethodGet
	}
	if t.shed == "" {
		t.shed = "X-Shed"
	}
	if !strings.HasPrefix(op.Path, "/") {
		return nil, fmt.Errorf("op %s: path %q must begin with /", name, op.Path)
	}
	all := []text{t.path, t.body}
	for h, v := range op.Headers {
		t.headers = append(t.headers, header{http.CanonicalHeaderKey(h), cut(v)})
		all = append(all, t.headers[len(t.headers)-1].text)
	}
	for _, x := range all {
		for _, hold := range x.hold {
			if err := known(op, hold); err != nil {
				return nil, fmt.Errorf("op %s: %w", name, err)
			}
		}
	}
	if a := op.Amount; a != nil && (a.Min < 0 || a.Max < a.Min || a.Max-a.Min == math.MaxInt64) {
		return nil, fmt.Errorf("op %s: amount %d to %d is no range", name, a.Min, a.Max)
	}
	return t, nil
}

// known says what is wrong with a placeholder, if anything.
func known(op target.Op, hold string) error {
	_, needed := op.Needs[hold]
	switch {
	case needed || hold == holdKey || hold == holdTraceparent:
		return nil
	case hold == holdTenant && len(op.Tenants) == 0:
		return fmt.Errorf("{tenant} is used but tenants is empty")
	case hold == holdAmount && op.Amount == nil:
		return fmt.Errorf("{amount} is used but amount is not given")
	case hold == holdTenant || hold == holdAmount:
		return nil
	}
	return fmt.Errorf("unknown placeholder {%s}", hold)
}

// content is the random part of a request: a function of its trace id alone.
type content struct {
	values
	cents int64
	rng   *rand.Rand // goes on with the picks of needed ids
}

func (t *template) content(key, trace journal.ID) content {
	rng := rand.New(rand.NewPCG(binary.BigEndian.Uint64(trace[:8]), binary.BigEndian.Uint64(trace[8:])))
	c := content{rng: rng}
	c.key = key.String()
	var span [8]byte
	binary.BigEndian.PutUint64(span[:], rng.Uint64()|1)
	c.traceparent = "00-" + trace.String() + "-" + hex.EncodeToString(span[:]) + "-01"
	if n := len(t.op.Tenants); n > 0 {
		c.tenant = t.op.Tenants[rng.IntN(n)]
	}
	if a := t.op.Amount; a != nil {
		c.cents = a.Min + rng.Int64N(a.Max-a.Min+1)
		c.amount = strconv.FormatInt(c.cents, 10)
	}
	return c
}

// makeKey is hex of [6 bytes run id][1 byte load index][1 byte kind][8 bytes seq].
func makeKey(run [6]byte, load journal.OpID, kind byte, seq uint64) (id journal.ID) {
	copy(id[:6], run[:])
	id[6], id[7] = byte(load), kind
	binary.BigEndian.PutUint64(id[8:], seq)
	return id
}

// Kinds of keys.
const (
	keyLoad    = 0
	keyPrepare = 1
)

// noEffect are the statuses that promise that nothing happened, whatever the op.
var noEffect = []int{400, 401, 403, 404, 422, 429}

// outcome is the meaning of a whole answer (docs/experiment.md, "Outcome of a request").
func (t *template) outcome(status int, h http.Header) (journal.Result, journal.Class, journal.Flags) {
	var flags journal.Flags
	if h.Get("Retry-After") != "" {
		flags |= journal.FlagRetryAfter
	}
	switch h.Get(t.shed) {
	case "", "0", "false":
	default:
		flags |= journal.FlagShed
	}
	class := journal.Bad
	switch {
	case slices.Contains(t.op.Good, status):
		return journal.OK, journal.Good, flags
	case slices.Contains(t.op.Excluded, status):
		class = journal.Excluded
	}
	if slices.Contains(noEffect, status) || slices.Contains(t.op.NoEffect, status) ||
		status == http.StatusServiceUnavailable && flags&journal.FlagShed != 0 {
		return journal.Failed, class, flags
	}
	return journal.Unknown, class, flags
}
