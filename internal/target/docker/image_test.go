package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"

	"chaos/internal/target"
)

// module writes a small module of two packages, one of which the program does not use.
func module(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":           "module m\n\ngo 1.26\n",
		"cmd/a/main.go":    "package main\n\nimport (\n\t_ \"embed\"\n\t\"m/used\"\n)\n\n//go:embed text\nvar text string\n\nfunc main() { used.Say(text) }\n",
		"cmd/a/text":       "one",
		"used/used.go":     "package used\n\nfunc Say(s string) { println(s) }\n",
		"unused/unused.go": "package unused\n",
	} {
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAChangedSourceIsAnotherImage(t *testing.T) {
	dir := module(t)
	m := &maker{key: "a", w: wanted{root: dir}, arch: "amd64"}
	tag := func() string {
		t.Helper()
		got, err := m.tag(t.Context(), goRecipe{root: dir, pkg: "./cmd/a", arch: "amd64"})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	last := tag()
	if !strings.HasPrefix(last, "chaos/a:") || tag() != last {
		t.Fatalf("tag %q is not stable", last)
	}
	write(t, filepath.Join(dir, "unused/unused.go"), "package unused // changed\n")
	if tag() != last {
		t.Error("a file that the program does not use changed its tag")
	}
	for _, name := range []string{"cmd/a/text", "used/used.go", "cmd/a/main.go"} {
		old, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), string(old)+"\n")
		if now := tag(); now == last {
			t.Errorf("a change of %s left the tag %s", name, now)
		} else {
			last = now
		}
	}
	write(t, filepath.Join(dir, "used/used.go"), "package used\n\nfunc Say(s string) { undefined(s) }\n")
	err := goRecipe{root: dir, pkg: "./cmd/a", arch: "amd64"}.write(t.Context(), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "undefined: undefined") {
		t.Errorf("a build that fails says %v", err)
	}
}

func TestAStaticBinaryIsTold(t *testing.T) {
	dir := module(t)
	var image bytes.Buffer
	if err := (goRecipe{root: dir, pkg: "./cmd/a", arch: runtime.GOARCH}).write(t.Context(), &image); err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(&image)
	data, err := r.Next()
	if err != nil || data.Typeflag != tar.TypeDir || data.Uid == 0 {
		t.Fatalf("%+v, %v", data, err)
	}
	h, err := r.Next()
	for err == nil && h.Typeflag == tar.TypeDir { // of what the program may write to
		h, err = r.Next()
	}
	if err != nil || h.Name != appPath || h.Mode != 0o755 {
		t.Fatalf("%+v, %v", h, err)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "static")
	write(t, path, string(raw))
	if !static(path, runtime.GOARCH) {
		t.Error("a program built without cgo is not taken for static")
	}
	if static(path, "s390x") || static(filepath.Join(dir, "go.mod"), runtime.GOARCH) {
		t.Error("another architecture, or no program at all, is taken")
	}
	if sh, err := exec.LookPath("sh"); err == nil && static(sh, runtime.GOARCH) {
		t.Error("a dynamic program is taken for static")
	}
}

func TestDebianUsersAreWrittenOnce(t *testing.T) {
	d, err := newDebianRecipe(target.DebianRecipe{
		Suite: "bookworm", Packages: []string{"p"},
		Users: []string{"db:x:7:8::/var/lib/db:/bin/sh", "web:x:9:9::/home/web:/bin/sh"},
	}, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	var in, out bytes.Buffer
	w := tar.NewWriter(&in)
	for _, h := range []*tar.Header{
		{Name: "./etc/passwd", Typeflag: tar.TypeReg, Size: 5, Mode: 0o644},
		{Name: "./dev/null", Typeflag: tar.TypeChar},
		{Name: "./var/lib/db/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./usr/bin/sh", Typeflag: tar.TypeSymlink, Linkname: "dash"},
	} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			fmt.Fprint(w, "root\n")
		}
	}
	if err := errors.Join(w.Close(), d.rewrite(tar.NewReader(&in), tar.NewWriter(&out))); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for r := tar.NewReader(&out); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := got[entryName(h.Name)]; twice {
			t.Errorf("%s comes twice, which the engine refuses", h.Name)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got[entryName(h.Name)] = fmt.Sprintf("%d:%d %o %s%s", h.Uid, h.Gid, h.Mode, h.Linkname, text)
	}
	for name, want := range map[string]string{
		"var/lib/db": "7:8 700 ", "home/web": "9:9 700 ", "usr/bin/sh": "0:0 0 dash",
		"etc/passwd": "0:0 644 root\ndb:x:7:8::/var/lib/db:/bin/sh\nweb:x:9:9::/home/web:/bin/sh\n",
		"etc/group":  "0:0 644 db:x:8:\nweb:x:9:\n",
	} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	if len(got) != 5 {
		t.Errorf("entries %v", got)
	}
	for _, users := range [][]string{{"db"}, {"db:x:a:8::/:/"}, {"a:x:1:1::/:/\nroot:x:0:0::/:/"}} {
		if _, err := newDebianRecipe(target.DebianRecipe{Suite: "s", Packages: []string{"p"}, Users: users}, "amd64"); err == nil {
			t.Errorf("users %q were taken", users)
		}
	}
}

