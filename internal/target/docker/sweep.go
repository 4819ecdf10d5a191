package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"chaos/internal/journal"
	"chaos/internal/target"
)

// List returns all that carries our labels on the engine, containers first. Things whose owner can't
// be read are left out: they are not ours to judge.
func List(ctx context.Context) ([]target.Found, error) {
	d, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	found, err := d.list(ctx)
	return found, errors.Join(err, d.cli.Close())
}

func (d *daemon) list(ctx context.Context) ([]target.Found, error) {
	var found []target.Found
	add := func(f target.Found, labels map[string]string) {
		owner, err := ownerOf(labels)
		if err != nil {
			return
		}
		f.Owner, f.Keep = owner, labels[LabelKeep] == "true"
		f.Target, f.Suite, f.Run, f.Node = labels[LabelTarget], labels[LabelSuite], labels[LabelRun], labels[LabelNode]
		found = append(found, f)
	}
	containers, err := d.containers(ctx, LabelOwner)
	if err != nil {
		return nil, err
	}
	for _, c := range containers {
		add(target.Found{Kind: "container", ID: c.ID, Name: strings.TrimPrefix(strings.Join(c.Names, ","), "/"), State: c.State}, c.Labels)
	}
	networks, err := d.networks(ctx, LabelOwner)
	if err != nil {
		return nil, err
	}
	for _, n := range networks {
		raw, err := json.Marshal(handle{Runtime: "docker", Suite: n.Labels[LabelSuite], Network: n.ID, Keep: n.Labels[LabelKeep] == "true"})
		if err != nil {
			return nil, fmt.Errorf("name suite %s: %w", n.Labels[LabelSuite], err)
		}
		add(target.Found{Kind: "network", ID: n.ID, Name: n.Name, Handle: raw}, n.Labels)
	}
	return found, nil
}

// Sweep removes what dead processes left: things with our labels whose owner has the same user and
// machine as owner, that are not kept on purpose, and whose process is dead as alive tells. It returns
// what it removed, in words; what it could not remove is named in the error.
func Sweep(ctx context.Context, owner journal.Owner, alive func(journal.Owner) bool) (removed []string, err error) {
	d, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.cli.Close()) }()
	found, err := d.list(ctx)
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(f target.Found) bool {
		return f.Keep || f.Owner.UID != owner.UID || f.Owner.Machine != owner.Machine || alive(f.Owner)
	})
	var errs []error
	// A network can't go before what is on it, nor an anonymous volume before the last container that has it.
	for _, turn := range []func(target.Found) bool{
		func(f target.Found) bool { return f.Kind == "container" && !isAside(f.Name) },
		func(f target.Found) bool { return f.Kind == "container" && isAside(f.Name) },
		func(f target.Found) bool { return f.Kind == "network" },
	} {
		group := slices.DeleteFunc(slices.Clone(found), func(f target.Found) bool { return !turn(f) })
		for i, err := range target.Each(group, func(f target.Found) error { return d.removeFound(ctx, f) }) {
			if err != nil {
				errs = append(errs, err)
				continue
			}
			removed = append(removed, group[i].String())
		}
	}
	return removed, errors.Join(errs...)
}

func (d *daemon) removeFound(ctx context.Context, f target.Found) error {
	if f.Kind == "network" {
		return d.removeNetwork(ctx, f.ID)
	}
	return d.remove(ctx, f.ID)
}
