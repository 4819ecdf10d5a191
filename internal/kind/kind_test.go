package kind

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestNearest(t *testing.T) {
	valid := []string{"latency", "jitter", "toxic.reset", "pay", "read", "payments->psp"}
	for name, want := range map[string]string{
		"latncy": "latency", "latenyc": "latency", "Latency": "latency", "jiter": "jitter", "toxic.rest": "toxic.reset",
		"pya": "pay", "pau": "pay", "reda": "read", "payments->ps": "payments->psp",
		"": "", "x": "", "by": "", "bandwidth": "", strings.Repeat("latency", 100): "",
	} {
		if got := Nearest(name, valid); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
	if got := Nearest("a", nil); got != "" {
		t.Errorf("nearest of nothing is %q", got)
	}
}

func TestPercent(t *testing.T) {
	for text, want := range map[string]Percent{"99.9%": 0.999, "0%": 0, "100%": 1, " 95 % ": 0.95, "99.95%": 0.9995, "33.3%": 0.333} {
		var p Percent
		if err := p.UnmarshalText([]byte(text)); err != nil || p != want {
			t.Errorf("%q is %v (%v), want %v", text, float64(p), err, float64(want))
		}
	}
	for _, text := range []string{"", "%", "99.9", "0.999", "100.1%", "-1%", "1e1%", "NaN%", "Inf%", "99,9%", "1.2.3%"} {
		p := Percent(0.5)
		if err := p.UnmarshalText([]byte(text)); err == nil || p != 0.5 {
			t.Errorf("%q was taken as %v", text, float64(p))
		}
	}
	for p, want := range map[Percent]string{0.999: "99.9%", 1: "100%", 0: "0%", 0.9995: "99.95%", 0.00038: "0.038%"} {
		if got := p.String(); got != want {
			t.Errorf("%v is written %s, want %s", float64(p), got, want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"0s": 0, "250ms": 250 * time.Millisecond, "1m30s": 90 * time.Second, "24h": MaxDuration} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q is %v (%v), want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "no duration", "10": "no unit: write 10ms", "0": "no unit", "10sec": "units:", "-1s": "negative", "24h1ns": "absurd", "1d": "units:", "ten": "units:", "+5s": "write 5s",
	} {
		if _, err := ParseDuration(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// node is a Node that decodes a fixed value.
type node struct {
	value string
	label string
	fail  error
}

func (n node) Decode(into any) error {
	if n.fail != nil {
		return n.fail
	}
	into.(*thing).Value = n.label + n.value
	return nil
}

func (n node) Errorf(format string, args ...any) error {
	return fmt.Errorf("at %s: %w", n.value, fmt.Errorf(format, args...))
}

func (n node) In(label string) Node {
	n.label = label + "/"
	return n
}

type thing struct{ Value string }

var errOdd = errors.New("odd")

func (v *thing) Validate() error {
	if strings.HasSuffix(v.Value, "odd") {
		return errOdd
	}
	return nil
}

func TestBind(t *testing.T) {
	table := Table[*thing]{{Name: "a.one", New: func() *thing { return &thing{} }}, {Name: "a.two", New: func() *thing { return &thing{} }}}
	v, err := table.Bind("a.one", node{value: "name"}, node{value: "x"})
	if err != nil || v.Value != "a.one/x" {
		t.Errorf("%+v, %v", v, err)
	}
	if again, _ := table.Bind("a.one", node{}, node{value: "x"}); again == v {
		t.Error("two bindings share a value")
	}
	_, err = table.Bind("a.on", node{value: "name"}, node{value: "x"})
	if err == nil || err.Error() != `at name: unknown kind "a.on" — did you mean "a.one"? (valid: a.one, a.two)` {
		t.Errorf("unknown: %v", err)
	}
	_, err = table.Bind("a.one", node{}, node{value: "odd"})
	if !errors.Is(err, errOdd) || err.Error() != "at odd: a.one: odd" {
		t.Errorf("not valid: %v", err)
	}
	if _, err = table.Bind("a.one", node{}, node{fail: errOdd}); err != errOdd {
		t.Errorf("not decoded: %v", err)
	}
}
