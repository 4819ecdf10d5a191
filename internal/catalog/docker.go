package catalog

import (
	"context"

	"chaos/internal/target"
	"chaos/internal/target/docker"
)

// What the command asks of the docker runtime beside the protocol. It is here because this is the only
// package that imports kinds.

// Engine is what a Docker engine says of itself.
type Engine = docker.About

// AskEngine asks the Docker engine about itself.
func AskEngine(ctx context.Context) (Engine, error) { return docker.Ask(ctx) }

// MissingImages are the target's images that are not present yet.
func MissingImages(ctx context.Context, binary string, t *target.Topology) ([]string, error) {
	return docker.New(docker.Config{Binary: binary}).Missing(ctx, t)
}

// EnsureImages makes sure of every image of a target and returns their ids.
func EnsureImages(ctx context.Context, binary string, t *target.Topology, progress func(string)) (map[string]string, error) {
	return docker.New(docker.Config{Binary: binary}).Ensure(ctx, t, progress)
}

// Probed is what trying out what faults need of the engine's machine has shown.
type Probed = docker.Probed

// ProbeEngine tries what packet faults and slow disks need of the Docker engine's machine. It builds and pulls nothing.
func ProbeEngine(ctx context.Context, binary string, t *target.Topology) (Probed, error) {
	return docker.New(docker.Config{Binary: binary}).Probe(ctx, t)
}
