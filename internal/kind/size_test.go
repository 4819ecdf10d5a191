package kind

import (
	"strings"
	"testing"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0B": 0, "512B": 512, "64KB": 64_000, " 1.5 KB ": 1500, "4MiB": 4 << 20, "1KiB": 1024, "2GiB": 2 << 30, "3MB": 3e6, "1000GB": MaxSize,
	} {
		got, err := ParseSize(text)
		if err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
		if again, err := ParseSize(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q, read as %d, %v", text, got, again, err)
		}
	}
	for text, why := range map[string]string{
		"": "no unit", "64": "no unit", "64kb": "no unit", "64K": "no unit", "B": "not a size", "-1B": "not a size", "1e3B": "not a size",
		"1.5B": "whole number", "1001GB": "absurd", "xKB": "not a size", "64KB/s": "no unit", "nanB": "not a size", "infB": "not a size",
	} {
		var s Size = 7
		if err := s.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), why) || s != 7 {
			t.Errorf("%q: got %v, %v; want an error with %q", text, s, err, why)
		}
	}
}

func TestThroughput(t *testing.T) {
	var r Throughput
	if err := r.UnmarshalText([]byte("64KB/s")); err != nil || r != 64_000 || r.String() != "64KB/s" {
		t.Errorf("%v, %v", r, err)
	}
	for _, text := range []string{"64KB", "64", "64/s", "64KB/m", "KB/s", "-1KB/s"} {
		if err := r.UnmarshalText([]byte(text)); err == nil || r != 64_000 {
			t.Errorf("%q: %v, %v", text, r, err)
		}
	}
}
