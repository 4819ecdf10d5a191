package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"chaos/internal/spec"
	"chaos/internal/verdict"
)

// validation is what validate prints with --json.
type validation struct {
	OK          bool        `json:"ok"`
	Experiments []validated `json:"experiments,omitempty"`
	Errors      spec.Errors `json:"errors,omitempty"`
}

type validated struct {
	Name     string   `json:"name"`
	File     string   `json:"file"`
	Target   string   `json:"target"`
	Profiles []string `json:"profiles"`
	Variants []string `json:"variants"`
}

func (a *app) validateCommand() *cobra.Command {
	var profile string
	c := &cobra.Command{
		Use:   "validate <experiment>...",
		Short: "Check experiments and their target, with the place of every error",
		Long: `validate reads experiments with each profile they have and their target, and compiles each variant as a
run would. It reports everything that is wrong with file, line, column and the nearest valid name (exit 64),
and starts nothing.`,
		Args:              wantArgs("an experiment: a file, a folder or a name"),
		ValidArgsFunction: a.completeExperiments,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.validateAll(args, profile)
		},
	}
	c.Flags().StringVar(&profile, "profile", "", "only this profile; default every one that the experiment has")
	return a.jsonFlag(c)
}

func (a *app) validateAll(args []string, profile string) error {
	result := validation{Experiments: []validated{}}
	for _, arg := range args {
		found, folder, err := a.find(arg)
		if err != nil {
			return err
		}
		for _, o := range found {
			v, err := a.validate(o, profile)
			switch {
			case err == nil:
				result.Experiments = append(result.Experiments, v)
			case folder && errors.Is(err, spec.ErrNoProfile):
				fmt.Fprintf(a.Stderr, "%s has no profile %s: left out\n", o.path, profile)
			case isFileError(err):
				result.Errors.Add(spec.Node{}, err)
			default:
				return err
			}
		}
	}
	failed := result.Errors.Err()
	result.OK = failed == nil
	if a.json {
		if err := a.printJSON(result); err != nil {
			return err
		}
	}
	if failed != nil {
		if a.json {
			return exit(verdict.ExitUsage, nil)
		}
		return failed
	}
	if !a.json {
		for _, v := range result.Experiments {
			fmt.Fprintf(a.Stdout, "%s is valid: %d variants, profiles %v, target %s\n", v.File, len(v.Variants), v.Profiles, v.Target)
		}
	}
	return nil
}

// validate compiles each variant of one experiment with each profile.
func (a *app) validate(o origin, profile string) (validated, error) {
	profiles := []string{profile}
	if profile == "" {
		profiles = spec.ProfileNames()
	}
	v := validated{File: o.path}
	var errs spec.Errors
	for _, p := range profiles {
		s, err := a.read(o, p)
		switch {
		case errors.Is(err, spec.ErrNoProfile) && profile == "":
			continue
		case err != nil && !isFileError(err):
			return v, err
		case err != nil:
			errs.Add(spec.Node{}, err)
			continue
		}
		v.Name, v.Target, v.Variants = s.Experiment.Name.Name, s.Experiment.TargetPath, nil
		v.Profiles = append(v.Profiles, p)
		for _, variant := range s.Experiment.Variants {
			v.Variants = append(v.Variants, variant.Name)
			if _, err := a.compile(s, variant.Name, declared(auto), 1); err != nil {
				if !isFileError(err) {
					return v, err
				}
				errs.Add(s.Experiment.Node, err)
			}
		}
	}
	return v, errs.Err()
}
