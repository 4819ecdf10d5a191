package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"chaos/internal/target"
)

// proxyImage is the key of the program that is the proxy: this one. A target may name its own recipe for
// it; mostly none does.
const proxyImage = "chaos"

// program is what an image is on this machine.
type program struct {
	Path       string `json:"path,omitempty"`       // found here
	Build      string `json:"build,omitempty"`      // Go package that is built into the target's folder
	Substitute string `json:"substitute,omitempty"` // stand-in that serves instead
	SHA256     string `json:"sha256,omitempty"`
}

// find finds the program of every image, and names all that a node uses and that are missing at once.
func (s *System) find(context.Context) (map[string]program, error) {
	found := map[string]program{}
	var missing []error
	for _, n := range slices.Concat(s.builtins(), s.topology.Nodes) {
		if _, ok := found[n.Image]; ok {
			continue
		}
		p, err := s.runtime.locate(n.Image, s.topology.Image[n.Image])
		if err != nil {
			missing = append(missing, err)
		}
		found[n.Image] = p
	}
	for key, image := range s.topology.Image { // what no node is started from, one may be replaced with
		if _, ok := found[key]; ok {
			continue
		}
		if p, err := s.runtime.locate(key, image); err == nil {
			found[key] = p
		}
	}
	return found, errors.Join(missing...)
}

// Missing tells, a line each, what the machine lacks for the target; none when it can be started.
func (r *Runtime) Missing(t *target.Topology) (missing []string) {
	for key, image := range t.Image {
		if _, err := r.locate(key, image); err != nil {
			missing = append(missing, err.Error())
		}
	}
	slices.Sort(missing)
	return missing
}

func (r *Runtime) locate(key string, image target.Image) (program, error) {
	local := image.Local
	switch {
	case local == nil && image.Build != nil && image.Build.Go != "":
		return program{Build: image.Build.Go}, nil
	case local == nil && key == proxyImage && r.config.Binary != "":
		return program{Path: r.config.Binary}, nil
	case local == nil && key == proxyImage:
		return program{Build: "./cmd/chaos"}, nil
	case local == nil:
		return program{}, fmt.Errorf("image %s can only be had as a container: give it build: {go: …} or local: {program: …}", key)
	}
	if path := search(local.Program, local.Folders); path != "" {
		return program{Path: path}, nil
	}
	missing := fmt.Errorf("image %s: %s was not found in PATH%s", key, local.Program, also(local.Folders))
	if local.Install != "" {
		missing = fmt.Errorf("%w: %s", missing, local.Install)
	}
	if local.Substitute == "" {
		return program{}, missing
	}
	if !r.config.AllowSubstitutes {
		return program{}, fmt.Errorf("%w; or let %s stand in with --allow-substitutes", missing, local.Substitute)
	}
	return program{Substitute: local.Substitute}, nil
}

func also(folders []string) string {
	if len(folders) == 0 {
		return ""
	}
	return " and " + strings.Join(folders, ", ")
}

// search returns the path of a program: in the folders, of several matches the one of the highest
// version, else in PATH.
func search(program string, folders []string) string {
	for _, pattern := range folders {
		found, err := filepath.Glob(filepath.Join(pattern, program))
		if err != nil {
			continue // a bad pattern matches nothing
		}
		slices.SortFunc(found, natural)
		for _, path := range slices.Backward(found) {
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return path
			}
		}
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return ""
	}
	if path, err = filepath.Abs(path); err != nil {
		return ""
	}
	return path
}

// natural compares paths so that 9 comes before 15.
func natural(a, b string) int {
	split := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	}
	return slices.CompareFunc(split(a), split(b), func(x, y string) int {
		m, _ := strconv.Atoi(x) // digits; a number too long to read sorts last either way
		n, _ := strconv.Atoi(y)
		return m - n
	})
}

