package slo

import (
	"math"
	"time"

	"gonum.org/v1/gonum/mathext"
)

// The error rates of judging. They are fixed for every check; docs/judging.md has the sources.
const (
	alphaFail    = 0.01 // chance that a system exactly on target is called a Fail
	alphaCertify = 0.05 // 1 − confidence of "certified"
	sampleMargin = 1.15 // planned over zero-failure size: room for a Poisson schedule's luck
)

// upper is the one-sided upper Clopper-Pearson bound, at confidence 1 − α, of the good share when b of
// n were bad: BetaInv(1−α; n−b+1, b) (Clopper and Pearson, Biometrika 26, 1934).
func upper(b, n int, alpha float64) float64 {
	if b <= 0 || n <= 0 {
		return 1
	}
	if b >= n {
		return 1 - math.Pow(alpha, 1/float64(n)) // BetaInv(1−α; 1, n) in closed form
	}
	return mathext.InvRegIncBeta(float64(n-b+1), float64(b), 1-alpha)
}

// lower is the one-sided lower bound of the same: BetaInv(α; n−b, b+1).
func lower(b, n int, alpha float64) float64 {
	if n <= 0 || b >= n {
		return 0
	}
	if b <= 0 {
		return math.Pow(alpha, 1/float64(n)) // BetaInv(α; n, 1) in closed form
	}
	return mathext.InvRegIncBeta(float64(n-b), float64(b+1), alpha)
}

// rateLower is the one-sided lower bound, at confidence 1 − α, of a Poisson mean when k were counted:
// GammaInv(α; k) (Garwood, Biometrika 28, 1936).
func rateLower(k int, alpha float64) float64 {
	if k <= 0 {
		return 0
	}
	return mathext.GammaIncRegInv(float64(k), alpha)
}

// zeroFailures is the smallest n of which none bad certifies target T at 95 %: ln 0.05 / ln T.
func zeroFailures(target float64) int {
	return int(math.Ceil(math.Log(alphaCertify) / math.Log(target)))
}

// minPlanned is the planned n under which no Pass is given: ⌈1.15 · ln 0.05 / ln T⌉
// (95 % → 68, 99 % → 343, 99.9 % → 3,444).
func minPlanned(target float64) int {
	return int(math.Ceil(sampleMargin * math.Log(alphaCertify) / math.Log(target)))
}

// planned is how many requests the schedule had in a window: rate × length, which is what `plan`
// reckons with. A Poisson schedule scatters around it; a recorded number more than five standard
// deviations below it was not the schedule's luck but a generator that stopped, and then only what is
// on record counts.
func planned(recorded int, rate float64, length time.Duration) int {
	expected := rate * length.Seconds()
	if !(expected > 0) || float64(recorded) < expected-5*math.Sqrt(expected) {
		return recorded
	}
	return max(recorded, int(math.Round(min(expected, math.MaxInt32))))
}
