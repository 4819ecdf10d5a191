package kind

import (
	"regexp"
	"testing"
)

// TestSyntax: a pattern takes whatever its reader takes, and of these texts nothing else but what only
// arithmetic can refuse.
func TestSyntax(t *testing.T) {
	texts := []string{
		"", "0", "1", "1s", "0s", ".5s", "5.s", "1.5h", "1m30s", "250ms", "5us", "5µs", "5ns", "1d", "s", "1 s", "-1s", "+1s", "1sec", "25h",
		"%", "0%", "00%", "100%", "0100%", "100.0%", "100.1%", "101%", "99.9%", " 95 % ", ".5%", "5.%", ".%", "9", "-1%", "1e1%", "999%",
		"50/s", "0/s", "0.0/s", "0.5/s", ".5/m", "300 / m", " 1/s ", "1/h", "/s", "1", "1/", "1e3/s", "1.2.3/s", "-1/s", "100001/s",
		"512B", "64KB", "4MiB", " 1.5 KiB ", "0B", "1GB", ".5KB", "1.5B", "2TB", "64kb", "KB", "-1B", "9999GB", "64KB/s", "1MiB /s", "0B/s", " 3B/s ", "1KB/m", "B/s", ".5KB/s",
	}
	arithmetic := map[string]bool{"25h": true, "100001/s": true, "1.5B": true, "9999GB": true}
	for name, c := range map[string]struct {
		syntax Syntax
		read   func(string) error
	}{
		"duration":   {DurationSyntax(), func(s string) error { _, err := ParseDuration(s); return err }},
		"percent":    {Percent(0).Syntax(), func(s string) error { return new(Percent).UnmarshalText([]byte(s)) }},
		"size":       {Size(0).Syntax(), func(s string) error { _, err := ParseSize(s); return err }},
		"throughput": {Throughput(0).Syntax(), func(s string) error { return new(Throughput).UnmarshalText([]byte(s)) }},
		"rate":       {Rate(0).Syntax(), func(s string) error { _, err := ParseRate(s); return err }},
	} {
		rule := regexp.MustCompile(c.syntax.Pattern)
		taken := 0
		for _, text := range texts {
			err := c.read(text)
			if err == nil {
				taken++
			}
			if matches := rule.MatchString(text); matches != (err == nil) && !(matches && arithmetic[text]) {
				t.Errorf("%s %q: the pattern says %v, the reader %v", name, text, matches, err)
			}
		}
		if taken < 5 {
			t.Errorf("%s: only %d texts were taken: the test compares nothing", name, taken)
		}
	}
}
