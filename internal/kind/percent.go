package kind

import (
	"fmt"
	"strconv"
	"strings"
)

// Percent is a share between 0 and 1, written with its unit: 99.9% is 0.999.
type Percent float64

// UnmarshalText reads "99.9%". The sign is required: a bare number could mean either.
func (p *Percent) UnmarshalText(text []byte) error {
	digits, ok := strings.CutSuffix(strings.TrimSpace(string(text)), "%")
	if !ok {
		return fmt.Errorf("%q has no unit: write a percentage such as 99.9%%", text)
	}
	digits = strings.TrimSpace(digits)
	if strings.Trim(digits, "0123456789.") != "" {
		return fmt.Errorf("%q is not a percentage such as 99.9%%", text)
	}
	// The exponent does the division in decimal, so that 99.9% is 0.999 and not 0.9990000000000001.
	v, err := strconv.ParseFloat(digits+"e-2", 64)
	if err != nil {
		return fmt.Errorf("%q is not a percentage such as 99.9%%", text)
	}
	if v > 1 {
		return fmt.Errorf("%q is not between 0%% and 100%%", text)
	}
	*p = Percent(v)
	return nil
}

// String writes the percentage as it is read: 0.999 is 99.9%.
func (p Percent) String() string {
	s := strconv.FormatFloat(float64(p)*100, 'f', 6, 64)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".") + "%"
}
