package docker

import (
	"context"
	"errors"
	"maps"
	"slices"

	"chaos/internal/target"
)

// About is what an engine says of itself, for chaos doctor.
type About struct {
	Version string `json:"version"`
	API     string `json:"api"` // the version that was negotiated
	OS      string `json:"os"`
	Kernel  string `json:"kernel"`
	Arch    string `json:"arch"`
	CPUs    int    `json:"cpus"`
	Memory  int64  `json:"memory_bytes"`
	Storage string `json:"storage"`
	Cgroup  string `json:"cgroup"`
}

// Ask asks the engine about itself; an engine that does not answer is a *DaemonError.
func Ask(ctx context.Context) (About, error) {
	d, err := dial(ctx)
	if err != nil {
		return About{}, err
	}
	info, err := (&System{d: d}).info(ctx)
	return About{
		Version: info.ServerVersion, API: d.cli.ClientVersion(), OS: info.OperatingSystem, Kernel: info.KernelVersion,
		Arch: info.Architecture, CPUs: info.NCPU, Memory: info.MemTotal, Storage: info.Driver, Cgroup: info.CgroupVersion,
	}, errors.Join(err, d.cli.Close())
}

// Missing lists the images that Ensure would have to pull or build for the target, by their keys. It
// changes nothing.
func (r *Runtime) Missing(ctx context.Context, t *target.Topology) (missing []string, err error) {
	d, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.cli.Close()) }()
	engine, err := d.cli.ServerVersion(ctx)
	if err != nil {
		return nil, err
	}
	w := r.config.wanted(t)
	for _, key := range slices.Sorted(maps.Keys(w.images)) {
		m := maker{d: d, w: w, key: key, arch: engine.Arch, say: func(string) {}}
		there, err := m.present(ctx, w.images[key])
		if err != nil {
			return missing, err
		}
		if there == "" {
			missing = append(missing, key)
		}
	}
	return missing, nil
}

// present is the id of an image that is there, or "".
func (m *maker) present(ctx context.Context, img target.Image) (string, error) {
	if img.Pull != "" {
		if id, err := m.d.imageID(ctx, img.Pull); id != "" || err != nil {
			return id, err
		}
	}
	if img.Build == nil {
		return "", nil
	}
	b, err := m.builder(*img.Build)
	if err != nil {
		return "", err
	}
	tag, err := m.tag(ctx, b)
	if err != nil {
		return "", err
	}
	return m.d.imageID(ctx, tag)
}
