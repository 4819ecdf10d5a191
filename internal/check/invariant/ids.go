package invariant

import (
	"encoding/hex"
	"hash/fnv"

	"chaos/internal/journal"
)

// parseID reads an id of 32 hex digits, with or without a UUID's dashes. What follows them, such as the
// number of an attempt that was given a key of its own, does not count: it is the same operation.
func parseID(text string) (id journal.ID, ok bool) {
	var digits [2 * len(id)]byte
	if len(text) >= 36 && text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-' {
		copy(digits[:8], text)
		copy(digits[8:12], text[9:])
		copy(digits[12:16], text[14:])
		copy(digits[16:20], text[19:])
		copy(digits[20:], text[24:])
	} else {
		n := 0
		for i := 0; i < len(text) && n < len(digits); i++ {
			if text[i] != '-' {
				digits[n] = text[i]
				n++
			}
		}
	}
	if _, err := hex.Decode(id[:], digits[:]); err != nil { // what is missing is no digit either
		return journal.ID{}, false
	}
	return id, true
}

// idOf is parseID for ids of any kind: another text has an id of its own too.
func idOf(text string) (id journal.ID) {
	if id, ok := parseID(text); ok {
		return id
	}
	sum := fnv.New128a()
	_, _ = sum.Write([]byte(text)) // a hash takes everything
	sum.Sum(id[:0])
	return id
}
