package slo

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// percent writes a share with as many digits as it needs not to be rounded to 100 % (or to 0 %) when
// it is not, at most six.
func percent(p float64) string {
	text := ""
	for digits := 2; digits <= 6; digits++ {
		text = strconv.FormatFloat(p*100, 'f', digits, 64)
		rounded, _ := strconv.ParseFloat(text, 64)
		if (rounded != 100 || p == 1) && (rounded != 0 || p == 0) {
			break
		}
	}
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text + " %"
}

// count writes a number with thousands separated by commas.
func count(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// span writes a time to the precision that a reader needs: three digits or so.
func span(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		d = d.Round(100 * time.Millisecond)
	case d >= time.Second:
		d = d.Round(10 * time.Millisecond)
	case d >= 10*time.Millisecond:
		d = d.Round(100 * time.Microsecond)
	default:
		d = d.Round(time.Microsecond)
	}
	return d.String()
}

// number writes a rate.
func number(f float64) string {
	return strconv.FormatFloat(math.Round(f*100)/100, 'f', -1, 64)
}
