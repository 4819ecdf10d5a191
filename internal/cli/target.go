package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"chaos/internal/kind"
	"chaos/internal/spec"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

func (a *app) targetCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "target",
		Short: "Bring a target up, take it down, or say what is running",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.targetUpCommand(), a.targetDownCommand(), a.targetStatusCommand())
	return c
}

// topology reads the target that an argument names: a name of targets/, or a path. Without an argument
// it is the only one there is.
func (a *app) topology(args []string) (*target.Topology, error) {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	if strings.ContainsAny(name, `/\`) || strings.HasSuffix(name, ".yaml") {
		return spec.LoadTarget(a.display(name))
	}
	path, valid, found := spec.FindTarget(a.path("."), name)
	switch {
	case !found:
		return nil, usage("no folder %s/ here or above: give the path of a target.yaml", spec.TargetsFolder)
	case path == "" && name == "" && len(valid) == 1:
		path, _, _ = spec.FindTarget(a.path("."), valid[0])
	case path == "" && name == "":
		return nil, usage("name a target: %s", strings.Join(valid, ", "))
	case path == "":
		return nil, usage("unknown target %q%s", name, kind.Suggest(name, valid))
	}
	return spec.LoadTarget(a.display(a.short(path)))
}

// say prints one line of progress.
func (a *app) say(line string) { fmt.Fprintln(a.Stderr, line) }

func (a *app) targetUpCommand() *cobra.Command {
	var variant, where, reports string
	c := &cobra.Command{
		Use:   "up [target]",
		Short: "Bring a target up and leave it running",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := a.topology(args)
			if err != nil {
				return err
			}
			return a.targetUp(c.Context(), t, variant, where, reports)
		},
	}
	c.Flags().StringVar(&reports, "reports", reportsFolder, "folder for its journal while it comes up, by which chaos heal finds it")
	c.Flags().StringVar(&variant, "variant", "", "variant to start with; needed when the target has several")
	a.runtimeFlags(c, &where)
	return a.jsonFlag(c)
}

func (a *app) targetUp(ctx context.Context, t *target.Topology, variant, where, reports string) error {
	var names []string
	for name := range t.Variants {
		names = append(names, name)
	}
	slices.Sort(names)
	switch {
	case variant == "" && len(names) == 1:
		variant = names[0]
	case variant == "" && len(names) > 1:
		return usage("target %s has several variants: say --variant %s", t.Name, strings.Join(names, ", "))
	case variant != "" && !slices.Contains(names, variant):
		return usage("unknown variant %q%s", variant, kind.Suggest(variant, names))
	}
	r, err := a.runtime(ctx, where)
	if err != nil {
		return err
	}
	switch old, err := target.AttachKept(ctx, r.Runtime, t); {
	case err == nil:
		a.say("target " + t.Name + " is up already")
		return a.printEndpoints(ctx, old)
	case !errors.Is(err, target.ErrNotKept):
		return harness(err)
	}
	sys, err := a.bring(ctx, r, t, target.Options{Variant: variant, Keep: true, Progress: a.say}, reports)
	if err != nil {
		return a.interrupted(ctx, err)
	}
	return a.printEndpoints(ctx, sys)
}

// interrupted maps the error of something that the user stopped to 130, any other to 70.
func (a *app) interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return exit(verdict.ExitInterrupted, err)
	}
	return harness(err)
}

// endpoint is a published port.
type endpoint struct {
	Node    string `json:"node"`
	Port    string `json:"port"`
	Address string `json:"address,omitempty"`
	Error   string `json:"error,omitempty"`
}

func (a *app) printEndpoints(ctx context.Context, sys target.System) error {
	var all []endpoint
	for _, n := range sys.Topology().Nodes {
		for _, port := range spec.Published(n) {
			e := endpoint{Node: n.Name, Port: port}
			address, err := sys.Endpoint(ctx, n.Name, port)
			if err != nil {
				e.Error = err.Error()
			}
			e.Address = address
			all = append(all, e)
		}
	}
	if a.json {
		return a.printJSON(all)
	}
	t := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	for _, e := range all {
		fmt.Fprintf(t, "%s\t%s\t%s%s\n", e.Node, e.Port, e.Address, e.Error)
	}
	return t.Flush()
}

func (a *app) targetDownCommand() *cobra.Command {
	var where string
	c := &cobra.Command{
		Use:   "down [target]",
		Short: "Remove a target that was left running",
		Long: `down removes a target that target up or run --keep left running. It is found by its name: when its target.yaml
is gone, or can't be read any more, say the name that chaos target status shows.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, unread := a.topology(args)
			if unread != nil && len(args) == 0 {
				return unread
			}
			r, err := a.runtime(c.Context(), where)
			if err != nil {
				return errors.Join(unread, err)
			}
			if unread != nil {
				return a.targetDownByName(c.Context(), r.Runtime, args[0], unread)
			}
			return a.targetDown(c.Context(), r.Runtime, t)
		},
	}
	a.runtimeFlags(c, &where)
	return c
}

