package proxy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// The distributions of latency's delays.
const (
	distUniform   = "uniform" // stock's
	distNormal    = "normal"
	distLognormal = "lognormal"
	distPareto    = "pareto"
)

func distributions() []string { return []string{distUniform, distNormal, distLognormal, distPareto} }

// maxTail bounds a delay, in units of latency + jitter: heavy tails have no end of their own, and
// as the order is kept a single delay holds up all that comes behind it.
const maxTail = 100

// drawLatency draws the delay of a chunk, from 0 to maxDelay, with l = latency and j = jitter:
//
//	uniform    in [l − j, l + j)
//	normal     mean l, standard deviation j
//	lognormal  median l; l·exp(σN) with σ = ln(1 + j/l), so that 84 % are at most l + j
//	pareto     least l, median l + j; l·U^(−1/α) with α = ln 2 / ln(1 + j/l)
func (s *settings) drawLatency(r *rand.Rand) time.Duration {
	l, j := float64(s.latency), float64(s.jitter)
	if j == 0 {
		return s.latency
	}
	var d float64
	switch s.distribution {
	case distNormal:
		d = l + j*r.NormFloat64()
	case distLognormal:
		d = l * math.Exp(math.Log1p(j/l)*r.NormFloat64())
	case distPareto:
		d = l * math.Exp2(-math.Log2(1-r.Float64())*math.Log1p(j/l)/math.Ln2)
	default:
		return max(s.latency+time.Duration(r.Int64N(int64(2*s.jitter)))-s.jitter, 0)
	}
	return time.Duration(min(max(d, 0), maxTail*(l+j), float64(maxDelay)))
}

// checkLatency refuses what has no meaning.
func checkLatency(s *settings) error {
	if s.latency == 0 && s.jitter > 0 && (s.distribution == distLognormal || s.distribution == distPareto) {
		return fmt.Errorf("distribution %s: want a latency above 0, which its delays are multiples of", s.distribution)
	}
	return nil
}
