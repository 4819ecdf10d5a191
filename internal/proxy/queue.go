package proxy

import "time"

// Limits of what one direction of one connection may hold back. When either is
// reached the pump stops reading, and TCP pushes back on the sender.
const (
	chunkSize      = 32 << 10 // bytes of one read, as stock
	maxQueueChunks = 1024     // as stock
	maxQueueBytes  = 4 << 20  // stock has 1024 * 32 KiB
)

// chunk is what one read returned.
type chunk struct {
	data    []byte
	number  uint64 // of this pump, from 1
	arrived time.Time
	due     time.Time // when it may leave, once it is the first
	ready   time.Time // when it could leave but for what meters it: it was due, and the first
	settled bool      // its delay was counted; it may be half written

	// Of http toxics:
	holds []hold // delays beside those of the stream
	cut   uint8  // the connection ends with it, and it has no data
	by    *toxic // for this one; or nil
}

// queue is a FIFO of chunks. The newest chunk may still lie in the read buffer
// (borrowed): a chunk that leaves before the next read is never copied.
type queue struct {
	items    []chunk
	head     int
	bytes    int
	borrowed bool
}

func (q *queue) len() int      { return len(q.items) - q.head }
func (q *queue) full() bool    { return q.len() >= maxQueueChunks || q.bytes >= maxQueueBytes }
func (q *queue) first() *chunk { return &q.items[q.head] }

// push appends c, whose data lie in the read buffer.
func (q *queue) push(c chunk) {
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	} else if q.head > maxQueueChunks {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, c)
	q.bytes += len(c.data)
	q.borrowed = true
}

// own copies the newest chunk out of the read buffer, which is about to be used again.
func (q *queue) own() {
	if !q.borrowed {
		return
	}
	q.borrowed = false
	if q.len() == 0 {
		return
	}
	last := &q.items[len(q.items)-1]
	last.data = append([]byte(nil), last.data...)
}

// wrote takes n bytes off the first chunk, and the chunk off when nothing is left.
func (q *queue) wrote(n int) {
	c := q.first()
	c.data = c.data[n:]
	q.bytes -= n
	if len(c.data) == 0 {
		*c = chunk{}
		q.head++
	}
}

// pop throws the first chunk away.
func (q *queue) pop() { q.wrote(len(q.first().data)) }
