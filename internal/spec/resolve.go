package spec

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"chaos/internal/kind"
)

// TargetsFolder is where targets are looked for by name, in the nearest folder upwards that has one.
const TargetsFolder = "targets"

// TargetFile is the file that describes a target. A folder may hold more of them that share its sources,
// as <name>.target.yaml.
const TargetFile = "target.yaml"

// resolveTarget finds the target.yaml that an experiment means: a name is a folder of the nearest
// targets/ upwards, or a <name>.target.yaml in one, anything with a slash or .yaml a path relative to the experiment's folder.
func resolveTarget(folder string, target Ref) (string, error) {
	if strings.ContainsAny(target.Name, `/\`) || filepath.Ext(target.Name) == ".yaml" {
		path := filepath.Join(folder, target.Name)
		if filepath.IsAbs(target.Name) {
			path = target.Name
		}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			path = filepath.Join(path, TargetFile)
		}
		if _, err := os.Stat(path); err != nil {
			return "", Errors{target.Node.fail("", "no target at %s: %s", path, plain(err))}
		}
		return path, nil
	}
	path, valid, found := FindTarget(folder, target.Name)
	switch {
	case !found:
		return "", Errors{target.Node.fail("", "target %s: no folder %s/ here or above", target, TargetsFolder)}
	case path == "":
		return "", Errors{target.Node.fail("", "unknown target %q%s", target.Name, kind.Suggest(target.Name, valid))}
	}
	return path, nil
}

// FindTarget looks for the target called name from folder upwards. found says whether there is a
// targets/ folder at all; valid are the targets in it.
func FindTarget(folder, name string) (path string, valid []string, found bool) {
	abs, err := filepath.Abs(folder)
	if err != nil {
		return "", nil, false
	}
	for dir := abs; ; dir = filepath.Dir(dir) {
		entries, err := os.ReadDir(filepath.Join(dir, TargetsFolder))
		if err == nil {
			files := map[string]string{}
			for _, entry := range entries {
				maps.Copy(files, targetsIn(filepath.Join(dir, TargetsFolder, entry.Name())))
			}
			return files[name], slices.Sorted(maps.Keys(files)), true
		}
		if dir == filepath.Dir(dir) {
			return "", nil, false
		}
	}
}

// targetsIn are the targets that a folder describes, by name.
func targetsIn(folder string) map[string]string {
	files := map[string]string{}
	if _, err := os.Stat(filepath.Join(folder, TargetFile)); err == nil {
		files[filepath.Base(folder)] = filepath.Join(folder, TargetFile)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return files // a file, or a folder that is not for us
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), "."+TargetFile); ok && name != "" && !e.IsDir() {
			files[name] = filepath.Join(folder, e.Name())
		}
	}
	return files
}