// install puts what is built or stands in into the target's folder, and this program beside it: another
// user's node can't always reach where it lies.
func (s *System) install(ctx context.Context) error {
	rec, err := s.read()
	if err != nil {
		return err
	}
	bin := filepath.Join(s.dir, "bin")
	if err := os.Mkdir(bin, dirMode); err != nil {
		return fmt.Errorf("make the folder for programs: %w", err)
	}
	keys := make([]string, 0, len(rec.Programs))
	for key := range rec.Programs {
		keys = append(keys, key)
	}
	made := make([]program, len(keys))
	index := make([]int, len(keys))
	for i := range index {
		index[i] = i
	}
	err = errors.Join(target.Each(index, func(i int) (err error) {
		made[i], err = s.installOne(ctx, keys[i], rec.Programs[keys[i]])
		if err != nil {
			err = fmt.Errorf("image %s: %w", keys[i], err)
		}
		return err
	})...)
	if err != nil {
		return err
	}
	return s.update(func(rec *record) {
		for i, key := range keys {
			rec.Programs[key] = made[i]
		}
	})
}

func (s *System) installOne(ctx context.Context, key string, p program) (program, error) {
	bin := filepath.Join(s.dir, "bin", key)
	switch {
	case p.Build != "":
		s.progress("building " + p.Build)
		if err := s.build(ctx, p.Build, bin); err != nil {
			return p, err
		}
		p.Path = bin
	case p.Substitute != "":
		dir := filepath.Join(s.dir, "bin", key+".d")
		if err := s.substitute(dir); err != nil {
			return p, err
		}
		p.Path = filepath.Join(dir, s.topology.Image[key].Local.Program)
	case key == proxyImage:
		if err := copyProgram(p.Path, bin); err != nil {
			return p, err
		}
		p.Path = bin
	}
	var err error
	p.SHA256, err = target.FileSum(p.Path)
	return p, err
}

// build builds a Go program into the target's folder. The compiler ends with this process where nodes do: one that went on would
// make the folder anew after it was swept, and without a record nobody could tell whose it is.
func (s *System) build(ctx context.Context, pkg, out string) error {
	root := s.runtime.config.ModuleRoot
	for dir := filepath.Dir(s.topology.Path); root == ""; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			root = dir
		} else if dir == filepath.Dir(dir) {
			return fmt.Errorf("there is no go.mod above %s to build %s in", s.topology.Path, pkg)
		}
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", out, pkg)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := target.RunTied(cmd, syscall.SIGINT); err != nil { // at which it removes its own temporary folder
		return fmt.Errorf("go build %s in %s: %w: %s", pkg, root, err, target.OneLine(said.String()))
	}
	return os.Chmod(out, 0o755)
}

// substitute writes the commands of Redis that a target may use, each of them this program.
func (s *System) substitute(dir string) error {
	if err := os.Mkdir(dir, dirMode); err != nil {
		return fmt.Errorf("make the folder for stand-ins: %w", err)
	}
	chaos := filepath.Join(dir, "chaos")
	if err := copyProgram(s.runtime.config.Binary, chaos); err != nil {
		return err
	}
	for _, command := range []string{"redis-server", "redis-cli"} {
		script := "#!/bin/sh\nexec '" + chaos + "' substitute " + command + " \"$@\"\n"
		if err := os.WriteFile(filepath.Join(dir, command), []byte(script), 0o600); err != nil {
			return fmt.Errorf("write a stand-in: %w", err)
		}
		if err := os.Chmod(filepath.Join(dir, command), 0o755); err != nil {
			return fmt.Errorf("write a stand-in: %w", err)
		}
	}
	return nil
}

// copyProgram copies a program, or links it where that works.
func copyProgram(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy a program: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o700)
	if err != nil {
		return fmt.Errorf("copy a program: %w", err)
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("copy a program: %w", err)
	}
	return os.Chmod(to, 0o755) // whatever the umask says: nodes may run as another user
}
