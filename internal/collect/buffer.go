package collect

import (
	"sync"

	"chaos/internal/trace"
)

// bufferBytes is how much the collector keeps for a reader that does not come.
const bufferBytes = 96 << 20

// Counts are what a collector has done since it was started.
type Counts struct {
	Received uint64 `json:"received"` // spans that were taken
	Refused  uint64 `json:"refused"`  // spans for which there was no room; the sender was told
	Invalid  uint64 `json:"invalid"`  // spans without a trace or span id
	Requests uint64 `json:"requests"` // exports
	Bad      uint64 `json:"bad"`      // exports that could not be read
}

// grown adds what was counted between two looks.
func (c Counts) grown(from, to Counts) Counts {
	return Counts{
		Received: c.Received + to.Received - from.Received, Refused: c.Refused + to.Refused - from.Refused,
		Invalid: c.Invalid + to.Invalid - from.Invalid, Requests: c.Requests + to.Requests - from.Requests, Bad: c.Bad + to.Bad - from.Bad,
	}
}

// buffer holds batches until they were read. Room is bounded: what does not fit is refused and counted,
// never put where something unread is.
type buffer struct {
	mu      sync.Mutex
	room    int
	bytes   int
	first   uint64 // number of the first batch that is held
	batches [][]byte
	counts  Counts
}

// put takes the spans of one export, or as many as there is room for; it returns how many were refused.
func (b *buffer) put(spans []trace.Span, invalid int) (refused int) {
	var batches [][]byte
	var sizes []int
	var e trace.Encoder
	closeBatch := func() {
		if n := e.Len(); n > 0 {
			batches, sizes = append(batches, e.Take()), append(sizes, n)
		}
	}
	for i := range spans {
		e.Add(&spans[i])
		if e.Size() >= trace.BatchTarget {
			closeBatch()
		}
	}
	closeBatch()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts.Requests++
	b.counts.Invalid += uint64(invalid)
	for i, batch := range batches {
		if b.bytes+len(batch) > b.room {
			refused += sizes[i]
			continue
		}
		b.batches, b.bytes = append(b.batches, batch), b.bytes+len(batch)
		b.counts.Received += uint64(sizes[i])
	}
	b.counts.Refused += uint64(refused)
	return refused
}

func (b *buffer) bad() (so uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts.Requests++
	b.counts.Bad++
	return b.counts.Bad
}

// after frees the batches before number next and returns those from it on, at most about most bytes, and
// the number of the one behind them. A number that was never given frees nothing.
func (b *buffer) after(next uint64, most int) (batches [][]byte, then uint64, counts Counts) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if next > b.first+uint64(len(b.batches)) {
		next = b.first
	}
	for b.first < next {
		b.bytes -= len(b.batches[0])
		b.batches[0] = nil
		b.batches, b.first = b.batches[1:], b.first+1
	}
	size := 0
	for _, batch := range b.batches {
		if size += len(batch); size > most && len(batches) > 0 {
			break
		}
		batches = append(batches, batch)
	}
	return batches, b.first + uint64(len(batches)), b.counts
}

// forget frees everything that is held.
func (b *buffer) forget() (next uint64, counts Counts) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.first += uint64(len(b.batches))
	b.batches, b.bytes = nil, 0
	return b.first, b.counts
}
