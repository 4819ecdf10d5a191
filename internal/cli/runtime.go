package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"chaos/internal/catalog"
	"chaos/internal/kind"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// auto prefers the first runtime of the catalogue that answers.
const auto = "auto"

// runtimeVariable chooses a runtime where no flag does.
const runtimeVariable = "CHAOS_RUNTIME"

// setting is what the runtimes must know of this command.
func (a *app) setting() catalog.Setting {
	return catalog.Setting{Binary: a.Binary, AllowSubstitutes: a.substitutes}
}

func (a *app) runtimes() kind.Table[target.Runtime] { return catalog.Runtimes(a.setting()) }

// runtimeFlags adds --runtime and --allow-substitutes to a command.
func (a *app) runtimeFlags(c *cobra.Command, where *string) {
	preset := auto
	if v := a.Getenv(runtimeVariable); v != "" {
		preset = v
	}
	names := append([]string{auto}, a.runtimes().Names()...)
	c.Flags().StringVar(where, "runtime", preset, "where targets run: "+strings.Join(names, ", ")+"; $"+runtimeVariable+" sets the default")
	c.Flags().BoolVar(&a.substitutes, "allow-substitutes", false, "runtime process: let a built-in stand-in serve for a program that this machine lacks; the verdict says so")
	_ = c.RegisterFlagCompletionFunc("runtime", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}

// place is a runtime, what it can do, and why it was taken. It is no runtime itself: what else a runtime
// can do is asked of the runtime.
type place struct {
	Runtime target.Runtime
	caps    target.Capabilities
	why     string
}

// runtime returns the runtime called name; auto takes the first that answers.
func (a *app) runtime(ctx context.Context, name string) (place, error) {
	table := a.runtimes()
	if name != auto && !slices.Contains(table.Names(), name) {
		return place{}, usage("unknown runtime %q%s", name, kind.Suggest(name, append(table.Names(), auto)))
	}
	var failed []error
	for _, entry := range table {
		if name != auto && entry.Name != name {
			continue
		}
		r := entry.New()
		caps, err := r.Capabilities(ctx)
		if err == nil {
			return place{r, caps.Among(catalog.Declared()), reason(name, failed)}, nil
		}
		failed = append(failed, fmt.Errorf("runtime %s: %w", entry.Name, err))
	}
	return place{}, harness(fmt.Errorf("no runtime answers (chaos doctor says why): %w", errors.Join(failed...)))
}

// reason says in words why a runtime was taken.
func reason(name string, failed []error) string {
	switch {
	case name != auto:
		return "as asked for"
	case len(failed) == 0:
		return "it answers"
	}
	first, _, _ := strings.Cut(failed[0].Error(), "\n")
	return first
}

// declared are the capabilities that the runtime called name declares; those of the preferred one for auto
// and for a name that is none.
func declared(name string) target.Capabilities {
	all := catalog.Declared()
	i := max(0, slices.IndexFunc(all, func(c target.Capabilities) bool { return c.Runtime == name }))
	return all[i].Among(all)
}

// capabilities are those of a runtime for planning. Where none answers, the declared ones serve, and
// note says so.
func (a *app) capabilities(ctx context.Context, name string) (caps target.Capabilities, note string, err error) {
	r, err := a.runtime(ctx, name)
	var usageError *exitError
	if errors.As(err, &usageError) && usageError.code != verdict.ExitHarness {
		return r.caps, "", err
	}
	if err != nil {
		declared := declared(name)
		return declared, fmt.Sprintf("no runtime answers here (chaos doctor says why); planned with what %s declares", declared.Runtime), nil
	}
	return r.caps, "", nil
}
