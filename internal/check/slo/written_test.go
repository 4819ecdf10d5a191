package slo

import (
	"regexp"
	"testing"

	"chaos/internal/journal"
)

// TestLanguages: what the parser takes matches, what has another shape does not.
func TestLanguages(t *testing.T) {
	loads := []journal.LoadInfo{{Name: "pay", Rate: 100}}
	readers := map[string]func(string) error{
		"sli":   func(s string) error { _, err := parseSLI(s, names(loads)); return err },
		"guard": func(s string) error { _, err := ParseGuard(s, loads); return err },
		"limit": func(s string) error {
			_, err := Objective{Name: "x", SLI: "recovery_time(pay)", Max: s}.Checks(loads)
			if _, asRate := (Objective{Name: "x", SLI: "rate(pay)", Max: s}).Checks(loads); asRate == nil {
				return nil
			}
			return err
		},
	}
	for language, texts := range map[string]map[string]bool{
		"sli": {
			"availability(pay)": true, " under ( pay , 250ms ) ": true, "quantile(pay, 0.99)": true, "quantile(pay, .5)": true, "rate(pay)": true,
			"rejected_cleanly(pay,50ms)": true, "recovery_time(pay)": true, "availabilty(pay)": false, "availability(pay": false, "availability()": false,
			"under(pay)": false, "under(pay, 250)": false, "availability(pay, 1s)": false, "availability(pay) x": false, "": false, "quantile(pay, 5s)": false,
		},
		"guard": {
			"availability(pay) < 10% for 5s": true, "availability(pay)<=10%for 5s": true, "rate(pay) > 5/s for 1m": true, "availability(pay) < 10 for 5s": false,
			"availability(pay) < 10%": false, "under(pay, 1s) < 10% for 5s": false, "availability(pay) = 10% for 5s": false, "rate(pay) < 10% for 5s": false, "": false,
		},
		"limit": {"15s": true, "250ms": true, "50/s": true, "50": true, "0.5 /s": true, "15": true, "15 s": false, "fast": false, "50/m": false, "": false, "-1s": false},
	} {
		rule := regexp.MustCompile(Languages()[language].Pattern)
		for text, want := range texts {
			err := readers[language](text)
			if rule.MatchString(text) != want || (err == nil) != want {
				t.Errorf("%s %q: want %v, the pattern says %v, the parser %v", language, text, want, rule.MatchString(text), err)
			}
		}
	}
}
