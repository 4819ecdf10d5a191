package docker

import (
	"context"

	"chaos/internal/target"
)

// Spans begins to read the target's spans.
func (s *System) Spans(ctx context.Context) (target.SpanReader, error) {
	return target.BeginSpans(ctx, s, s.secrets)
}

// Addresses are the addresses of the edges, as nodes see them.
func (s *System) Addresses() (map[string][]string, error) {
	return target.EdgeAddresses(s.topology, places{s.topology})
}
