package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if a.json {
				return a.printJSON(map[string]string{
					"version": a.Version, "revision": a.Revision, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
				})
			}
			_, err := fmt.Fprintf(a.Stdout, "chaos %s %s %s %s/%s\n", a.Version, a.Revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
	return a.jsonFlag(c)
}
