package cli

import (
	"github.com/spf13/cobra"

	"chaos/internal/packet"
)

// packetCommand is what runs beside a node, in a container of the proxy's image; it is for nobody else.
func (a *app) packetCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "packet",
		Short:              "Lose or delay packets in this network namespace",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			return exit(packet.Main(c.Context(), args, a.Stdout, a.Stderr), nil)
		},
	}
}
