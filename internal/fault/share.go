package fault

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// ShareTolerance is the fidelity of a fault that is to hit a share of the calls: between 80 % and 120 % of what
// was asked.
const ShareTolerance = 0.2

// shareAlpha: a share was not delivered only when a draw of that many calls at the nearest share still allowed
// would come out so far off less than once in a thousand times, so that few calls never fail by chance.
const shareAlpha = 0.001

// LikelyShare tells whether k of n calls may be the draw of a share within ShareTolerance of the one asked: the
// exact binomial tails P(K ≤ k; n, low) and P(K ≥ k; n, high), by the regularised incomplete beta function.
func LikelyShare(k, n, asked float64) bool {
	n = max(n, k) // counters of one document may be read a call apart
	low, high := asked*(1-ShareTolerance), math.Min(1, asked*(1+ShareTolerance))
	tooFew := k < n && mathext.RegIncBeta(n-k, k+1, 1-low) < shareAlpha
	tooMany := k > 0 && high < 1 && mathext.RegIncBeta(k, n-k+1, high) < shareAlpha
	return !tooFew && !tooMany
}