func TestImagesThatCannotBeHadSayWhy(t *testing.T) {
	d := needDocker(t)
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		t.Skip("not run: mmdebstrap is not installed")
	}
	nowhere := "localhost:1/none@sha256:" + strings.Repeat("0", 64)
	for want, img := range map[string]target.Image{
		"has no recipe":              {Pull: nowhere},
		"Unable to locate package":   {Pull: nowhere, Build: &target.Build{Debian: &target.DebianRecipe{Suite: "bookworm", Packages: []string{"no-such-package"}}}},
		"exactly one of go and":      {Build: &target.Build{}},
		"no-such-command: directory": {Build: &target.Build{Go: "./no-such-command"}},
	} {
		w := wanted{images: map[string]target.Image{"x": img}, root: module(t), source: "test"}
		_, err := d.ensure(t.Context(), w, func(string) {})
		if err == nil || !strings.Contains(err.Error(), "image x") || !strings.Contains(strings.ReplaceAll(err.Error(), "stat ", ""), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
		if img.Pull != "" && err != nil && !strings.Contains(err.Error(), "pull localhost:1/none") {
			t.Errorf("the failed pull is not told: %v", err)
		}
	}
}

func TestOlderVersionsGoUnlessUsed(t *testing.T) {
	d := needDocker(t)
	ctx := t.Context()
	m := &maker{d: d, key: "stale", w: wanted{source: target.Token(8)}}
	tags := make([]string, 3)
	for i := range tags {
		tags[i] = fmt.Sprintf("chaos/test-%s:%d", m.w.source, i)
		err := d.importTar(ctx, tags[i], []string{m.imageLabels(), fmt.Sprintf("LABEL n=%d", i)}, func(_ context.Context, w io.Writer) error {
			return writeApp("image_test.go", w)
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.untag(context.WithoutCancel(ctx), tags[i]) })
	}
	used, err := d.cli.ContainerCreate(ctx, &container.Config{Image: tags[0], Cmd: []string{"x"}}, &container.HostConfig{}, &network.NetworkingConfig{}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.remove(context.WithoutCancel(ctx), used.ID); err != nil {
			t.Error(err)
		}
	})
	there := func() (found string) {
		for i, tag := range tags {
			if id, err := d.imageID(ctx, tag); err != nil {
				t.Fatal(err)
			} else if id != "" {
				found += fmt.Sprint(i)
			}
		}
		return found
	}
	d.removeStale(ctx, m.w.source, m.key, tags[2], time.Now(), func(string) {})
	if got := there(); got != "012" {
		t.Errorf("young images were removed: left %s", got)
	}
	d.removeStale(ctx, m.w.source, m.key, tags[2], time.Now().Add(2*staleAfter), func(string) {})
	if got := there(); got != "02" {
		t.Errorf("left %s, want the used 0 and the new 2", got)
	}
}

// TestASilentRegistryIsGivenUp has an engine whose registry sends nothing.
func TestASilentRegistryIsGivenUp(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "engine.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	})}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close() })
	cli, err := client.NewClientWithOpts(client.WithHost("unix://"+ln.Addr().String()), client.WithVersion("1.41"))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	err = (&daemon{cli: cli}).pull(t.Context(), "some@sha256:"+strings.Repeat("0", 64))
	if took := time.Since(began); err == nil || !strings.Contains(err.Error(), "sent nothing within 10s") || took > firstByteWithin+time.Minute {
		t.Errorf("after %v: %v", took, err)
	}
}

// TestAnImageCannotPublishItself holds an image against the launcher that, as the official ones do,
// exposes a port: testcontainers-go would publish it on every address of the machine.
func TestAnImageCannotPublishItself(t *testing.T) {
	d := needDocker(t)
	ctx := t.Context()
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	recipe := goRecipe{root: moduleRoot(here), pkg: "./internal/target/targettest/testdata/app", arch: runtime.GOARCH}
	tag := "chaos/test-" + target.Token(6) + ":1"
	if err := d.importTar(ctx, tag, append(recipe.changes(), "EXPOSE 8080/tcp 9999/tcp"), recipe.write); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.untag(context.WithoutCancel(ctx), tag) })
	owner, err := target.Self("test")
	if err != nil {
		t.Fatal(err)
	}
	s := &System{d: d, suite: target.Token(6), owner: owner, topology: &target.Topology{Name: "exposed"}, progress: func(string) {}, run: "r"}
	if err := errors.Join(prepareTestcontainers(d.cli.DaemonHost()), s.join(ctx)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	labels, err := s.nodeLabels("r", target.NodeSpec{Name: "app"})
	if err != nil {
		t.Fatal(err)
	}
	l := launch{container: s.container("app"), image: tag, labels: labels, network: s.networkName, node: target.NodeSpec{Name: "app"}}
	if err := l.run(ctx); err != nil {
		t.Fatal(err)
	}
	c, found, err := d.inspect(ctx, l.container)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	for port, bindings := range c.NetworkSettings.Ports {
		if len(bindings) > 0 {
			t.Errorf("port %s is published on %v", port, bindings)
		}
	}
}

// A volume is owned as the image says, so an empty image has a folder for one.
func TestAppImageHasAFolderForAVolume(t *testing.T) {
	var image bytes.Buffer
	if err := writeApp("image_test.go", &image); err != nil {
		t.Fatal(err)
	}
	found := false
	for r := tar.NewReader(&image); ; {
		h, err := r.Next()
		if err != nil {
			break
		}
		found = found || h.Name == "data/" && h.Typeflag == tar.TypeDir && h.Uid == defaultID && h.Gid == defaultID
	}
	if !found {
		t.Error("there is no folder /data of the default user")
	}
}
