// Package psp simulates a card processor outside our ownership. It keeps its
// own settlement ledger, which is the witness of what was really charged: a
// charge that was read is processed and settled whatever the client does.
package psp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

const (
	// Median and Sigma of the lognormal answer time: mean 400 ms, p99 800 ms.
	Median = 380
	Sigma  = 0.32

	maxMillis     = 10 * 60 * 1000
	maxSigma      = 5
	maxRefundFail = 1000
	// refundShare of a charge's answer time is what a refund takes.
	refundShare = 0.25
	// refusal is how soon a simulated error is answered.
	refusal = 20 * time.Millisecond
)

// Behaviour is how the processor acts, as one JSON document.
type Behaviour struct {
	MedianMS          float64 `json:"median_ms"`
	Sigma             float64 `json:"sigma"`
	SlowFraction      float64 `json:"slow_fraction"` // share of charges that take SlowMS
	SlowMS            float64 `json:"slow_ms"`
	ErrorRate         float64 `json:"error_rate"`       // share answered 500 without a charge
	DeclineRate       float64 `json:"decline_rate"`     // share answered 402
	CommitThenDrop    float64 `json:"commit_then_drop"` // share charged, and then the connection is cut
	HonourIdempotency bool    `json:"honour_idempotency"`
	RefundFailFirst   int     `json:"refund_fail_first"` // tries of each refund that fail first
	Seed              uint64  `json:"seed"`
}

// Usual is the behaviour of a good day: 99.9 % without error, 2 % declined.
func Usual(seed uint64) Behaviour {
	return Behaviour{MedianMS: Median, Sigma: Sigma, SlowMS: 4000, ErrorRate: 0.001, DeclineRate: 0.02, HonourIdempotency: true, Seed: seed}
}

// Merge replaces the fields that the document gives. Unknown fields and absurd
// values are errors that name the valid ones.
func (b Behaviour) Merge(document []byte) (Behaviour, error) {
	next := b
	dec := json.NewDecoder(bytes.NewReader(document))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&next); err != nil {
		return b, fmt.Errorf("%w: valid fields are median_ms, sigma, slow_fraction, slow_ms, error_rate, decline_rate, commit_then_drop (shares from 0 to 1), honour_idempotency (true, false), refund_fail_first, seed", err)
	}
	if dec.More() {
		return b, errors.New("one JSON object is expected")
	}
	for name, share := range map[string]float64{"slow_fraction": next.SlowFraction, "error_rate": next.ErrorRate, "decline_rate": next.DeclineRate, "commit_then_drop": next.CommitThenDrop} {
		if !(share >= 0 && share <= 1) {
			return b, fmt.Errorf("%s must be from 0 to 1", name)
		}
	}
	switch {
	case !(next.MedianMS >= 0 && next.MedianMS <= maxMillis):
		return b, fmt.Errorf("median_ms must be from 0 to %d", maxMillis)
	case !(next.SlowMS >= 0 && next.SlowMS <= maxMillis):
		return b, fmt.Errorf("slow_ms must be from 0 to %d", maxMillis)
	case !(next.Sigma >= 0 && next.Sigma <= maxSigma):
		return b, fmt.Errorf("sigma must be from 0 to %d", maxSigma)
	case next.RefundFailFirst < 0 || next.RefundFailFirst > maxRefundFail:
		return b, fmt.Errorf("refund_fail_first must be from 0 to %d", maxRefundFail)
	}
	return next, nil
}

// fate is what will happen to one charge, drawn when it arrives.
type fate struct {
	takes    time.Duration
	slow     bool
	fails    bool
	declines bool
	drops    bool
}

// draw takes the same number of values for every charge, so that a seed gives
// the same sequence of latencies whatever the rates are.
func (b Behaviour) draw(rng *rand.Rand) fate {
	ms := b.MedianMS * math.Exp(b.Sigma*rng.NormFloat64())
	f := fate{
		slow:     rng.Float64() < b.SlowFraction,
		fails:    rng.Float64() < b.ErrorRate,
		declines: rng.Float64() < b.DeclineRate,
		drops:    rng.Float64() < b.CommitThenDrop,
	}
	if f.slow {
		ms = b.SlowMS
	}
	f.takes = time.Duration(min(ms, maxMillis) * float64(time.Millisecond))
	return f
}
