package cli

import (
	"github.com/spf13/cobra"

	"chaos/internal/collect"
)

// collectCommand hands everything to the collector, which has its own flags.
func (a *app) collectCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "collect",
		Short:              "Receive the spans of a target: OTLP/HTTP, read back by the run",
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			return exit(collect.Main(c.Context(), args, a.Getenv, a.Stdout, a.Stderr), nil)
		},
	}
}
