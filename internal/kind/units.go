package kind

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxRate is the highest rate an experiment may name, a second. What is higher is a typo, or more
// than one machine can send honestly.
const MaxRate Rate = 100_000

// Rate is a number of events a second, written with its unit: 50/s, 300/m.
type Rate float64

// ParseRate reads "50/s" or "300/m", above 0 and up to MaxRate. The unit is required.
func ParseRate(text string) (Rate, error) {
	digits, unit, ok := strings.Cut(strings.TrimSpace(text), "/")
	if !ok {
		return 0, fmt.Errorf("rate %q has no unit: write one such as 50/s or 300/m", text)
	}
	seconds := 0.0
	switch strings.TrimSpace(unit) {
	case "s":
		seconds = 1
	case "m":
		seconds = 60
	default:
		return 0, fmt.Errorf("rate %q has an unknown unit %q: write one such as 50/s or 300/m", text, unit)
	}
	digits = strings.TrimSpace(digits)
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil || strings.Trim(digits, "0123456789.") != "" {
		return 0, fmt.Errorf("%q is not a rate such as 50/s or 300/m", text)
	}
	r := Rate(v / seconds)
	if r <= 0 {
		return 0, fmt.Errorf("rate %q is not above 0", text)
	}
	if r > MaxRate {
		return 0, fmt.Errorf("rate %q is absurd: the highest allowed is %v", text, MaxRate)
	}
	return r, nil
}

// UnmarshalText reads what ParseRate reads.
func (r *Rate) UnmarshalText(text []byte) error {
	v, err := ParseRate(string(text))
	if err == nil {
		*r = v
	}
	return err
}

// String writes the rate as it is read.
func (r Rate) String() string { return strconv.FormatFloat(float64(r), 'g', -1, 64) + "/s" }
