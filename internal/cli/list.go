package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"chaos/internal/spec"
	"chaos/internal/verdict"
)

// listed is one experiment of chaos list.
type listed struct {
	Name       string   `json:"name"`
	File       string   `json:"file"`
	Hypothesis string   `json:"hypothesis,omitempty"`
	Profiles   []string `json:"profiles,omitempty"`
	Variants   []string `json:"variants,omitempty"`
	Faults     []string `json:"faults,omitempty"`
	Error      string   `json:"error,omitempty"` // it can't be read
}

func (a *app) listCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "list [folder]...",
		Short: "List the experiments, by name",
		RunE: func(_ *cobra.Command, args []string) error {
			return a.list(args)
		},
	}
	return a.jsonFlag(c)
}

func (a *app) list(args []string) error {
	if len(args) == 0 {
		args = a.experimentNames()
	}
	var all []listed
	broken := false
	for _, arg := range args {
		found, _, err := a.find(arg)
		if err != nil {
			return err
		}
		for _, o := range found {
			l := a.describe(o)
			broken = broken || l.Error != ""
			all = append(all, l)
		}
	}
	if err := a.printList(all); err != nil {
		return err
	}
	if broken {
		return exit(verdict.ExitUsage, errors.New("some experiments can't be read: see chaos validate"))
	}
	return nil
}

// describe reads one experiment without its target, which may be elsewhere.
func (a *app) describe(o origin) listed {
	text, err := o.embedded, error(nil)
	if text == nil {
		text, err = spec.Read(a.display(o.path))
	}
	var e *spec.Experiment
	if err == nil {
		e, err = spec.ParseExperiment(o.path, text, "")
	}
	for _, p := range spec.ProfileNames() { // it may have no standard
		if errors.Is(err, spec.ErrNoProfile) {
			e, err = spec.ParseExperiment(o.path, text, p)
		}
	}
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return listed{Name: o.path, File: o.path, Error: first}
	}
	l := listed{Name: e.Name.Name, File: o.path, Hypothesis: e.Hypothesis, Profiles: e.ProfilesOf()}
	for _, v := range e.Variants {
		l.Variants = append(l.Variants, v.Name+" → "+v.Expect)
	}
	for _, f := range e.Faults {
		l.Faults = append(l.Faults, f.Kind.Name)
	}
	return l
}

func (a *app) printList(all []listed) error {
	if a.json {
		return a.printJSON(all)
	}
	for _, l := range all {
		if l.Error != "" {
			fmt.Fprintf(a.Stdout, "%s can't be read: %s\n", l.Name, l.Error)
			continue
		}
		faults := strings.Join(l.Faults, ", ")
		if faults == "" {
			faults = "no fault"
		}
		fmt.Fprintf(a.Stdout, "%s\n    %s\n    %s · %s · profiles %s\n", l.Name, l.Hypothesis, faults,
			strings.Join(l.Variants, ", "), strings.Join(l.Profiles, ", "))
	}
	return nil
}

// completeExperiments completes names of experiments, beside files.
func (a *app) completeExperiments(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return a.experimentNames(), cobra.ShellCompDirectiveDefault
}
