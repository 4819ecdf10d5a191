package proxy

import (
	"bytes"
	"maps"
	"slices"
	"strings"
)

// How a body ends.
const (
	bodyNone = iota
	bodyLength
	bodyChunked
	bodyClose // with the stream
)

// maxChunkLine is the longest line between chunks, with extensions, and the longest trailer line.
const maxChunkLine = 4 << 10

// body follows the body of a message to its end, and keeps nothing of it.
type body struct {
	ends int
	left int64 // bytes of payload to come: of the body, or of the chunk

	// Chunked:
	at     uint8
	digits int
	line   int // bytes of the line so far, without a \r at its end
}

const (
	chunkLine    uint8 = iota // in the digits of the size
	chunkExt                  // behind them
	chunkData                 // in the payload, left > 0
	chunkEnd                  // in the line end behind it
	chunkTrailer              // behind the last chunk
)

func bodyOf(h head) body {
	switch {
	case h.chunked:
		return body{ends: bodyChunked}
	case h.length > 0:
		return body{ends: bodyLength, left: h.length}
	}
	return body{ends: bodyNone}
}

// next takes the longest beginning of b that is all payload or all framing. ok false: it is malformed.
func (y *body) next(b []byte) (n int, payload, done, ok bool) {
	switch y.ends {
	case bodyClose:
		return len(b), true, false, true
	case bodyLength:
		n = int(min(y.left, int64(len(b))))
		y.left -= int64(n)
		return n, true, y.left == 0, true
	}
	if y.at == chunkData {
		n = int(min(y.left, int64(len(b))))
		y.left -= int64(n)
		if y.left == 0 {
			y.at, y.line = chunkEnd, 0
		}
		return n, true, false, true
	}
	for n < len(b) && y.at != chunkData {
		done, ok = y.frame(b[n])
		n++
		if done || !ok {
			return n, false, done, ok
		}
	}
	return n, false, false, true
}

// frame takes one byte of the framing between chunks.
func (y *body) frame(c byte) (done, ok bool) {
	if c != '\n' {
		return false, y.inLine(c)
	}
	switch y.at {
	case chunkLine, chunkExt:
		if y.digits == 0 {
			return false, false
		}
		y.at = chunkData
		if y.left == 0 {
			y.at = chunkTrailer
		}
	case chunkEnd:
		y.at = chunkLine
	case chunkTrailer:
		if y.line == 0 {
			return true, true
		}
	}
	y.digits, y.line = 0, 0
	return false, true
}

// inLine takes one byte that ends no line.
func (y *body) inLine(c byte) bool {
	if c == '\r' {
		if y.at == chunkLine {
			y.at = chunkExt
		}
		return true
	}
	y.line++
	if y.line > maxChunkLine || y.at == chunkEnd {
		return false
	}
	if y.at != chunkLine {
		return true
	}
	digit := strings.IndexByte("0123456789abcdef", c|0x20)
	if c >= '0' && c <= '9' {
		digit = int(c - '0')
	}
	switch {
	case c == ';' || c == ' ' || c == '\t':
		y.at = chunkExt
	case digit < 0 || c < '0' || y.digits >= 12:
		return false
	default:
		y.digits++
		y.left = y.left<<4 | int64(digit)
	}
	return true
}

// token tells whether b is a name as HTTP has them.
func token(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return len(b) > 0
}

func is(b []byte, word string) bool { return len(b) == len(word) && strings.EqualFold(string(b), word) }

// hasWord tells whether a list with commas has a word.
func hasWord(list []byte, word string) bool {
	for part := range bytes.SplitSeq(list, []byte(",")) {
		if is(bytes.Trim(part, " \t"), word) {
			return true
		}
	}
	return false
}

func hasField(fields map[string]*string, name string) bool { return named(fields, []byte(name)) }

func sortedFields(fields map[string]*string) []string { return slices.Sorted(maps.Keys(fields)) }
