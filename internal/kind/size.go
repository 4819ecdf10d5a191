package kind

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// MaxSize is the largest size an experiment may name, in bytes. What is larger is a typo.
const MaxSize Size = 1e12

// Size is a number of bytes, written with its unit: 512B, 64KB, 4MiB. 1 KB is 1000 B, 1 KiB is 1024 B.
type Size int64

// sizeUnits are the units of a size, the longest name of an ending first.
func sizeUnits() []struct {
	name  string
	bytes Size
} {
	return []struct {
		name  string
		bytes Size
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}}
}

// ParseSize reads "64KB", from 0B to MaxSize and of whole bytes. The unit is required.
func ParseSize(text string) (Size, error) {
	trimmed := strings.TrimSpace(text)
	for _, u := range sizeUnits() {
		digits, ok := strings.CutSuffix(trimmed, u.name)
		if !ok {
			continue
		}
		digits = strings.TrimSpace(digits)
		v, err := strconv.ParseFloat(digits, 64)
		if err != nil || strings.Trim(digits, "0123456789.") != "" {
			return 0, fmt.Errorf("%q is not a size such as 512B, 64KB or 4MiB", text)
		}
		bytes := v * float64(u.bytes)
		switch {
		case bytes > float64(MaxSize):
			return 0, fmt.Errorf("size %q is absurd: the largest allowed is %v", text, MaxSize)
		case bytes != math.Trunc(bytes):
			return 0, fmt.Errorf("size %q is not a whole number of bytes", text)
		}
		return Size(bytes), nil
	}
	return 0, fmt.Errorf("size %q has no unit that is known: write one such as 512B, 64KB (1000 B) or 4MiB (1024 KiB)", text)
}

// UnmarshalText reads what ParseSize reads.
func (s *Size) UnmarshalText(text []byte) error {
	v, err := ParseSize(string(text))
	if err == nil {
		*s = v
	}
	return err
}

// String writes the size as it is read, in the largest unit that holds it exactly; a unit of 1000 before one
// of 1024.
func (s Size) String() string {
	for _, u := range []string{"GB", "MB", "KB", "GiB", "MiB", "KiB"} {
		for _, known := range sizeUnits() {
			if known.name == u && s >= known.bytes && s%known.bytes == 0 {
				return strconv.FormatInt(int64(s/known.bytes), 10) + u
			}
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// About writes a size that was measured, in MiB.
func (s Size) About() string { return strconv.FormatFloat(float64(s)/(1<<20), 'f', 1, 64) + "MiB" }

// Throughput is a number of bytes a second, written as a size a second: 64KB/s.
type Throughput int64

// UnmarshalText reads "64KB/s". The unit is required, and a second is the only one of time.
func (r *Throughput) UnmarshalText(text []byte) error {
	size, ok := strings.CutSuffix(strings.TrimSpace(string(text)), "/s")
	if !ok {
		return fmt.Errorf("throughput %q is no size a second: write one such as 64KB/s", text)
	}
	v, err := ParseSize(size)
	if err != nil {
		return fmt.Errorf("throughput %q: %w", text, err)
	}
	*r = Throughput(v)
	return nil
}

// String writes the throughput as it is read.
func (r Throughput) String() string { return Size(r).String() + "/s" }
