package engine

import "math/rand/v2"

// Stream derives an independent, reproducible random stream from the seed and a name, so that adding
// a load or a fault does not change what the others draw.
func Stream(seed uint64, name string) *rand.Rand {
	const fnvOffset, fnvPrime = 14695981039346656037, 1099511628211 // FNV-1a, 64 bit
	h := uint64(fnvOffset)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * fnvPrime
	}
	return rand.New(rand.NewPCG(seed, h))
}
