package vegeta

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"chaos/internal/journal"
	"chaos/internal/target"
)

const (
	defaultKeep    = 1000
	defaultPrepare = 50
)

// need is one need of an op, with its defaults filled in.
type need struct {
	target.Need
	name string // the placeholder
	acks string // the name of its ids in load.Acks
}

// ackName is "<op>/<field>", and "/<statuses>" when only some answers count.
func ackName(n target.Need) string {
	name := n.From + "/" + n.Field
	if len(n.Status) == 0 {
		return name
	}
	list := make([]string, len(n.Status))
	for i, s := range n.Status {
		list[i] = strconv.Itoa(s)
	}
	slices.Sort(list)
	return name + "/" + strings.Join(list, ",")
}

// needsOf returns an op's needs by name.
func needsOf(op target.Op) []need {
	var all []need
	for _, name := range sortedNames(op.Needs) {
		n := op.Needs[name]
		if n.Field == "" {
			n.Field = "id"
		}
		if n.Keep <= 0 {
			n.Keep = defaultKeep
		}
		if n.Prepare <= 0 {
			n.Prepare = defaultPrepare
		}
		all = append(all, need{Need: n, name: name, acks: ackName(n)})
	}
	return all
}

// offers are the ids that other ops may want from the answers of op from, each once.
func offers(t *target.Topology, from string) []need {
	var all []need
	for _, name := range sortedNames(t.Ops) {
		for _, n := range needsOf(t.Ops[name]) {
			if n.From == from && !slices.ContainsFunc(all, func(o need) bool { return o.acks == n.acks }) {
				all = append(all, n)
			}
		}
	}
	return all
}

// answer is a JSON answer's top-level fields.
type answer map[string]any

func parseAnswer(body []byte) answer {
	var a answer
	if json.Unmarshal(body, &a) != nil {
		return nil // no JSON: no ids in it; the status says what it means
	}
	return a
}

// idText is what an id may be made of: it is put into paths, headers and bodies as it is.
var idText = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,128}$`)

// text is a field that can serve as an id; empty when there is none.
func (a answer) text(field string) string {
	var s string
	switch v := a[field].(type) {
	case string:
		s = v
	case float64:
		s = strconv.FormatFloat(v, 'f', -1, 64)
	}
	if !idText.MatchString(s) || strings.Trim(s, ".") == "" {
		return ""
	}
	return s
}

// state is a field that holds a state, as far as it is kept.
func (a answer) state(field string) string {
	s := a.text(field)
	return s[:min(len(s), journal.StateLen)]
}

// ref is a field that holds a UUID; zero when it does not.
func (a answer) ref(field string) journal.ID {
	id, err := uuid.Parse(a.text(field))
	if err != nil {
		return journal.ID{}
	}
	return journal.ID(id)
}
