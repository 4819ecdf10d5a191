package fault_test

import (
	"testing"

	"chaos/internal/fault"
)

// TestLikelyShare: at the borders, which were computed by hand from the binomial distribution's table.
func TestLikelyShare(t *testing.T) {
	for _, c := range []struct {
		k, n, asked float64
		want        bool
	}{
		{3, 3, 1, true}, {0, 3, 0.5, true}, {3, 3, 0.1, true}, {4, 4, 0.1, false}, // 0.12^3 = 0.0017, 0.12^4 = 0.0002
		{500, 500, 1, true}, {400, 500, 1, true}, {371, 500, 1, false}, {375, 500, 1, true},
		{0, 1000, 0.1, false}, {100, 1000, 0.1, true}, {200, 1000, 0.1, false}, {10, 9, 1, true},
	} {
		if got := fault.LikelyShare(c.k, c.n, c.asked); got != c.want {
			t.Errorf("%v of %v at %v: %v", c.k, c.n, c.asked, got)
		}
	}
}
