package kind

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestOffset(t *testing.T) {
	written := regexp.MustCompile(Offset(0).Syntax().Pattern)
	for text, want := range map[string]time.Duration{"+10s": 10 * time.Second, "10s": 10 * time.Second, "-1h30m": -90 * time.Minute, "0s": 0, " +250ms": 250 * time.Millisecond} {
		var o, again Offset
		if err := o.UnmarshalText([]byte(text)); err != nil || time.Duration(o) != want {
			t.Errorf("%q is read as %v, %v; want %v", text, o, err, want)
		}
		if err := again.UnmarshalText([]byte(o.String())); err != nil || again != o {
			t.Errorf("%q is written as %q, read as %v, %v", text, o, again, err)
		}
		if !written.MatchString(text) {
			t.Errorf("the schema refuses %q", text)
		}
	}
	for text, why := range map[string]string{"": "no duration", "+": "no duration", "--1s": "negative", "+-1s": "negative", "10": "no unit", "25h": "absurd", "1us": "whole number of milliseconds", "soon": "not a duration"} {
		o := Offset(7)
		if err := o.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), why) || o != 7 {
			t.Errorf("%q: got %v, %v; want an error with %q", text, o, err, why)
		}
	}
}
