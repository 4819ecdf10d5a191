package cli

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"chaos/internal/catalog"
	"chaos/internal/kind"
	"chaos/internal/spec"
)

// listedKind is one kind of chaos kinds.
type listedKind struct {
	Table      string           `json:"table"`
	Name       string           `json:"name"`
	Doc        string           `json:"doc"`
	Bites      string           `json:"bites,omitempty"` // of a fault: what must be seen for it to count
	Parameters []spec.Parameter `json:"parameters,omitempty"`
	Example    string           `json:"example"` // how an experiment, or for runtimes a command, names it
}

func (a *app) kindsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "kinds [name]",
		Short:             "List the kinds of faults, loads, invariants, checks and runtimes, or describe one",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: onlyFirst(a.kindNames),
		RunE: func(_ *cobra.Command, args []string) error {
			all := a.allKinds()
			if len(args) == 1 {
				all = slices.DeleteFunc(all, func(k listedKind) bool { return k.Name != args[0] })
				if len(all) == 0 {
					return usage("unknown kind %q%s", args[0], kind.Suggest(args[0], a.kindNames()))
				}
			}
			switch {
			case a.json:
				return a.printJSON(all)
			case len(args) == 1:
				return a.describeKinds(all)
			}
			return a.printKinds(all)
		},
	}
	return a.jsonFlag(c)
}

func (a *app) allKinds() []listedKind {
	return slices.Concat(
		entries("load", catalog.Loads(), "load:\n  - {name: example, kind: %s%s}"),
		entries("fault", catalog.Faults(), "faults:\n  - {id: example, kind: %s%s, at: 0s, for: 10s}"),
		entries("invariant", catalog.Invariants(), "invariants: [%s]%.0s"),
		entries("check", catalog.Checks(), "checks:\n  - {kind: %s%s}"),
		entries("runtime", a.runtimes(), "chaos run <experiment> --runtime %s%.0s"),
	)
}

func (a *app) kindNames() (names []string) {
	for _, k := range a.allKinds() {
		names = append(names, k.Name)
	}
	return names
}

// entries are the kinds of a table. use is how one is named, with its name and its parameters.
func entries[T any](table string, kinds kind.Table[T], use string) (all []listedKind) {
	for _, e := range kinds {
		k := listedKind{Table: table, Name: e.Name, Doc: e.Doc, Bites: e.Bites}
		var with string
		if t := reflect.TypeOf(any(e.New())); t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct {
			k.Parameters = spec.Parameters(t.Elem())
			if example := spec.Example(t.Elem()); example != "{}" {
				with = ", with: " + example
			}
		}
		k.Example = fmt.Sprintf(use, e.Name, with)
		all = append(all, k)
	}
	return all
}

func (a *app) printKinds(all []listedKind) error {
	t := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	for _, k := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\n", k.Table, k.Name, k.Doc)
		for _, p := range k.Parameters {
			fmt.Fprintf(t, "\t  %s\t%s (%s, %s)\n", p.Name, strings.TrimSuffix(p.Doc, "."), p.Takes(), p.Must())
		}
	}
	return t.Flush()
}

// describeKinds describes kinds of one name, of which several tables may have one.
func (a *app) describeKinds(all []listedKind) error {
	for i, k := range all {
		if i > 0 {
			fmt.Fprintln(a.Stdout)
		}
		if err := a.describeKind(k); err != nil {
			return err
		}
	}
	return nil
}

// describeKind says of one kind: what it does, each parameter, how its values are written, an example.
func (a *app) describeKind(k listedKind) error {
	fmt.Fprintf(a.Stdout, "%s (%s)\n  %s\n", k.Name, k.Table, k.Doc)
	if k.Bites != "" {
		fmt.Fprintf(a.Stdout, "\nBites when %s; else the run is INVALID\n", k.Bites)
	}
	t := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	var syntaxes []string
	for i, p := range k.Parameters {
		if i == 0 {
			fmt.Fprint(t, "\nParameters\n")
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", p.Name, p.Takes(), p.Must(), p.Doc)
		if line := fmt.Sprintf("  %s: %s\n", p.Type, p.Written); p.Written != "" && !slices.Contains(syntaxes, line) {
			syntaxes = append(syntaxes, line)
		}
	}
	if err := t.Flush(); err != nil {
		return harness(fmt.Errorf("writing the result: %w", err))
	}
	if len(syntaxes) > 0 {
		fmt.Fprintf(a.Stdout, "\nUnits\n%s", strings.Join(syntaxes, ""))
	}
	fmt.Fprintf(a.Stdout, "\nExample\n  %s\n", strings.ReplaceAll(k.Example, "\n", "\n  "))
	return nil
}
