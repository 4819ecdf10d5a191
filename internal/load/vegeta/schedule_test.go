package vegeta

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"chaos/internal/journal"
)

// seededStream draws the stream that Run draws from its session.
func seededStream(rng *rand.Rand) *rand.Rand {
	return rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64()))
}

func dues(process string, rate float64, seed uint64, n int) []time.Duration {
	a := newArrivals(process, rate, time.Second, seededStream(seeded(seed)))
	all := make([]time.Duration, n)
	for i := range all {
		all[i] = a.next()
	}
	return all
}

func TestConstantDoesNotDrift(t *testing.T) {
	all := dues(Constant, 3, 1, 300_000)
	for i, due := range all {
		want := time.Second + time.Duration(float64(i+1)/3*1e9)
		if d := due - want; d < -1 || d > 1 {
			t.Fatalf("arrival %d at %v, want %v", i, due, want)
		}
	}
}

// TestPoisson holds the gaps against the exponential distribution: its mean, its variance, and the
// Kolmogorov-Smirnov distance (1.63/√n is the bound at α = 1 %; the seed is fixed).
func TestPoisson(t *testing.T) {
	const n, rate = 100_000, 250.0
	all := dues(Poisson, rate, 42, n)
	gaps := make([]float64, n)
	last := time.Second
	var sum, squares float64
	for i, due := range all {
		gaps[i] = (due - last).Seconds() * rate // mean 1
		last = due
		sum += gaps[i]
		squares += gaps[i] * gaps[i]
	}
	mean := sum / n
	if math.Abs(mean-1) > 3/math.Sqrt(n) {
		t.Errorf("mean gap × rate = %v", mean)
	}
	if variance := squares/n - mean*mean; math.Abs(variance-1) > 3*math.Sqrt(8.0/n) {
		t.Errorf("variance = %v", variance)
	}
	slices.Sort(gaps)
	worst := 0.0
	for i, g := range gaps {
		worst = max(worst, math.Abs(1-math.Exp(-g)-float64(i)/n))
	}
	if worst > 1.63/math.Sqrt(n) {
		t.Errorf("Kolmogorov-Smirnov distance %v", worst)
	}
	if !slices.Equal(all[:1000], dues(Poisson, rate, 42, 1000)) {
		t.Error("the same seed gives another schedule")
	}
	if slices.Equal(all[:10], dues(Poisson, rate, 43, 10)) {
		t.Error("another seed gives the same schedule")
	}
	if !slices.IsSorted(all) {
		t.Error("not in order")
	}
}

func TestRemaining(t *testing.T) {
	p := newPlan(newArrivals(Constant, 10, 0, nil), seeded(1))
	for range 5 {
		p.release()
	}
	for _, seq := range []uint64{0, 2} {
		if r, ok := p.take(seq); !ok || r.seq != seq {
			t.Fatal("not there")
		}
	}
	if _, ok := p.take(2); ok {
		t.Error("taken twice")
	}
	var got []uint64
	p.remaining(time.Second, func(r request) {
		if r.due != time.Duration(r.seq+1)*100*time.Millisecond || r.trace == (journal.ID{}) {
			t.Errorf("%+v", r)
		}
		got = append(got, r.seq)
	})
	if want := []uint64{1, 3, 4, 5, 6, 7, 8}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
