package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"

	"chaos/internal/target"
)

// How long getting an image may take.
const (
	firstByteWithin = 10 * time.Second // a registry that has sent nothing by then counts as none
	stallWithin     = 60 * time.Second // between two lines of a pull
	buildWithin     = 10 * time.Minute
	staleAfter      = time.Hour // an older recipe's image is removed only then: somebody may be about to use it
)

// Labels of the images that we build.
const (
	labelImage  = "chaos.image"  // key in target.yaml
	labelSource = "chaos.source" // where the recipe comes from: the same for all versions of one image
)

// wanted is what to make sure of.
type wanted struct {
	images map[string]target.Image
	root   string // where go: recipes are built
	source string // whose images these are: replaces only its own older ones
	binary string // a static chaos, or ""
}

// needed lists the images of the target and the proxy's.
func (s *System) needed() wanted { return s.config.wanted(s.topology) }

func (c Config) wanted(t *target.Topology) wanted {
	w := wanted{images: map[string]target.Image{}, root: c.ModuleRoot, binary: c.Binary}
	if w.root == "" {
		w.root = moduleRoot(filepath.Dir(t.Path))
	}
	for key, image := range t.Image { // also what no node is started from: one may be replaced with it
		if image.Pull != "" || image.Build != nil {
			w.images[key] = image
		}
	}
	for _, n := range t.Nodes {
		w.images[n.Image] = t.Image[n.Image]
	}
	w.images[proxyImage] = target.Image{Build: &target.Build{Go: "./cmd/chaos"}}
	if own, ok := t.Image[proxyImage]; ok {
		w.images[proxyImage] = own
	}
	sum := sha256.Sum256([]byte(w.root + "\x00" + t.Name))
	w.source = hex.EncodeToString(sum[:8])
	return w
}

// moduleRoot is the nearest folder with a go.mod, upwards; dir itself when there is none.
func moduleRoot(dir string) string {
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at
		}
		if at == filepath.Dir(at) {
			return dir
		}
	}
}

// Ensure makes sure of every image that the target's nodes and the proxy need, and returns their ids by
// the keys of target.yaml:
//
//	present? ──no──▶ pull by digest (one try) ──failed──▶ build from the recipe
//
// A built image's tag holds a hash of its recipe and sources, so changed sources are another image;
// the older one is removed unless something uses it. progress gets one line a step and may be nil.
func (r *Runtime) Ensure(ctx context.Context, t *target.Topology, progress func(string)) (map[string]string, error) {
	d, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	if progress == nil {
		progress = func(string) {}
	}
	ids, err := d.ensure(ctx, r.config.wanted(t), progress)
	return ids, errors.Join(err, d.cli.Close())
}

