package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"chaos/internal/catalog"
	"chaos/internal/journal"
	"chaos/internal/kind"
	"chaos/internal/report"
	"chaos/internal/verdict"
)

// verdictBytes bounds verdict.json: a run's folder is hostile input.
const verdictBytes = 64 << 20

func (a *app) reportCommand() *cobra.Command {
	var formats []string
	c := &cobra.Command{
		Use:   "report <run folder>...",
		Short: "Write the reports of stored runs again",
		Long: `report renders each run's stored verdict and journal again, beside the run, and the index above it. It judges
nothing: a run without a stored verdict is judged first, as chaos judge does.`,
		Args: wantArgs("a run's folder, such as reports/20261122T101500Z-redis-outage-1a2b3c"),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.report(args, formats)
		},
	}
	c.Flags().StringSliceVar(&formats, "format", nil, "only these formats; default all: "+strings.Join(formatNames(), ", "))
	return a.jsonFlag(c)
}

func formatNames() (names []string) {
	for _, f := range catalog.Formats() {
		names = append(names, f.Name)
	}
	return names
}

// chosen are the formats of those names; all when there are none.
func chosen(names []string) ([]report.Format, error) {
	all := catalog.Formats()
	for _, name := range names {
		if !slices.Contains(formatNames(), name) {
			return nil, usage("unknown format %q%s", name, kind.Suggest(name, formatNames()))
		}
	}
	if len(names) == 0 {
		return all, nil
	}
	return slices.DeleteFunc(all, func(f report.Format) bool { return !slices.Contains(names, f.Name) }), nil
}

// report renders run folders: the variants of one experiment lie side by side in one.
func (a *app) report(args, names []string) error {
	formats, err := chosen(names)
	if err != nil {
		return err
	}
	dirs, err := a.runDirs(args, "")
	if err != nil {
		return err
	}
	var written []string
	for len(dirs) > 0 {
		folder := filepath.Dir(dirs[0])
		var runs []report.Run
		for len(dirs) > 0 && filepath.Dir(dirs[0]) == folder {
			run, err := a.stored(dirs[0])
			if err != nil {
				return err
			}
			runs, dirs = append(runs, run), dirs[1:]
		}
		slices.SortStableFunc(runs, func(x, y report.Run) int { return x.History.Run.Started.Compare(y.History.Run.Started) })
		if err := report.Write(folder, report.Build(runs), formats); err != nil {
			return harness(err)
		}
		if err := report.WriteIndex(filepath.Dir(folder), catalog.Indexes()); err != nil {
			return harness(err)
		}
		for _, f := range formats {
			written = append(written, a.short(filepath.Join(folder, f.File)))
		}
	}
	if a.json {
		return a.printJSON(written)
	}
	for _, file := range written {
		fmt.Fprintln(a.Stdout, file)
	}
	return nil
}

// stored is a run with its stored verdict, or judged when it has none.
func (a *app) stored(dir string) (report.Run, error) {
	h, err := journal.Read(dir)
	if err != nil {
		return report.Run{}, usage("%s can't be read: %w", a.short(dir), err)
	}
	verdicts, err := readVerdicts(filepath.Join(filepath.Dir(dir), verdictFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return report.Run{}, usage("%s: the stored verdict can't be read: %w", a.short(dir), err)
	}
	for _, v := range verdicts {
		if v.Run == h.Run.ID {
			return report.Run{History: h, Verdict: v}, nil
		}
	}
	return a.rejudge(dir, "")
}

func readVerdicts(path string) (verdicts []verdict.Verdict, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	err = json.NewDecoder(io.LimitReader(f, verdictBytes)).Decode(&verdicts)
	return verdicts, err
}
