package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"chaos/internal/kind"
)

// groups of the help text, in the order in which people need them.
const (
	groupRun    = "run"
	groupRead   = "read"
	groupTarget = "target"
)

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "chaos",
		Short: "Break a system on purpose, and tell the truth about what happened",
		Long: `chaos drives a system with open-model load, hurts it, heals it, and judges what its clients saw.

  chaos plan redis-outage --profile quick    what would happen, touching nothing
  chaos run redis-outage --profile quick     do it; the report is in reports/
  chaos heal                                 undo what a killed run left behind

Exit codes: 0 every expectation came true · 1 one did not · 2 no evidence · 3 something is left broken,
and named · 4 aborted by a guard · 64 bad usage or file · 70 harness error · 130 interrupted, and healed.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          knownCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Experiments:"},
		&cobra.Group{ID: groupRead, Title: "Results:"},
		&cobra.Group{ID: groupTarget, Title: "Targets and this machine:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupRun, a.runCommand(), a.injectCommand(), a.planCommand(), a.validateCommand(), a.listCommand(), a.kindsCommand(), a.schemaCommand(), a.healCommand())
	add(groupRead, a.judgeCommand(), a.reportCommand(), a.traceCommand(), a.exportCommand())
	add(groupTarget, a.targetCommand(), a.imagesCommand(), a.doctorCommand())
	root.AddCommand(a.proxyCommand(), a.packetCommand(), a.collectCommand(), a.resolverCommand(), a.ballastCommand(), a.readonlyCommand(), a.slowdiskCommand(), a.versionCommand(), a.watchdogCommand(), a.substituteCommand())
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage("%w\nsee: %s --help", err, c.CommandPath())
	})
	return root
}

// knownCommand refuses a command that there is not, with the nearest name.
func knownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range c.Commands() {
		names = append(names, sub.Name())
	}
	near := kind.Nearest(args[0], names)
	if near != "" {
		near = fmt.Sprintf(" — did you mean %q?", near)
	}
	return fmt.Errorf("unknown command %q%s\nsee: %s --help", args[0], near, c.CommandPath())
}

// wantArgs refuses a command without arguments, in words.
func wantArgs(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("name %s\nsee: %s --help", what, c.CommandPath())
		}
		return nil
	}
}
