package cli

import (
	"github.com/spf13/cobra"

	"chaos/internal/catalog"
	"chaos/internal/verdict"
)

// substituteCommand is a program that the machine lacks, as far as a target needs it.
func (a *app) substituteCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "substitute <program>",
		Short:              "Stand in for a program that this machine lacks",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			if err := catalog.Substitute(c.Context(), args, a.Stdin, a.Stdout, a.Stderr); err != nil {
				return exit(verdict.ExitUnmet, err) // as the real programs do
			}
			return nil
		},
	}
}
