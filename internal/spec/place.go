package spec

import (
	"fmt"
	"unicode/utf8"
)

// Within is the place of a byte offset inside a scalar, for errors of a language inside the YAML such
// as an SLI. A scalar that is not one line as written keeps its own place.
func (n Node) Within(offset int) Node {
	if n.val == nil || n.src == nil || n.val.line < 1 || n.val.line > len(n.src.lines) {
		return n
	}
	line := []rune(n.src.lines[n.val.line-1])
	from := n.val.col - 1
	if from < 0 || from > len(line) || offset < 0 || offset > len(n.val.text) {
		return n
	}
	rest := string(line[from:])
	if n.val.quoted && rest != "" {
		rest, from = rest[1:], from+1
	}
	if len(rest) < len(n.val.text) || rest[:len(n.val.text)] != n.val.text {
		return n
	}
	moved := *n.val
	moved.col = from + 1 + utf8.RuneCountInString(n.val.text[:offset])
	n.val = &moved
	return n
}

// Place is file:line:col.
func (n Node) Place() string {
	if n.val == nil || n.src == nil {
		return ""
	}
	return fmt.Sprintf("%s:%d:%d", n.src.file, n.val.line, n.val.col)
}
