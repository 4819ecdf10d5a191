package kind

import (
	"math"
	"strings"
	"testing"
)

func TestParseRate(t *testing.T) {
	for text, want := range map[string]Rate{"50/s": 50, "300/m": 5, " 0.5 / s ": 0.5, "100000/s": MaxRate} {
		got, err := ParseRate(text)
		if err != nil || math.Abs(float64(got-want)) > 1e-12 {
			t.Errorf("ParseRate(%q) = %v, %v; want %v", text, got, err, want)
		}
		if again, err := ParseRate(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q, read as %v, %v", text, got, again, err)
		}
	}
	for text, why := range map[string]string{
		"": "unit", "50": "unit", "50/h": "unknown unit", "0/s": "above 0", "-1/s": "not a rate", "x/s": "not a rate",
		"1e3/s": "not a rate", "inf/s": "not a rate", "nan/s": "not a rate", "100001/s": "absurd", "/s": "not a rate", "50/s/s": "unknown unit",
	} {
		var r Rate = 7
		err := r.UnmarshalText([]byte(text))
		if err == nil || !strings.Contains(err.Error(), why) || r != 7 {
			t.Errorf("%q: got %v, %v; want an error with %q", text, r, err, why)
		}
	}
}

func TestSizeIsWrittenAsItIsRead(t *testing.T) {
	for text, want := range map[string]Size{"64MiB": 64 << 20, "1GiB": 1 << 30, "1024 MiB": 1 << 30, "3KiB": 3 << 10} {
		got, err := ParseSize(text)
		if err != nil || got != want {
			t.Errorf("ParseSize(%q) = %v, %v; want %v", text, got, err, want)
		}
		if again, err := ParseSize(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q, read as %v, %v", text, got, again, err)
		}
	}
	for size, want := range map[Size]string{0: "0B", 1: "1B", 7229440: "7060KiB", 1536 << 20: "1536MiB", 512 << 10: "512KiB", 64000: "64KB"} {
		if got := size.String(); got != want {
			t.Errorf("%d is written as %q, want %q", int64(size), got, want)
		}
	}
	if got := Size(7229441).About(); got != "6.9MiB" {
		t.Errorf("about 6.9 MiB is written as %q", got)
	}
}
