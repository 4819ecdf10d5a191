package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"chaos/internal/target"
)

// appPath is the program in an image that holds nothing else.
const appPath = "app"

// dataPath is a folder in it that the program's user may write to when a volume is there.
const dataPath = "data"

// appChanges make such an image startable by itself; nodes may override them.
func appChanges() []string {
	return []string{`ENTRYPOINT ["/` + appPath + `"]`, "USER " + defaultUser}
}

// goRecipe builds a main package static into an empty image.
type goRecipe struct{ root, pkg, arch string }

func (g goRecipe) describe() string  { return "building " + g.pkg }
func (g goRecipe) changes() []string { return appChanges() }

func (g goRecipe) env() []string {
	return append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+g.arch)
}

// goPackage is what `go list -json` tells of a package.
type goPackage struct {
	ImportPath                  string
	Dir                         string
	Standard                    bool
	GoFiles, SFiles, EmbedFiles []string
	Module                      *goModule
	Error                       *struct{ Err string }
}

type goModule struct {
	Path, Version string
	Main          bool
	Replace       *goModule
}

// fingerprint hashes the toolchain's version, the module versions and the files of the main module
// that the program is made of. That is much cheaper than building it to hash the binary.
func (g goRecipe) fingerprint(ctx context.Context) (string, error) {
	version, err := g.run(ctx, "env", "GOVERSION")
	if err != nil {
		return "", err
	}
	list, err := g.run(ctx, "list", "-deps", "-json=ImportPath,Dir,Standard,GoFiles,SFiles,EmbedFiles,Module,Error", g.pkg)
	if err != nil {
		return "", err
	}
	var lines []string
	dec := json.NewDecoder(bytes.NewReader(list))
	for {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return "", fmt.Errorf("read the packages of %s: %w", g.pkg, err)
		}
		more, err := p.prints()
		if err != nil {
			return "", err
		}
		lines = append(lines, more...)
	}
	slices.Sort(lines)
	return strings.Join(append([]string{"go", dataPath, string(version), g.arch, g.pkg}, slices.Compact(lines)...), "\n"), nil
}

// prints are lines that change with the package.
func (p goPackage) prints() ([]string, error) {
	if p.Error != nil {
		return nil, errors.New(p.Error.Err)
	}
	if p.Standard || p.Module == nil {
		return nil, nil
	}
	if m := p.Module; !m.Main {
		if m.Replace == nil || m.Replace.Version != "" {
			return []string{fmt.Sprint(m.Path, m.Version, m.Replace)}, nil
		}
	}
	var lines []string
	for _, name := range slices.Concat(p.GoFiles, p.SFiles, p.EmbedFiles) {
		sum, err := target.FileSum(filepath.Join(p.Dir, name))
		if err != nil {
			return nil, err
		}
		lines = append(lines, p.ImportPath+"/"+name+" "+sum)
	}
	return lines, nil
}

func (g goRecipe) write(ctx context.Context, w io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "chaos-image-*")
	if err != nil {
		return fmt.Errorf("make a folder to build in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	out := filepath.Join(dir, appPath)
	if _, err := g.run(ctx, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, g.pkg); err != nil {
		return err
	}
	return writeApp(out, w)
}

// run runs the go command in the module and returns what it prints.
func (g goRecipe) run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = g.root, g.env()
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := runTool(cmd); err != nil {
		return nil, fmt.Errorf("in %s: %w", g.root, err)
	}
	return out.Bytes(), nil
}

// Limits of a tool that builds.
const (
	toolGrace = 5 * time.Second // between SIGTERM, so that it removes its temporary files, and SIGKILL
	toolTail  = 8 << 10         // bytes of its errors that are kept
)

// runTool runs a command to its end; its last error lines are in the error.
func runTool(cmd *exec.Cmd) error {
	last := &lastBytes{max: toolTail}
	cmd.Stderr = last
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = toolGrace
	err := target.RunTied(cmd, syscall.SIGINT)
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%s is not installed", cmd.Args[0])
	}
	if err != nil {
		return fmt.Errorf("%s: %w; its last lines:\n%s", strings.Join(cmd.Args[:min(2, len(cmd.Args))], " "), err, last.lines(target.TailLines))
	}
	return nil
}

// lastBytes keeps the end of what is written to it.
type lastBytes struct {
	max int
	b   []byte
}

func (l *lastBytes) Write(p []byte) (int, error) {
	l.b = append(l.b, p...)
	if over := len(l.b) - l.max; over > 0 {
		l.b = append(l.b[:0], l.b[over:]...)
	}
	return len(p), nil
}

func (l *lastBytes) lines(n int) string {
	all := strings.Split(strings.TrimSpace(string(l.b)), "\n")
	return "    " + strings.Join(all[max(0, len(all)-n):], "\n    ")
}

// binaryRecipe puts a program that exists already into an empty image.
type binaryRecipe struct{ path string }

func (b binaryRecipe) describe() string  { return "importing " + filepath.Base(b.path) }
func (b binaryRecipe) changes() []string { return appChanges() }

func (b binaryRecipe) fingerprint(context.Context) (string, error) {
	sum, err := target.FileSum(b.path)
	return "binary " + sum, err
}

func (b binaryRecipe) write(_ context.Context, w io.Writer) error { return writeApp(b.path, w) }

// writeApp writes the tar of an empty image with one program.
func writeApp(path string, w io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the program: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("look at the program: %w", err)
	}
	t := tar.NewWriter(w)
	// A volume is owned as the image says.
	if err := t.WriteHeader(&tar.Header{Name: dataPath + "/", Mode: 0o700, Uid: defaultID, Gid: defaultID, Typeflag: tar.TypeDir}); err != nil {
		return fmt.Errorf("write the image: %w", err)
	}
	if err := t.WriteHeader(&tar.Header{Name: appPath, Mode: 0o755, Size: info.Size(), Typeflag: tar.TypeReg}); err != nil {
		return fmt.Errorf("write the image: %w", err)
	}
	if _, err := io.Copy(t, f); err != nil {
		return fmt.Errorf("write the image: %w", err)
	}
	return t.Close()
}

// static tells whether a file is a program that runs in an empty Linux image of the architecture.
func static(path, arch string) bool {
	if runtime.GOARCH != arch {
		return false
	}
	f, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
}
