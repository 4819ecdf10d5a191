package docker

import (
	"context"

	"chaos/internal/target"
)

// Call asks a node on a published port. Headers may hold {{secret "x"}}; {run} in the path is the run's id.
func (s *System) Call(ctx context.Context, c target.Call) ([]byte, error) {
	return target.Ask(ctx, s, s.expander(), c)
}
