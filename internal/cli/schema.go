package cli

import (
	"reflect"
	"strings"

	"github.com/spf13/cobra"

	"chaos/internal/catalog"
	"chaos/internal/check/slo"
	"chaos/internal/kind"
	"chaos/internal/spec"
)

// The files that a schema describes.
const (
	schemaExperiment = "experiment"
	schemaTarget     = "target"
)

func schemaNames() []string { return []string{schemaExperiment, schemaTarget} }

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema [" + strings.Join(schemaNames(), "|") + "]",
		Short: "Print the JSON Schema of experiment or target files, for editors",
		Long: `schema prints the JSON Schema (draft 2020-12) of experiments (the default) or of target.yaml files. It is made
from what the parser itself works with. An editor with a YAML language server completes and checks with it:

  chaos schema > experiments/experiment.schema.json

and on top of each experiment:

  # yaml-language-server: $schema=experiment.schema.json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: onlyFirst(schemaNames),
		RunE: func(_ *cobra.Command, args []string) error {
			name := append(args, schemaExperiment)[0]
			switch name {
			case schemaExperiment:
				return a.printJSON(spec.ExperimentSchema(vocabulary()))
			case schemaTarget:
				return a.printJSON(spec.TargetSchema())
			}
			return usage("unknown schema %q%s", name, kind.Suggest(name, schemaNames()))
		},
	}
}

// vocabulary is what the schema says of kinds and of SLIs.
func vocabulary() spec.Vocabulary {
	return spec.Vocabulary{
		Kinds: map[string][]spec.Kind{
			"load": kindsOf(catalog.Loads()), "fault": kindsOf(catalog.Faults()), "invariant": kindsOf(catalog.Invariants()),
			"check": kindsOf(catalog.Checks()),
		},
		Syntax: slo.Languages(),
	}
}

// kindsOf are the kinds of a table, with the structs that hold their parameters.
func kindsOf[T any](table kind.Table[T]) (all []spec.Kind) {
	for _, e := range table {
		all = append(all, spec.Kind{Name: e.Name, Doc: e.Doc, Type: reflect.TypeOf(any(e.New())).Elem()})
	}
	return all
}

// onlyFirst completes the first argument with names, and nothing else.
func onlyFirst(names func() []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(), cobra.ShellCompDirectiveNoFileComp
	}
}
