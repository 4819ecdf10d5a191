package invariant

import (
	"encoding/hex"
	"strings"

	"chaos/internal/journal"
)

// parseID reads an id of 32 hex digits, with or without a UUID's dashes. What follows them, such as the
// number of an attempt that was given a key of its own, does not count: it is the same operation.
func parseID(text string) (id journal.ID, ok bool) {
	var digits [32]byte
	n := 0
	for i := 0; i < len(text) && n < len(digits); i++ {
		if text[i] != '-' {
			digits[n] = text[i]
			n++
		}
	}
	if n < len(digits) {
		return id, false
	}
	_, err := hex.Decode(id[:], digits[:])
	return id, err == nil
}

// ours reports whether a key belongs to this run: all its keys begin with the run's id.
func ours(key, run string) bool {
	return run != "" && strings.HasPrefix(strings.ToLower(strings.ReplaceAll(key, "-", "")), strings.ToLower(run))
}
