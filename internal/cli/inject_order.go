package cli

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chaos/internal/catalog"
	"chaos/internal/engine"
	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/kind"
	"chaos/internal/spec"
	"chaos/internal/target"
)

// order is what the arguments of chaos inject ask for.
type order struct {
	kind   string
	args   []string // place and key=value, as given
	with   spec.Node
	length time.Duration

	victims *spec.Victims // nil: the place is named
}

// keyRule is what a key of key=value looks like.
var keyRule = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// orderOf reads the arguments: a kind, its place where it has one, and key=value.
func (a *app) orderOf(args []string, f injectFlags) (order, error) {
	o := order{kind: args[0], args: args[1:]}
	names := catalog.Faults().Names()
	if !slices.Contains(names, o.kind) {
		return o, usage("unknown fault kind %q%s", o.kind, kind.Suggest(o.kind, names))
	}
	var err error
	if o.length, err = kind.ParseDuration(f.length); err != nil {
		return o, usage("--for: %w", err)
	}
	if o.length < injectLeast || o.length > injectMost {
		return o, usage("--for %v is not from %v to %v", o.length, injectLeast, injectMost)
	}
	text, err := withText(o.args, parametersOf(o.kind))
	if err != nil {
		return o, err
	}
	if o.with, err = spec.Document("arguments", text); err != nil || f.victims == "" {
		return o, err
	}
	chosen, err := spec.Document("--victims", []byte(f.victims))
	if err != nil {
		return o, err
	}
	o.victims = &spec.Victims{}
	return o, chosen.In("victims").Decode(o.victims)
}

// parametersOf are the parameters of a fault kind that exists.
func parametersOf(name string) []spec.Parameter {
	v, err := catalog.Faults().New(name)
	if err != nil {
		return nil
	}
	return spec.Parameters(reflect.TypeOf(v).Elem())
}

// placeKey is the parameter that the place stands for: by convention of all kinds its edge, its node or its
// behaviour. "" when the kind has none.
func placeKey(parameters []spec.Parameter) string {
	for _, key := range []string{"edge", "node", "call"} {
		if slices.ContainsFunc(parameters, func(p spec.Parameter) bool { return p.Name == key }) {
			return key
		}
	}
	return ""
}

// withText writes the arguments as the mapping that would stand under with in an experiment, a line
// each, so that the same strict binder reads it and its errors show the argument.
func withText(args []string, parameters []spec.Parameter) ([]byte, error) {
	var own, inner strings.Builder
	place := placeKey(parameters)
	if place != "" && len(args) > 0 && !strings.Contains(args[0], "=") {
		fmt.Fprintf(&own, "%s: %s\n", place, args[0])
		args = args[1:]
	}
	outer, known := "", make([]string, len(parameters))
	for i, p := range parameters {
		known[i] = p.Name
		if strings.HasPrefix(p.Type, "mapping") && !p.Optional {
			outer = p.Name
		}
	}
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok || !keyRule.MatchString(key) || strings.ContainsAny(value, "\r\n") {
			return nil, usage("%q is not key=value on one line; valid keys: %s", arg, strings.Join(known, ", "))
		}
		if outer != "" && !slices.Contains(known, key) {
			fmt.Fprintf(&inner, "  %s: %s\n", key, value)
			continue
		}
		fmt.Fprintf(&own, "%s: %s\n", key, value)
	}
	if inner.Len() > 0 {
		fmt.Fprintf(&own, "%s:\n%s", outer, inner.String())
	}
	if own.Len() == 0 {
		return []byte("{}\n"), nil
	}
	return []byte(own.String()), nil
}

// plan binds the order and picks its victims on a topology.
func (o order) plan(t *target.Topology, caps target.Capabilities, seed uint64) (engine.Fault, error) {
	f := engine.Fault{ID: injectName, Kind: o.kind, For: o.length}
	c := &compiler{subject: subject{Topology: t}, caps: caps, seed: seed}
	one, actions, err := c.bound(spec.Fault{ID: injectName, Kind: spec.Ref{Name: o.kind}, With: o.with, Victims: o.victims})
	if err != nil {
		return f, err
	}
	f.Fault = one
	f.Actions = named(injectName, o.kind, actions)
	if f, err = cycled(f); err != nil {
		return f, usage("--for: %w", err)
	}
	return f, nil
}

// named gives each action of a fault its id.
func named(id, kindName string, actions []fault.Action) []fault.Action {
	for i := range actions {
		actions[i].ID, actions[i].Fault, actions[i].Kind = fmt.Sprintf("%s#%d", id, i+1), id, kindName
	}
	return actions
}

// info is the fault for run.json.
func (o order) info(f engine.Fault) journal.FaultInfo {
	with, err := plainJSON(o.with.JSON())
	if err != nil { // what was bound can be encoded
		with = json.RawMessage("null")
	}
	return faultInfo(f, with, o.victims != nil)
}

// command is the command that repeats the injection.
func (o order) command(f injectFlags, runtime string, seed uint64) string {
	words := []string{"chaos", "inject", o.kind}
	for _, arg := range o.args {
		words = append(words, quoted(arg))
	}
	if f.victims != "" {
		words = append(words, "--victims", quoted(f.victims))
	}
	if f.target != "" {
		words = append(words, "--target", quoted(f.target))
	}
	return strings.Join(append(words, "--for", o.length.String(), "--runtime", runtime, "--seed", fmt.Sprint(seed)), " ")
}

// plainWord needs no quotes in a shell.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:=,@%+-]+$`)

// quoted is a word as a shell reads it back.
func quoted(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// completeInject completes the kind, then its place, then its parameters.
func (a *app) completeInject(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	const done = cobra.ShellCompDirectiveNoFileComp
	if len(args) == 0 {
		var kinds []string
		for _, e := range catalog.Faults() {
			kinds = append(kinds, e.Name+"\t"+e.Doc)
		}
		return kinds, done
	}
	parameters := parametersOf(args[0])
	if place := placeKey(parameters); len(args) == 1 && place != "" {
		return a.completePlaces(c, place), done
	}
	var keys []string
	for _, p := range parameters {
		keys = append(keys, p.Name+"=\t"+p.Doc)
	}
	return keys, done | cobra.ShellCompDirectiveNoSpace
}

// completePlaces are the places of the target that --target names, or of the only one.
func (a *app) completePlaces(c *cobra.Command, key string) (names []string) {
	var chosen []string
	if flag := c.Flag("target"); flag != nil && flag.Value.String() != "" {
		chosen = []string{flag.Value.String()}
	}
	t, err := a.topology(chosen)
	if err != nil {
		return nil // nothing to offer is no reason to disturb the line that is typed
	}
	switch key {
	case "edge":
		for _, e := range t.Edges {
			names = append(names, e.Name)
		}
	case "node":
		for _, n := range t.Nodes {
			names = append(names, n.Name)
		}
	case "call":
		for name := range t.Behaviours {
			names = append(names, name)
		}
		slices.Sort(names)
	}
	return names
}

// completeTargets completes names of targets/.
func (a *app) completeTargets(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	_, valid, _ := spec.FindTarget(a.path("."), "")
	return valid, cobra.ShellCompDirectiveDefault
}
