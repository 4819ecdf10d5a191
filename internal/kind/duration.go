package kind

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// MaxDuration is the longest time an experiment or a target may name. What is longer is a typo.
const MaxDuration = 24 * time.Hour

var durationRule = regexp.MustCompile(DurationSyntax().Pattern)

// ParseDuration reads a time with its unit, such as 250ms or 1m30s, between 0 and MaxDuration.
func ParseDuration(text string) (time.Duration, error) {
	switch {
	case text == "":
		return 0, fmt.Errorf("no duration given: write one such as 250ms or 10s")
	case strings.Trim(text, "0123456789.") == "":
		return 0, fmt.Errorf("duration %q has no unit: write %sms, %ss or %sm", text, text, text, text)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration: write one such as 250ms, 10s, 1m30s (units: us, ms, s, m, h)", text)
	}
	if d < 0 {
		return 0, fmt.Errorf("duration %s is negative", text)
	}
	if !durationRule.MatchString(text) { // a sign, or 0 in other words
		return 0, fmt.Errorf("%q is not a duration: write %v", text, d)
	}
	if d > MaxDuration {
		return 0, fmt.Errorf("duration %s is absurd: the longest allowed is %v", text, MaxDuration)
	}
	return d, nil
}
