package invariant

import (
	"hash/fnv"

	"chaos/internal/journal"
)

// parseID reads an id of 32 hex digits, with or without a UUID's dashes. What follows them, such as the
// number of an attempt that was given a key of its own, does not count: it is the same operation.
func parseID(text string) (id journal.ID, ok bool) {
	n := 0
	for i := 0; i < len(text) && n < 2*len(id); i++ {
		digit := text[i]
		if digit == '-' {
			continue
		}
		if digit -= '0'; digit > 9 {
			if digit = text[i]&^0x20 - 'A' + 10; digit < 10 || digit > 15 { // &^0x20: as a capital
				return journal.ID{}, false
			}
		}
		id[n>>1] = id[n>>1]<<4 | digit
		n++
	}
	if n < 2*len(id) {
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
