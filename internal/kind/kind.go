// Package kind binds "kind + with" to typed values: one strict binder for faults, loads, checks and
// whatever else an experiment names by kind. The tables are explicit values in internal/catalog;
// there is no registry.
package kind

import "fmt"

// Node is a piece of a YAML file that can be decoded strictly: an unknown key, a wrong unit or a
// duplicate is an error with file:line:col and the nearest valid name.
type Node interface {
	// Decode fills the struct that into points to, by its yaml tags.
	Decode(into any) error
	// Errorf is an error at the node's place in the file.
	Errorf(format string, args ...any) error
}

// Entry is one kind: T is a pointer to its parameter struct, which implements the protocol. Fields
// carry `yaml:"name" doc:"one sentence"` and, when they may be left out, `default:"value"` or
// `optional:"true"`. What else their tags may say is in internal/spec (constraint).
type Entry[T any] struct {
	Name  string   // such as toxic.latency
	Doc   string   // one sentence
	Bites string   // of a fault: what must be seen for it to count, and so its fidelity
	New   func() T // a fresh value with its defaults
}

// Validator is implemented by parameter structs with rules beyond types.
type Validator interface {
	// Validate returns an error that says what is wrong and what to do, without position.
	Validate() error
}

// Table is the kinds of one protocol, in the order in which they are shown.
type Table[T any] []Entry[T]

// Names are the kinds' names, in order.
func (t Table[T]) Names() []string {
	names := make([]string, len(t))
	for i, e := range t {
		names[i] = e.Name
	}
	return names
}

// New returns a fresh value of a kind, such as heal needs to revert an action of that kind.
func (t Table[T]) New(name string) (v T, err error) {
	for _, e := range t {
		if e.Name == name {
			return e.New(), nil
		}
	}
	return v, fmt.Errorf("unknown kind %q", name)
}
