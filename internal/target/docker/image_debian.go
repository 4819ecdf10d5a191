package docker

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"

	"chaos/internal/target"
)

// mergedUsr is mmdebstrap's hook that makes /bin and /lib links into /usr, as Debian's packages expect.
const mergedUsr = "/usr/share/mmdebstrap/hooks/merged-usr"

// debianForm is part of the fingerprint: a change of how the tar is made is a change of the image.
const debianForm = "debian 1"

// debianRecipe unpacks Debian packages into an image; nothing in it has been run or configured.
type debianRecipe struct {
	target.DebianRecipe
	arch  string
	users []debianUser
}

// debianUser is a line of /etc/passwd. Its home is made, and owned by it.
type debianUser struct {
	line     string
	name     string
	uid, gid int
	home     string
}

func newDebianRecipe(r target.DebianRecipe, arch string) (debianRecipe, error) {
	if r.Variant == "" {
		r.Variant = "extract"
	}
	d := debianRecipe{DebianRecipe: r, arch: arch}
	if r.Suite == "" || len(r.Packages) == 0 {
		return d, errors.New("debian: want a suite and packages")
	}
	for _, line := range r.Users {
		f := strings.Split(line, ":")
		if len(f) != 7 || strings.ContainsAny(line, "\n\r") {
			return d, fmt.Errorf("debian: users: %q is no line of /etc/passwd", line)
		}
		uid, err1 := strconv.Atoi(f[2])
		gid, err2 := strconv.Atoi(f[3])
		if err := errors.Join(err1, err2); err != nil {
			return d, fmt.Errorf("debian: users: %q: %w", line, err)
		}
		d.users = append(d.users, debianUser{line: line, name: f[0], uid: uid, gid: gid, home: f[5]})
	}
	return d, nil
}

func (d debianRecipe) describe() string {
	return "unpacking " + strings.Join(d.Packages, ", ") + " of Debian " + d.Suite + " (some 20 s)"
}

func (d debianRecipe) changes() []string { return nil }

func (d debianRecipe) fingerprint(context.Context) (string, error) {
	raw, err := json.Marshal(d.DebianRecipe)
	return debianForm + " " + d.arch + " " + string(raw), err
}

func (d debianRecipe) write(ctx context.Context, w io.Writer) error {
	cmd := exec.CommandContext(ctx, "mmdebstrap", "--variant="+d.Variant, "--hook-dir="+mergedUsr,
		"--architectures="+d.arch, "--include="+strings.Join(d.Packages, ","), "--format=tar", d.Suite, "-")
	if _, err := exec.LookPath(cmd.Args[0]); err != nil {
		return errors.New("mmdebstrap is not installed (`make setup` installs it on Debian; with a registry in reach it is not needed)")
	}
	if _, err := os.Stat(mergedUsr); err != nil {
		return fmt.Errorf("mmdebstrap's hook is missing: %w", err)
	}
	r, out := io.Pipe()
	cmd.Stdout = out
	ran := make(chan error, 1)
	go func() {
		err := runTool(cmd)
		out.CloseWithError(err)
		ran <- err
	}()
	err := d.rewrite(tar.NewReader(r), tar.NewWriter(w))
	if err == nil {
		_, err = io.Copy(io.Discard, r) // what pads the end; a tool that can't write it would fail
	}
	r.CloseWithError(errors.New("nobody reads the image any more"))
	if toolErr := <-ran; err == nil || errors.Is(err, toolErr) {
		return toolErr
	}
	return err
}

// rewrite copies the file system without device files, and adds the users and their homes.
func (d debianRecipe) rewrite(in *tar.Reader, out *tar.Writer) error {
	tables := map[string]string{"etc/passwd": "", "etc/group": ""}
	homes := map[string]*tar.Header{} // those that no package brings
	for _, u := range d.users {
		homes[entryName(u.home)] = &tar.Header{Name: entryName(u.home) + "/", Typeflag: tar.TypeDir, Mode: 0o700, Uid: u.uid, Gid: u.gid}
	}
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read what mmdebstrap made: %w", err)
		}
		name := entryName(h.Name)
		if strings.HasPrefix(name, "dev/") {
			continue
		}
		if home, ok := homes[name]; ok && h.Typeflag == tar.TypeDir {
			h = home
			delete(homes, name)
		}
		if _, ok := tables[name]; ok && h.Typeflag == tar.TypeReg {
			raw, err := io.ReadAll(in)
			if err != nil {
				return fmt.Errorf("read %s: %w", name, err)
			}
			tables[name] = string(raw)
			continue
		}
		if err := copyEntry(h, in, out); err != nil {
			return err
		}
	}
	for _, u := range d.users {
		tables["etc/passwd"] += u.line + "\n"
		tables["etc/group"] += fmt.Sprintf("%s:x:%d:\n", u.name, u.gid)
	}
	for _, h := range homes {
		if err := copyEntry(h, nil, out); err != nil {
			return err
		}
	}
	for name, text := range tables {
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))}
		if err := copyEntry(h, strings.NewReader(text), out); err != nil {
			return err
		}
	}
	return out.Close()
}

// entryName is a path as the engine sees it: "./a/b/", "/a/b" and "a/b" are one entry, and no path may
// come twice.
func entryName(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

func copyEntry(h *tar.Header, in io.Reader, out *tar.Writer) error {
	if err := out.WriteHeader(h); err != nil {
		return fmt.Errorf("write %s: %w", h.Name, err)
	}
	if h.Size == 0 || in == nil {
		return nil
	}
	if _, err := io.Copy(out, in); err != nil {
		return fmt.Errorf("write %s: %w", h.Name, err)
	}
	return nil
}
