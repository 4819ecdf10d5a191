package fault

import "gonum.org/v1/gonum/mathext"

// ShareTolerance is the fidelity of a fault that is to hit a share of the calls: between 80 % and 120 % of what
// was asked.
const ShareTolerance = 0.2

// A share was not delivered only when what came out can neither be a draw of the nearest share still allowed nor
// luck with the one asked.
const (
	// shareAlpha: a draw at the nearest share still allowed comes out so far off less than once in a thousand times.
	shareAlpha = 0.001
	// luckAlpha: a draw at the share asked comes out so far off, on that side, less than once in ten million times. So what
	// was delivered exactly is called short less than once in a million measurements, whatever was counted in one
	// or two directions.
	luckAlpha = 1e-7
)

// LikelyShare tells whether k of n calls may be the draw of a share within ShareTolerance of the one asked, by the exact
// binomial tails P(K ≤ k; n, s) and P(K ≥ k; n, s).
func LikelyShare(k, n, asked float64) bool {
	n = max(n, k) // counters of one document may be read a call apart
	low, high := asked*(1-ShareTolerance), asked*(1+ShareTolerance)
	tooFew := atMost(k, n, low) < shareAlpha && atMost(k, n, asked) < luckAlpha
	tooMany := atLeast(k, n, high) < shareAlpha && atLeast(k, n, asked) < luckAlpha
	return !tooFew && !tooMany
}

// atMost is P(K ≤ k; n, s), by the regularised incomplete beta function.
func atMost(k, n, s float64) float64 {
	if k >= n {
		return 1
	}
	return mathext.RegIncBeta(n-k, k+1, 1-s)
}

// atLeast is P(K ≥ k; n, s).
func atLeast(k, n, s float64) float64 {
	if k <= 0 || s >= 1 {
		return 1
	}
	return mathext.RegIncBeta(k, n-k+1, s)
}