// targetDown removes every kept target of that name. That none is up is no error.
func (a *app) targetDown(ctx context.Context, r target.Runtime, t *target.Topology) error {
	const most = 32 // of one name; a loop that removes nothing would never end
	for removed := range most {
		sys, err := target.AttachKept(ctx, r, t)
		if errors.Is(err, target.ErrNotKept) {
			if removed == 0 {
				a.say(err.Error())
			}
			return nil
		}
		if err != nil {
			return harness(err)
		}
		if err := sys.Close(ctx); err != nil {
			return exit(verdict.ExitResidue, fmt.Errorf("removing target %s: %w", t.Name, err))
		}
		a.say("target " + t.Name + " is down")
	}
	return exit(verdict.ExitResidue, fmt.Errorf("more than %d targets called %s are up", most, t.Name))
}

// targetDownByName removes a kept target whose target.yaml can't be read: a name is all that removing takes. unread is why.
func (a *app) targetDownByName(ctx context.Context, r target.Runtime, name string, unread error) error {
	t := &target.Topology{Name: name}
	switch _, err := target.AttachKept(ctx, r, t); {
	case errors.Is(err, target.ErrNotKept):
		return unread
	case err != nil:
		return harness(err)
	}
	a.say(fmt.Sprintf("removing target %s by its name alone: %v", name, unread))
	return a.targetDown(ctx, r, t)
}

// madeThing is a line of chaos target status.
type madeThing struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Target string `json:"target"`
	Suite  string `json:"suite"`
	Node   string `json:"node,omitempty"`
	State  string `json:"state,omitempty"`
	Whose  string `json:"whose"` // kept, running, abandoned

	Wounds []wound `json:"wounds,omitempty"` // faults that are still there, once for each target
}

func (a *app) targetStatusCommand() *cobra.Command {
	var reports string
	c := &cobra.Command{
		Use:   "status",
		Short: "List what the harness has on this machine: kept, in use, or abandoned, and faults that are still there",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return a.targetStatus(c.Context(), reports) },
	}
	c.Flags().StringVar(&reports, "reports", reportsFolder, "folder with the runs, whose journals tell of faults that are still there")
	return a.jsonFlag(c)
}

// located is something of ours and the runtime that has it.
type located struct {
	target.Found
	runtime string
}

// found is all of ours that is on this machine, on every runtime that answers; silent says why others
// don't.
func (a *app) found(ctx context.Context) (all []located, silent error) {
	for _, entry := range a.runtimes() {
		if custodian, ok := entry.New().(target.Custodian); ok {
			found, err := custodian.List(ctx)
			if err != nil {
				silent = errors.Join(silent, fmt.Errorf("runtime %s: %w", entry.Name, err))
			}
			for _, f := range found {
				all = append(all, located{f, entry.Name})
			}
		}
	}
	return all, silent
}

func (a *app) targetStatus(ctx context.Context, reports string) error {
	things := []madeThing{}
	abandoned := 0
	made, silent := a.found(ctx)
	if silent != nil {
		a.say(silent.Error())
	}
	for _, m := range made {
		whose := "in use by process " + fmt.Sprint(m.Owner.PID)
		switch {
		case m.Keep:
			whose = "kept"
		case !target.Alive(m.Owner):
			whose = "abandoned"
			abandoned++
		}
		thing := madeThing{Kind: m.Kind, Name: m.Name, Target: m.Target, Suite: m.Suite, Node: m.Node, State: m.State, Whose: whose}
		if len(m.Handle) > 0 {
			thing.Wounds = a.wounds(reports, m.runtime, m.Handle)
		}
		things = append(things, thing)
	}
	if a.json {
		return a.printJSON(things)
	}
	if len(things) == 0 {
		a.say("nothing of ours is here")
		return nil
	}
	t := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	for _, m := range things {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", m.Target, m.Kind, m.Name, m.State, m.Whose)
	}
	if err := t.Flush(); err != nil {
		return harness(err)
	}
	if abandoned > 0 {
		a.say("what is abandoned: chaos heal removes it")
	}
	for _, m := range things {
		for _, w := range m.Wounds {
			a.say(fmt.Sprintf("HURT target %s: %s; when that process is dead: chaos heal", m.Target, w))
		}
	}
	return nil
}
