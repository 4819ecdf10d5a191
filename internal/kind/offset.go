package kind

import (
	"fmt"
	"strings"
	"time"
)

// Offset is how far something is from where it should be, either way: +10s, -1h30m. Whole milliseconds.
type Offset time.Duration

// UnmarshalText reads a duration with an optional sign; at most MaxDuration either way.
func (o *Offset) UnmarshalText(text []byte) error {
	digits := strings.TrimSpace(string(text))
	sign := Offset(1)
	switch {
	case strings.HasPrefix(digits, "-"):
		sign = -1
		fallthrough
	case strings.HasPrefix(digits, "+"):
		digits = digits[1:]
	}
	d, err := ParseDuration(digits)
	if err != nil {
		return fmt.Errorf("offset %q: %w", text, err)
	}
	if d%time.Millisecond != 0 {
		return fmt.Errorf("offset %q is not a whole number of milliseconds", text)
	}
	*o = sign * Offset(d)
	return nil
}

// String writes the offset with its sign, so that it is read as what it is.
func (o Offset) String() string {
	if o > 0 {
		return "+" + time.Duration(o).String()
	}
	return time.Duration(o).String()
}

// Syntax implements Written.
func (Offset) Syntax() Syntax {
	pattern := strings.TrimPrefix(DurationSyntax().Pattern, "^")
	return Syntax{Pattern: `^\s*[+-]?` + pattern, Doc: "a time with its unit and its sign, such as +10s or -1h30m", Example: "+10s"}
}
