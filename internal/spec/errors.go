package spec

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing wrong with a file, at its place.
type Error struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // from 1; 0 = the file as a whole
	Col     int    `json:"col"`  // from 1, in characters
	Msg     string `json:"msg"`
	Hint    string `json:"hint,omitempty"`    // what to do: did you mean "latency"?
	Snippet string `json:"snippet,omitempty"` // the line and its neighbours, with a caret
	Err     error  `json:"-"`                 // what it wraps, if anything
}

// Error renders file:line:col: message — hint, then the snippet.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Headline())
	if e.Snippet != "" {
		b.WriteString("\n")
		b.WriteString(e.Snippet)
	}
	return b.String()
}

// Headline is the first line of the error: position, message and hint.
func (e *Error) Headline() string {
	place := e.File
	if e.Line > 0 {
		place = fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Col)
	}
	if e.Hint != "" {
		return fmt.Sprintf("%s: %s — %s", place, e.Msg, e.Hint)
	}
	return fmt.Sprintf("%s: %s", place, e.Msg)
}

// Unwrap returns the error it carries to this place, if any.
func (e *Error) Unwrap() error { return e.Err }

// Errors is all that is wrong with a file, in the order of the file.
type Errors []*Error

// Error joins them by newlines.
func (es Errors) Error() string {
	parts := make([]string, len(es))
	for i, e := range es {
		parts[i] = e.Error()
	}
	return strings.Join(parts, "\n")
}

// Unwrap gives errors.Is and errors.As access to each.
func (es Errors) Unwrap() []error {
	all := make([]error, len(es))
	for i, e := range es {
		all[i] = e
	}
	return all
}

// Add appends what err holds: an Error, Errors, or anything else at the place of n.
func (es *Errors) Add(n Node, err error) {
	var one *Error
	var many Errors
	switch {
	case err == nil:
	case errors.As(err, &many):
		*es = append(*es, many...)
	case errors.As(err, &one):
		*es = append(*es, one)
	default:
		*es = append(*es, n.fail("", "%w", err))
	}
}

// Err returns them sorted by file and position, each place and message once; nil when there are none.
func (es Errors) Err() error {
	if len(es) == 0 {
		return nil
	}
	sorted := slices.Clone(es)
	slices.SortStableFunc(sorted, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	type saying struct {
		file, msg string
		line, col int
	}
	said := map[saying]bool{}
	return slices.DeleteFunc(sorted, func(e *Error) bool {
		s := saying{e.File, e.Msg, e.Line, e.Col}
		again := said[s]
		said[s] = true
		return again
	})
}
