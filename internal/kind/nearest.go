package kind

import "strings"

// Nearest returns the valid name that name is most likely a misspelling of, or "" when none is near:
// at most one edit for each three letters (one at least), where swapping two neighbours is one edit.
func Nearest(name string, valid []string) string {
	best, bestDistance := "", max(1, len(name)/3)+1
	for _, v := range valid {
		if d := distance(strings.ToLower(name), strings.ToLower(v), bestDistance); d < bestDistance {
			best, bestDistance = v, d
		}
	}
	return best
}

// distance is the optimal string alignment distance (Levenshtein plus transposition), or limit when
// it is not below that.
func distance(a, b string, limit int) int {
	const longest = 128 // longer names are no names; bounds the work on hostile input
	if len(a) > longest || len(b) > longest || len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(limit, last[len(b)])
}
