package journal

import "sync/atomic"

// ringSize is how many records wait for the writer at most: at 10,000 records a second the writer
// may be away for six seconds.
const ringSize = 65_536

// kind of a record in the ring and on disk.
const (
	recInvoked   = 1
	recCompleted = 2
	recStated    = 3 // on disk only: a completed one with a state
)

// slot is one place of the ring. seq says whose turn it is: equal to the position = free for the
// producer of that position; position + 1 = filled.
type slot struct {
	seq    atomic.Uint64
	kind   uint8
	sample Sample
}

// ring is a bounded queue of samples for many producers and one consumer (D. Vyukov's bounded MPMC
// queue). push never waits, never allocates.
//
//	producers ──push──▶ [ · · ■ ■ ■ ■ · · ] ──pop──▶ writer
//	                        head    tail
type ring struct {
	slots []slot
	mask  uint64
	_     [64]byte // tail is hammered by producers; keep it off the line that everybody reads
	tail  atomic.Uint64
	_     [64]byte
	head  uint64 // only the consumer's
}

// newRing makes a ring of at least size places.
func newRing(size int) *ring {
	n := 1
	for n < size {
		n <<= 1
	}
	r := &ring{slots: make([]slot, n), mask: uint64(n - 1)}
	for i := range r.slots {
		r.slots[i].seq.Store(uint64(i))
	}
	return r
}

// push copies s into the ring. pos is its position; ok is false when the ring is full.
func (r *ring) push(kind uint8, s *Sample) (pos uint64, ok bool) {
	pos = r.tail.Load()
	for {
		sl := &r.slots[pos&r.mask]
		switch turn := int64(sl.seq.Load() - pos); {
		case turn == 0:
			if r.tail.CompareAndSwap(pos, pos+1) {
				sl.kind, sl.sample = kind, *s
				sl.seq.Store(pos + 1)
				return pos, true
			}
			pos = r.tail.Load()
		case turn < 0:
			return pos, false
		default:
			pos = r.tail.Load()
		}
	}
}

// pop gives the oldest record to use, in place, and frees it. False = nothing there, or its producer
// is still copying.
func (r *ring) pop(use func(kind uint8, s *Sample)) bool {
	sl := &r.slots[r.head&r.mask]
	if sl.seq.Load() != r.head+1 {
		return false
	}
	use(sl.kind, &sl.sample)
	sl.seq.Store(r.head + r.mask + 1)
	r.head++
	return true
}
