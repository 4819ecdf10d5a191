package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"chaos/internal/catalog"
	"chaos/internal/target"
)

func (a *app) imagesCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "images",
		Short: "See to the images that a target needs",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	ensure := &cobra.Command{
		Use:   "ensure [target]",
		Short: "Make sure that each image is present: else pull it (one try), else build it from its recipe",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := a.topology(args)
			if err != nil {
				return err
			}
			return a.ensureImages(c.Context(), t)
		},
	}
	c.AddCommand(a.jsonFlag(ensure))
	return c
}

func (a *app) ensureImages(ctx context.Context, t *target.Topology) error {
	ids, err := catalog.EnsureImages(ctx, a.Binary, t, a.say)
	if err != nil {
		return a.interrupted(ctx, err)
	}
	if a.json {
		return a.printJSON(ids)
	}
	for _, key := range slices.Sorted(maps.Keys(ids)) {
		fmt.Fprintf(a.Stdout, "%s %s\n", key, ids[key])
	}
	return nil
}
