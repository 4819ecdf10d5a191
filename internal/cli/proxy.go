package cli

import (
	"github.com/spf13/cobra"

	"chaos/internal/proxy"
)

// proxyCommand hands everything to the proxy, which has its own flags: stock Toxiproxy's.
func (a *app) proxyCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "proxy",
		Short:              "Serve the data plane: links and toxics behind Toxiproxy's HTTP API",
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			return exit(proxy.Main(c.Context(), args, a.Stdout, a.Stderr), nil)
		},
	}
}
