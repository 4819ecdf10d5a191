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
		switch {
		case digit == '-':
			continue
		case digit >= '0' && digit <= '9':
			digit -= '0'
		case digit >= 'a' && digit <= 'f':
			digit -= 'a' - 10
		case digit >= 'A' && digit <= 'F':
			digit -= 'A' - 10
		default:
			return journal.ID{}, false
		}
		id[n/2] |= digit << (4 * (1 - n%2))
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
