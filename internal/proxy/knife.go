package proxy

import (
	"math/rand/v2"
	"time"
)

// knife is what a slicer remembers of one stream.
type knife struct {
	chunk  uint64    // number of the chunk that was cut
	slices []int     // bytes of the slices of it that have not left
	sent   int       // slices of it that have
	whole  bool      // the chunk was not hit: it is sent in one, and nothing waits for it
	left   time.Time // when the last slice left
}

// free is when the next slice, or the end of the stream, may leave.
func (k *knife) free(set *settings) time.Time {
	if k.left.IsZero() {
		return k.left
	}
	return k.left.Add(time.Duration(set.sliceDelay) * time.Microsecond)
}

// cut slices what is left of c, as stock does: what is longer than average + variation is halved, give
// or take the variation, and each half is cut in turn.
//
//	1000 B, average 300, variation 50:   |---------- 480 ----------|------------ 520 ------------|
//	                                     |---- 240 ----|--- 240 ---|----- 290 -----|---- 230 ----|
//
// With a variation under the average both halves are at least 1 byte, so this ends.
func (k *knife) cut(c *chunk, set *settings, r *rand.Rand) {
	if k.chunk != c.number {
		k.chunk, k.sent = c.number, 0
	}
	k.slices = k.slices[:0]
	if k.whole = !set.onAt(c.arrived) || !set.draws(r); k.whole {
		k.slices = append(k.slices, len(c.data))
		return
	}
	variation := min(set.sliceVariation, set.sliceSize-1) // a ramp rounds each for itself
	var halve func(n int64)
	halve = func(n int64) {
		if n-set.sliceSize <= variation {
			k.slices = append(k.slices, int(n))
			return
		}
		left := n / 2
		if v := variation; v > 0 {
			left += r.Int64N(2*v) - v
		}
		halve(left)
		halve(n - left)
	}
	halve(int64(len(c.data)))
}

// take takes n bytes off the first slice. True: it was its end.
func (k *knife) take(n int) bool {
	k.slices[0] -= n
	if k.slices[0] > 0 {
		return false
	}
	k.slices = k.slices[1:]
	k.sent++
	return true
}
