package cli

import (
	"github.com/spf13/cobra"

	"chaos/internal/ballast"
	"chaos/internal/readonly"
	"chaos/internal/resolver"
	"chaos/internal/slowdisk"
)

// resolverCommand is what runs beside a node, in a container of the proxy's image; it is for nobody else.
func (a *app) resolverCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "resolver",
		Short:              "Answer the name lookups of this network namespace wrongly",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			return exit(resolver.Main(c.Context(), args, a.Stdout, a.Stderr), nil)
		},
	}
}

// ballastCommand runs beside a node likewise.
func (a *app) ballastCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "ballast",
		Short:              "Fill a file system in memory",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			return exit(ballast.Main(c.Context(), args, a.Stdout, a.Stderr), nil)
		},
	}
}

// readonlyCommand runs beside a node likewise.
func (a *app) readonlyCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "readonly",
		Short:              "Make a folder of another process read-only",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			return exit(readonly.Main(c.Context(), args, a.Stdout, a.Stderr), nil)
		},
	}
}

// slowdiskCommand runs beside a node likewise, in a container or as a process.
func (a *app) slowdiskCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "slowdisk",
		Short:              "Hold what other processes do in a folder",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			return exit(slowdisk.Main(c.Context(), args, a.Stdin, a.Stdout, a.Stderr), nil)
		},
	}
}
