package proxy

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// attribute is one setting of a kind, read from and written to JSON.
type attribute struct {
	name string
	unit string
	read func(*settings, json.RawMessage) error
	show func(*settings) any // nil: not shown, because it is what stock would do
	// scale sets a number in the attribute's unit, for a ramp; nil: it takes none.
	scale func(*settings, float64)
}

// duration is an attribute in whole milliseconds: 0, or from least to maxDelay.
func duration(name string, least time.Duration, field func(*settings) *time.Duration) attribute {
	return attribute{name, "ms", func(s *settings, raw json.RawMessage) error {
		ms, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			return fmt.Errorf("want a whole number of milliseconds")
		}
		if ms < 0 || ms > maxDelay.Milliseconds() || (ms > 0 && ms < least.Milliseconds()) {
			return fmt.Errorf("want 0 or %d to %d ms", max(1, least.Milliseconds()), maxDelay.Milliseconds())
		}
		*field(s) = time.Duration(ms) * time.Millisecond
		return nil
	}, func(s *settings) any { return field(s).Milliseconds() }, func(s *settings, v float64) {
		*field(s) = time.Duration(v * float64(time.Millisecond))
	}}
}

// whole is an attribute that is a whole number of a unit, from least to most.
func whole(name, unit string, least, most int64, field func(*settings) *int64) attribute {
	return attribute{name, fmt.Sprintf("%s, %d to %d", unit, least, most), func(s *settings, raw json.RawMessage) error {
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			return fmt.Errorf("want a whole number")
		}
		if n < least || n > most {
			return fmt.Errorf("want %d to %d", least, most)
		}
		*field(s) = n
		return nil
	}, func(s *settings) any { return *field(s) }, func(s *settings, v float64) { *field(s) = int64(math.Round(v)) }}
}

// boolean is an attribute that is true or false.
func boolean(name string, field func(*settings) *bool) attribute {
	return attribute{name, "true or false", func(s *settings, raw json.RawMessage) error {
		return json.Unmarshal(raw, field(s))
	}, func(s *settings) any { return *field(s) }, nil}
}

// word is an attribute that is one of a few words.
func word(name string, words []string, field func(*settings) *string) attribute {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	valid := strings.Join(quoted, " or ")
	return attribute{name, valid, func(s *settings, raw json.RawMessage) error {
		var w string
		if err := json.Unmarshal(raw, &w); err != nil || !slices.Contains(words, w) {
			return fmt.Errorf("want %s", valid)
		}
		*field(s) = w
		return nil
	}, func(s *settings) any { return *field(s) }, nil}
}

// share is an attribute from 0 to 1.
func share(name string, field func(*settings) *float64) attribute {
	return attribute{name, "share, 0 to 1", func(s *settings, raw json.RawMessage) error {
		v, err := strconv.ParseFloat(string(raw), 64)
		if err != nil || !(v >= 0 && v <= 1) {
			return fmt.Errorf("want a number from 0 to 1")
		}
		*field(s) = v
		return nil
	}, func(s *settings) any { return *field(s) }, func(s *settings, v float64) { *field(s) = v }}
}

// beyond is an attribute that stock does not have: it is shown only when it is not what stock would do.
func beyond(a attribute, stock any) attribute {
	show := a.show
	a.show = func(s *settings) any {
		if v := show(s); v != stock {
			return v
		}
		return nil
	}
	return a
}
