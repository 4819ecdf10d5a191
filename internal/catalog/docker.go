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

// Probed is what trying out the engine's kernel has shown.
type Probed = docker.Probed

// ProbeKernel tries what faults need of the Docker engine's kernel. It builds and pulls nothing.
func ProbeKernel(ctx context.Context, binary string, t *target.Topology) (Probed, error) {
	return docker.New(docker.Config{Binary: binary}).Probe(ctx, t)
}
