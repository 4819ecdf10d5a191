package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"chaos/experiments"
	"chaos/internal/kind"
	"chaos/internal/spec"
	"chaos/internal/target"
)

// experimentsFolder is where experiments are looked for by name, in the nearest folder upwards.
const experimentsFolder = "experiments"

// subject is an experiment with its target, both read and checked.
type subject struct {
	Experiment *spec.Experiment
	Topology   *target.Topology
	Target     spec.Node // the target's file, for errors about it
	Path       string    // of the experiment as the user would name it
}

// origin is where an experiment comes from.
type origin struct {
	path     string // as shown
	embedded []byte // its text, when it is of the built-in catalogue
}

// experiments reads what the arguments name: files, folders or names, in that order of preference.
// All errors of all files are reported. Experiments of a folder that don't have the profile are left
// out and named on stderr; named ones that don't have it are errors.
func (a *app) experiments(args []string, profile string) ([]subject, error) {
	var all []subject
	var errs spec.Errors
	for _, arg := range args {
		found, folder, err := a.find(arg)
		if err != nil {
			return nil, err
		}
		for _, o := range found {
			s, err := a.read(o, profile)
			switch {
			case err == nil:
				all = append(all, s)
			case folder && errors.Is(err, spec.ErrNoProfile):
				fmt.Fprintf(a.Stderr, "%s has no profile %s: left out\n", o.path, cmp.Or(profile, spec.Standard))
			case isFileError(err):
				errs.Add(spec.Node{}, err)
			default:
				return nil, err
			}
		}
	}
	if err := errs.Err(); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, usage("no experiment left to look at")
	}
	return all, a.distinct(all)
}

// distinct refuses two experiments of one name: their results could not be told apart.
func (a *app) distinct(all []subject) error {
	seen := map[string]string{}
	for _, s := range all {
		name := s.Experiment.Name.Name
		if other, dup := seen[name]; dup {
			return usage("%s and %s are both called %s", other, s.Path, name)
		}
		seen[name] = s.Path
	}
	return nil
}

// find says which experiments an argument means; folder reports that it was a folder.
func (a *app) find(arg string) (found []origin, folder bool, err error) {
	info, err := os.Stat(a.path(arg))
	switch {
	case err == nil && info.IsDir():
		paths, err := filepath.Glob(filepath.Join(a.path(arg), "*.yaml"))
		if err != nil || len(paths) == 0 {
			return nil, true, usage("%s has no *.yaml in it", arg)
		}
		for _, p := range paths {
			found = append(found, origin{path: a.short(p)})
		}
		return found, true, nil
	case err == nil:
		return []origin{{path: arg}}, false, nil
	case strings.ContainsAny(arg, `/\`) || filepath.Ext(arg) != "":
		return nil, false, usage("%s: no such file", arg)
	}
	o, err := a.named(arg)
	return []origin{o}, false, err
}

// named finds an experiment by its name: in the nearest experiments/ upwards, else built in.
func (a *app) named(name string) (origin, error) {
	folder := a.upwards(experimentsFolder)
	if folder != "" {
		path := filepath.Join(folder, name+".yaml")
		if _, err := os.Stat(path); err == nil {
			return origin{path: a.short(path)}, nil
		}
	}
	if text, err := experiments.Files.ReadFile(name + ".yaml"); err == nil {
		return origin{path: name + ".yaml (built in)", embedded: text}, nil
	}
	return origin{}, usage("unknown experiment %q%s", name, kind.Suggest(name, a.experimentNames()))
}

// experimentNames are the names that named would find.
func (a *app) experimentNames() (names []string) {
	add := func(file string) { names = append(names, strings.TrimSuffix(filepath.Base(file), ".yaml")) }
	if folder := a.upwards(experimentsFolder); folder != "" {
		paths, _ := filepath.Glob(filepath.Join(folder, "*.yaml")) // the pattern is fixed, so it can't be bad
		for _, p := range paths {
			add(p)
		}
	}
	_ = fs.WalkDir(experiments.Files, ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			add(p)
		}
		return nil
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// upwards is the nearest folder called name, from the working directory up; "" when there is none.
func (a *app) upwards(name string) string {
	for dir := a.path("."); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.IsDir() {
			return filepath.Join(dir, name)
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// read reads one experiment and its target. Of files with errors it tells all that can be told, as if the ones that
// it found were mended.
func (a *app) read(o origin, profile string) (subject, error) {
	var e *spec.Experiment
	var err error
	if o.embedded == nil {
		e, err = spec.LoadExperiment(a.display(o.path), profile)
	} else if e, err = spec.ParseExperiment(o.path, o.embedded, profile); e != nil {
		err = e.FindTarget(a.path("."), err)
	}
	if e == nil || errors.Is(err, spec.ErrNoProfile) || err != nil && !isFileError(err) {
		return subject{}, err
	}
	s := subject{Experiment: e, Path: o.path}
	var errs spec.Errors
	errs.Add(e.Node, err)
	if e.TargetPath != "" {
		e.TargetPath = a.short(e.TargetPath)
		s.Topology, s.Target, err = spec.LoadTargetNode(a.display(e.TargetPath))
		if err != nil && !isFileError(err) {
			return subject{}, err
		}
		errs.Add(e.Node, err)
	}
	if len(errs) > 0 {
		errs.Add(e.Node, s.draft())
		return subject{}, errs.Err()
	}
	return s, nil
}

// display is the path under which a file is opened and shown: as given while the process stands in
// the working directory, absolute otherwise.
func (a *app) display(p string) string {
	if cwd, err := os.Getwd(); err == nil && cwd == a.Dir {
		return p
	}
	return a.path(p)
}

// TargetFile is the absolute path of the target.yaml.
func (s subject) TargetFile() string { return s.Topology.Path }
