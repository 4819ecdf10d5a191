package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"chaos/internal/verdict"
)

// Count writes n with thousands separated: 12,345.
func Count(n int) string {
	s := strconv.Itoa(n)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Plural is "1 run", "2 runs", "1,200 runs".
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Count(n) + " " + noun + "s"
}

// Percent writes a share (1 = all) with as many digits as it deserves; a share that is not wholly 0
// or 1 is never rounded to it. The space is narrow and does not break.
func Percent(share float64) string {
	const unit = "\u202f%"
	p := share * 100
	switch {
	case math.IsNaN(p) || math.IsInf(p, 0):
		return "–"
	case p == 0 || p == 100:
		return strconv.FormatFloat(p, 'f', 0, 64) + unit
	case p > 0 && p < 0.01:
		return "<\u202f0.01" + unit
	case p > 99.99 && p < 100:
		return ">\u202f99.99" + unit
	case p >= 1000:
		return Count(int(math.Round(p))) + unit
	case p >= 99 && p < 100 || p < 1:
		return trimmed(p, 2) + unit
	default:
		return trimmed(p, 1) + unit
	}
}

// Ratio is Percent(part/whole); "–" when there is no whole.
func Ratio(part, whole int) string {
	if whole == 0 {
		return "–"
	}
	return Percent(float64(part) / float64(whole))
}

// Time writes a duration for reading: 40 µs, 0.4 ms, 12 ms, 4.0 s, 1 min 15 s, 1 h 2 min.
func Time(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "−", -d
	}
	switch {
	case d == 0:
		return "0\u202fs"
	case d < time.Microsecond:
		return fmt.Sprintf("%s%d\u202fns", sign, d)
	case d < 100*time.Microsecond:
		return fmt.Sprintf("%s%d\u202fµs", sign, d.Round(time.Microsecond).Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%s%.1f\u202fms", sign, float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%s%d\u202fms", sign, d.Round(time.Millisecond).Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%s%.1f\u202fs", sign, d.Seconds())
	case d < time.Hour:
		d = d.Round(time.Second)
		return fmt.Sprintf("%s%d\u202fmin %d\u202fs", sign, d/time.Minute, d%time.Minute/time.Second)
	default:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%s%d\u202fh %d\u202fmin", sign, d/time.Hour, d%time.Hour/time.Minute)
	}
}

// Words are the pair for reading: nanoseconds, which a name that ends in _ns has, are a time with its unit.
func (p Pair) Words() Pair {
	name, isTime := strings.CutSuffix(p.Name, "_ns")
	if !isTime {
		return p
	}
	values := strings.Split(p.Value, ", ")
	for i, value := range values {
		ns, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return p
		}
		values[i] = Time(time.Duration(ns))
	}
	return Pair{Name: name, Value: strings.Join(values, ", ")}
}

// Offset writes a moment relative to the start of the load: +12.3 s.
func Offset(d time.Duration) string {
	return fmt.Sprintf("%+.1f\u202fs", d.Seconds())
}

// Clock is the UTC time of day with milliseconds.
func Clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }

// Date is the UTC date and minute; empty for the zero time.
func Date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// Money writes an amount in minor units, assuming two decimals, with its currency when known.
func Money(minor int64, currency string) string {
	sign := ""
	if minor < 0 {
		sign, minor = "-", -minor
	}
	if minor < 0 { // the one int64 whose negative is not one
		return sign + "92,233,720,368,547,758.08"
	}
	s := fmt.Sprintf("%s%s.%02d", sign, Count(int(minor/100)), minor%100)
	return strings.TrimSpace(s + " " + currency)
}

// BudgetWords is the error-budget accounting in one line.
func BudgetWords(b *verdict.Budget) string {
	return fmt.Sprintf("%s bad of %s allowed · burn %s · 30-day budget: %s in 1 h, %s in 6 h",
		Number(b.Used), Number(b.Allowed), Times(b.BurnRate), Percent(b.Share1h), Percent(b.Share6h))
}

// Number writes a float that is a count: whole numbers without digits, others with at most two.
func Number(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) || math.Abs(f) > math.MaxInt32 {
		return "–"
	}
	if f == math.Trunc(f) {
		return Count(int(f))
	}
	if math.Abs(f) >= 100 {
		return Count(int(math.Round(f)))
	}
	return trimmed(f, 2)
}

// trimmed writes at most digits decimals, without zeros at the end.
func trimmed(f float64, digits int) string {
	return strings.TrimRight(strings.TrimRight(strconv.FormatFloat(f, 'f', digits, 64), "0"), ".")
}

// Times writes a factor: 14.4×.
func Times(f float64) string {
	if f >= 100 {
		return Number(math.Round(f)) + "×"
	}
	return Number(math.Round(f*10)/10) + "×"
}

// sparks are the eight heights of a text chart.
var sparks = [...]rune{'▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'}

// Spark draws values as one line of block characters, the largest being top high. A value that is
// absent (negative) is a space, zero is a dot, so that "nothing" and "little" differ.
func Spark(values []float64, top float64) string {
	var b strings.Builder
	for _, v := range values {
		switch {
		case v < 0:
			b.WriteByte(' ')
		case v == 0 || top <= 0:
			b.WriteRune('·')
		default:
			i := int(math.Ceil(v/top*float64(len(sparks)))) - 1
			b.WriteRune(sparks[min(max(i, 0), len(sparks)-1)])
		}
	}
	return b.String()
}
