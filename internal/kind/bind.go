package kind

import (
	"fmt"
	"strings"
)

// labelled is a Node that can name the kind it belongs to in its messages.
type labelled interface {
	In(label string) Node
}

// Bind returns a fresh value of the kind called name, filled from with. An unknown name is an error
// at nameNode that says the nearest name and lists all; every other error is with's own.
func (t Table[T]) Bind(name string, nameNode, with Node) (T, error) {
	var none T
	v, err := t.New(name)
	if err != nil {
		return none, t.Unknown(name, nameNode)
	}
	if l, ok := with.(labelled); ok {
		with = l.In(name)
	}
	if err := with.Decode(any(v)); err != nil {
		return none, err
	}
	if check, ok := any(v).(Validator); ok {
		if err := check.Validate(); err != nil {
			return none, with.Errorf("%s: %w", name, err)
		}
	}
	return v, nil
}

// Unknown is the error of a name that is not in the table, at nameNode.
func (t Table[T]) Unknown(name string, nameNode Node) error {
	return nameNode.Errorf("unknown kind %q%s", name, Suggest(name, t.Names()))
}

// Suggest is the tail of a message about an unknown name: the nearest valid one when there is one
// near enough, and the list of all when it is short enough to read.
func Suggest(name string, valid []string) string {
	const readable = 16 // names that fit in a message
	var b strings.Builder
	if near := Nearest(name, valid); near != "" {
		fmt.Fprintf(&b, " — did you mean %q?", near)
	}
	switch {
	case len(valid) == 0:
		b.WriteString(" (there are none)")
	case len(valid) <= readable:
		fmt.Fprintf(&b, " (valid: %s)", strings.Join(valid, ", "))
	}
	return b.String()
}