func (d *daemon) ensure(ctx context.Context, w wanted, progress func(string)) (map[string]string, error) {
	var engine types.Version
	err := d.within(ctx, answerWithin, "tell its version", func(ctx context.Context) (err error) {
		engine, err = d.cli.ServerVersion(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	lines := make(chan string)
	printed := make(chan struct{})
	go func() { // progress is called by one goroutine at a time
		defer close(printed)
		for line := range lines {
			progress(line)
		}
	}()
	keys := slices.Sorted(maps.Keys(w.images))
	ids := make([]string, len(keys))
	index := make([]int, len(keys))
	for i := range index {
		index[i] = i
	}
	errs := target.Each(index, func(i int) (err error) {
		m := maker{d: d, w: w, key: keys[i], arch: engine.Arch, say: func(line string) { lines <- "image " + keys[i] + ": " + line }}
		ids[i], err = m.make(ctx, w.images[keys[i]])
		return err
	})
	close(lines)
	<-printed
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	made := make(map[string]string, len(keys))
	for i, key := range keys {
		made[key] = ids[i]
	}
	return made, nil
}

// maker makes one image.
type maker struct {
	d    *daemon
	w    wanted
	key  string
	arch string // of the engine, as GOARCH
	say  func(string)
}

func (m *maker) make(ctx context.Context, img target.Image) (string, error) {
	if img.Pull != "" {
		if id, err := m.d.imageID(ctx, img.Pull); id != "" || err != nil {
			return id, err
		}
	}
	var b builder
	var tag string
	var err error
	if img.Build != nil {
		if b, err = m.builder(*img.Build); err != nil {
			return "", fmt.Errorf("image %s: %w", m.key, err)
		}
		if tag, err = m.tag(ctx, b); err != nil {
			return "", m.unreadable(err)
		}
		if id, err := m.d.imageID(ctx, tag); id != "" || err != nil {
			return id, err
		}
	}
	var pulled error
	if img.Pull != "" {
		m.say("pulling " + img.Pull)
		if pulled = m.d.pull(ctx, img.Pull); pulled == nil {
			return m.d.imageID(ctx, img.Pull)
		}
		m.say("can't be pulled: " + target.OneLine(pulled.Error()))
	}
	if b == nil {
		return "", fmt.Errorf("image %s is not present and has no recipe: %w", m.key, errors.Join(pulled, ctx.Err()))
	}
	id, err := m.build(ctx, b, tag)
	if err != nil {
		return "", errors.Join(fmt.Errorf("image %s can't be built: %w", m.key, err), pulled)
	}
	return id, nil
}

// unreadable is the error of a recipe whose sources can't be read.
func (m *maker) unreadable(err error) error {
	if m.key == proxyImage {
		return fmt.Errorf("image %s: a static chaos binary (CGO_ENABLED=0 go build) or its source is needed to make the proxy: %w", m.key, err)
	}
	return fmt.Errorf("image %s: %w", m.key, err)
}

// builder is a recipe that can be hashed and written as the tar of a file system.
type builder interface {
	// fingerprint changes whenever what would be built changes.
	fingerprint(ctx context.Context) (string, error)
	// describe says what is being done, for progress.
	describe() string
	// write writes the tar.
	write(ctx context.Context, w io.Writer) error
	// changes are instructions for the image's configuration, as of a Dockerfile.
	changes() []string
}

func (m *maker) builder(b target.Build) (builder, error) {
	switch {
	case (b.Go == "") == (b.Debian == nil):
		return nil, errors.New("its recipe must have exactly one of go and debian")
	case b.Debian != nil:
		return newDebianRecipe(*b.Debian, m.arch)
	case m.key == proxyImage && m.w.binary != "" && static(m.w.binary, m.arch):
		return binaryRecipe{path: m.w.binary}, nil
	}
	return goRecipe{root: m.w.root, pkg: b.Go, arch: m.arch}, nil
}

func (m *maker) tag(ctx context.Context, b builder) (string, error) {
	print, err := b.fingerprint(ctx)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(print + "\x00" + strings.Join(b.changes(), "\x00")))
	return "chaos/" + strings.ToLower(m.key) + ":" + hex.EncodeToString(sum[:6]), nil
}

// buildTries bounds how often an image is built anew because its sources changed under the build.
const buildTries = 3

func (m *maker) build(ctx context.Context, b builder, tag string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, buildWithin)
	defer cancel()
	for range buildTries {
		m.say(b.describe())
		began := time.Now()
		if err := m.d.importTar(ctx, tag, append(b.changes(), m.imageLabels()), b.write); err != nil {
			return "", err
		}
		m.say(fmt.Sprintf("built in %.1f s", time.Since(began).Seconds()))
		again, err := m.tag(ctx, b)
		if err != nil {
			return "", err
		}
		if again == tag {
			m.d.removeStale(ctx, m.w.source, m.key, tag, time.Now(), m.say)
			return m.d.imageID(ctx, tag)
		}
		if err := m.d.untag(ctx, tag); err != nil { // it does not hold what its name says
			return "", err
		}
		tag = again
	}
	return "", errors.New("its sources keep changing while it is built")
}

func (m *maker) imageLabels() string {
	return fmt.Sprintf("LABEL %s=%q %s=%q", labelImage, m.key, labelSource, m.w.source)
}

// imageID returns the id of a reference, or "" when it is not present.
func (d *daemon) imageID(ctx context.Context, ref string) (id string, err error) {
	err = d.within(ctx, answerWithin, "inspect image "+ref, func(ctx context.Context) error {
		found, err := d.cli.ImageInspect(ctx, ref)
		id = found.ID
		return err
	})
	if errdefs.IsNotFound(err) {
		return "", nil
	}
	return id, err
}

// importTar makes an image out of the tar that write writes.
func (d *daemon) importTar(ctx context.Context, tag string, changes []string, write func(context.Context, io.Writer) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, w := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		err := write(ctx, w)
		w.CloseWithError(err)
		wrote <- err
	}()
	out, err := d.cli.ImageImport(ctx, image.ImportSource{Source: r, SourceName: "-"}, tag, image.ImportOptions{Changes: changes})
	if err == nil {
		err = errors.Join(readProgress(out, func() {}), out.Close())
	}
	r.CloseWithError(errors.New("the engine stopped reading"))
	if wroteErr := <-wrote; wroteErr != nil {
		return wroteErr // the cause; what the engine says follows from it
	}
	if err != nil {
		return fmt.Errorf("import it: %w", err)
	}
	return nil
}

// pull tries once, and gives up when the registry has sent nothing within firstByteWithin.
func (d *daemon) pull(ctx context.Context, ref string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(firstByteWithin, func() {
		cancel(fmt.Errorf("the registry sent nothing within %v", firstByteWithin))
	})
	defer stall.Stop()
	out, err := d.cli.ImagePull(ctx, ref, image.PullOptions{})
	if err == nil {
		err = errors.Join(readProgress(out, func() { stall.Reset(stallWithin) }), out.Close())
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("pull %s: %w", ref, err)
	}
	return nil
}

// readProgress reads the engine's JSON lines to their end; an error among them is the outcome.
func readProgress(r io.Reader, line func()) error {
	dec := json.NewDecoder(r)
	for {
		var msg struct {
			Error string `json:"error"`
		}
		if err := dec.Decode(&msg); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if msg.Error != "" {
			return errors.New(msg.Error)
		}
		line()
	}
}

// removeStale removes older versions of an image that nothing uses. Failing is no error: an image that
// is in use refuses, and is removed at a later build.
func (d *daemon) removeStale(ctx context.Context, source, key, tag string, now time.Time, say func(string)) {
	var all []image.Summary
	err := d.within(ctx, answerWithin, "list images", func(ctx context.Context) (err error) {
		all, err = d.cli.ImageList(ctx, image.ListOptions{Filters: filters.NewArgs(
			filters.Arg("label", labelSource+"="+source), filters.Arg("label", labelImage+"="+key))})
		return err
	})
	if err != nil {
		say("older versions stay: " + err.Error())
		return
	}
	for _, old := range all {
		if slices.Contains(old.RepoTags, tag) || now.Sub(time.Unix(old.Created, 0)) < staleAfter {
			continue
		}
		for _, t := range old.RepoTags {
			if err := d.untag(ctx, t); err != nil && !errdefs.IsConflict(err) {
				say("older version " + t + " stays: " + err.Error())
			}
		}
	}
}

// untag removes a tag, and the image with its last one.
func (d *daemon) untag(ctx context.Context, tag string) error {
	return d.within(ctx, workWithin, "remove image "+tag, func(ctx context.Context) error {
		_, err := d.cli.ImageRemove(ctx, tag, image.RemoveOptions{PruneChildren: true})
		return err
	})
}
