package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"chaos/internal/catalog"
	"chaos/internal/engine"
	"chaos/internal/fault"
)

// permitFlag adds the flag without which no kind acts outside of the target.
func (a *app) permitFlag(c *cobra.Command) {
	c.Flags().BoolVar(&a.allowExec, "allow-exec", false, "let faults of kind exec run their commands on this machine")
}

// permit lets a fault act, or refuses one that acts outside of the target without the user's word for it.
func (a *app) permit(f fault.Fault) error {
	p, ok := f.(fault.Permitted)
	switch {
	case !ok:
		return nil
	case !a.allowExec:
		return usage("it acts on this machine and not only on the target, which is %w without %s", fault.ErrNotPermitted, p.Flag())
	}
	p.Allow()
	return nil
}

// permitAll permits every fault of a plan.
func (a *app) permitAll(s subject, p *engine.Plan) error {
	for _, f := range p.Faults {
		if err := a.permit(f.Fault); err != nil {
			return usage("%s: fault %s (%s): %w", s.Path, f.ID, f.Kind, err)
		}
		p.Info.Command = withFlag(p.Info.Command, f.Fault)
	}
	return nil
}

// withFlag is the command that repeats something, with the flag that the fault needs.
func withFlag(command string, f fault.Fault) string {
	if p, ok := f.(fault.Permitted); ok && !strings.Contains(command, p.Flag()) {
		return command + " " + p.Flag()
	}
	return command
}

// healer is the kind that reverts an action of that name. A journal is hostile input: what it would run on this
// machine, it runs only when the user said so.
func (a *app) healer(name string) (fault.Fault, error) {
	f, err := catalog.Faults().New(name)
	if err != nil {
		return nil, err
	}
	if a.permit(f) != nil {
		return nil, fmt.Errorf("its undo is a command that the journal names, and running it is %w: look at it, then chaos heal --allow-exec", fault.ErrNotPermitted)
	}
	return f, nil
}
