package cli

import (
	"bufio"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"chaos/internal/journal"
)

func (a *app) exportCommand() *cobra.Command {
	var spans, readings bool
	c := &cobra.Command{
		Use:   "export <run folder>",
		Short: "Print the requests, spans or readings of one stored run as JSON lines",
		Long: `export prints one JSON object a line: the requests of a run, or with --spans what the target's services sent, or with
--readings what was measured each second. The folder is that of one variant, such as reports/<run>/resilient.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.export(args[0], spans, readings)
		},
	}
	c.Flags().BoolVar(&spans, "spans", false, "the spans")
	c.Flags().BoolVar(&readings, "readings", false, "metrics, and what the harness measured of itself")
	c.MarkFlagsMutuallyExclusive("spans", "readings")
	return c
}

func (a *app) export(folder string, spans, readings bool) error {
	dirs, err := a.runDirs([]string{folder}, "")
	if err != nil {
		return err
	}
	if len(dirs) != 1 {
		return usage("%s holds %d runs: name the folder of one variant", folder, len(dirs))
	}
	h, err := journal.Read(dirs[0])
	if err != nil {
		return usage("%s can't be read: %w", a.short(dirs[0]), err)
	}
	for _, d := range h.Damage {
		fmt.Fprintln(a.Stderr, "chaos: damaged:", d)
	}
	out := bufio.NewWriter(a.Stdout)
	enc := json.NewEncoder(out)
	switch {
	case spans:
		err = encodeAll(enc, h.Spans)
	case readings:
		err = encodeAll(enc, h.Readings)
	default:
		err = h.ExportJSON(out)
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return harness(fmt.Errorf("writing the result: %w", err))
	}
	return nil
}

func encodeAll[T any](enc *json.Encoder, list []T) error {
	for i := range list {
		if err := enc.Encode(&list[i]); err != nil {
			return err
		}
	}
	return nil
}
