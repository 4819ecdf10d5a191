package proxy

import "slices"

// corrupt flips bits of what leaves. TCP's checksum is right all the same: it is what a broken
// middlebox or memory does, and what only a checksum of the application's own, or TLS, sees.
//
// Which chunks and which bits follows from the seed, the toxic, the connection and the number of the
// chunk. Where a stream is cut into chunks depends on how it arrives.
func (e *effect) corrupt(p *pump, c *chunk) {
	if c.cut != cutNone || !e.t.set.onAt(c.arrived) {
		return
	}
	e.t.n.offered.Add(1)
	set := e.t.at(c.arrived)
	r := p.link.proxy.dice.chunk(e.t, p.link.id, p.dir, c.number)
	if !set.draws(r) {
		return
	}
	all := int64(len(c.data)) * 8
	var flipped []int64
	for n := min(set.bits, all); n > 0; {
		bit := r.Int64N(all)
		if slices.Contains(flipped, bit) {
			continue // flipping it back would make fewer
		}
		flipped = append(flipped, bit)
		c.data[bit/8] ^= 1 << (bit % 8)
		n--
	}
	e.touch()
	e.t.n.chunks.Add(1)
	e.t.n.flipped.Add(uint64(len(flipped)))
}
