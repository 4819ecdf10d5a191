package proxy

import "fmt"

// meant suggests the valid name nearest to got, or nothing when none is near.
func meant(got string, valid []string) string {
	best, near := "", 3
	if len(got) > 64 { // a name that long is no typing error
		return ""
	}
	for _, v := range valid {
		if d := distance(got, v); d < near {
			best, near = v, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
