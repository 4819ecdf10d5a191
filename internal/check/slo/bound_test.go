package slo

import (
	"math"
	"testing"
	"time"

	"gonum.org/v1/gonum/mathext"
)

// The decision limits of LANGUAGE.md "Judging" at α = 1 % and DOMAIN.md 4.3 at α = 5 %.
func TestDecisionLimits(t *testing.T) {
	for _, c := range []struct {
		target float64
		n      int
		alpha  float64
		fails  int // smallest b whose upper bound is below target
	}{
		{0.99, 350, 0.01, 9}, {0.99, 500, 0.01, 12}, {0.999, 3000, 0.01, 9},
		{0.99, 750, 0.05, 13}, {0.99, 3000, 0.05, 40}, {0.999, 750, 0.05, 3}, {0.999, 3000, 0.05, 7}, {0.999, 15000, 0.05, 23}, {0.9995, 6000, 0.05, 7},
	} {
		b := 0
		for upper(b, c.n, c.alpha) >= c.target {
			b++
		}
		if b != c.fails {
			t.Errorf("target %v, n %d, α %v: fails from b = %d, want %d", c.target, c.n, c.alpha, b, c.fails)
		}
	}
	for _, c := range []struct {
		target float64
		n      int
		most   int // largest b that is still certified
	}{{0.99, 750, 2}, {0.99, 3000, 20}, {0.999, 3000, 0}, {0.999, 15000, 8}, {0.9995, 6000, 0}} {
		b := -1
		for lower(b+1, c.n, alphaCertify) >= c.target {
			b++
		}
		if b != c.most {
			t.Errorf("target %v, n %d: certified up to b = %d, want %d", c.target, c.n, b, c.most)
		}
	}
}

// A bound is right when it is the root of its defining tail probability, also for a million requests.
func TestBoundsAreRoots(t *testing.T) {
	for _, n := range []int{1, 2, 68, 343, 3444, 100_000, 1_000_000} {
		for _, b := range []int{1, 2, n / 100, n / 10, n / 3, n / 2, n - 1} {
			if b < 1 || b >= n {
				continue
			}
			if got := mathext.RegIncBeta(float64(n-b+1), float64(b), upper(b, n, alphaFail)); math.Abs(got-(1-alphaFail)) > 1e-6 {
				t.Errorf("upper(%d, %d): tail %v", b, n, got)
			}
			if got := mathext.RegIncBeta(float64(n-b), float64(b+1), lower(b, n, alphaCertify)); math.Abs(got-alphaCertify) > 1e-6 {
				t.Errorf("lower(%d, %d): tail %v", b, n, got)
			}
		}
		if upper(0, n, alphaFail) != 1 || lower(n, n, alphaCertify) != 0 {
			t.Errorf("n %d: no bad must have upper bound 1, all bad lower bound 0", n)
		}
		if got, want := upper(n, n, alphaFail), 1-math.Pow(0.01, 1/float64(n)); math.Abs(got-want) > 1e-12 {
			t.Errorf("upper(n, n) = %v, want %v", got, want)
		}
	}
	// Garwood's exact Poisson limits: 10 counted → lower one-sided 99 % bound 4.130.
	if got := rateLower(10, 0.01); math.Abs(got-4.130) > 0.001 {
		t.Errorf("rateLower(10) = %v, want 4.130", got)
	}
}

func TestPlannedMinimum(t *testing.T) {
	for target, want := range map[float64]int{0.95: 68, 0.99: 343, 0.999: 3444} {
		if got := minPlanned(target); got != want {
			t.Errorf("minPlanned(%v) = %d, want %d", target, got, want)
		}
	}
	for target, want := range map[float64]int{0.99: 299, 0.995: 598, 0.999: 2995, 0.9995: 5990, 0.9999: 29956} {
		if got := zeroFailures(target); got != want {
			t.Errorf("zeroFailures(%v) = %d, want %d", target, got, want)
		}
	}
}

func TestPlanned(t *testing.T) {
	for _, c := range []struct {
		name     string
		recorded int
		rate     float64
		length   time.Duration
		want     int
	}{
		{"a Poisson schedule's luck", 331, 50, 7 * time.Second, 350},
		{"more than planned", 372, 50, 7 * time.Second, 372},
		{"a generator that stopped", 200, 50, 7 * time.Second, 200},
		{"unknown rate", 20, 0, 7 * time.Second, 20},
		{"not a number", 20, math.NaN(), 7 * time.Second, 20},
		{"nothing", 0, 50, 7 * time.Second, 0},
	} {
		if got := planned(c.recorded, c.rate, c.length); got != c.want {
			t.Errorf("%s: planned = %d, want %d", c.name, got, c.want)
		}
	}
}

// The seed's incident: 12 % for 6 h at 99.9 % is exactly one month of budget.
func TestBudget(t *testing.T) {
	b := budget(360, 3000, 0.999)
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("%s = %v, want %v", what, got, want)
		}
	}
	near("burn", b.BurnRate, 120)
	near("6 h", b.Share6h, 1)
	near("1 h", b.Share1h, 1.0/6)
	near("allowed", b.Allowed, 3)
	near("used", b.Used, 360)
}
