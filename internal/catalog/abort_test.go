package catalog

import (
	"context"
	"errors"
	"testing"
	"time"

	"chaos/internal/fault"
	"chaos/internal/fault/faulttest"
	"chaos/internal/fault/node"
	"chaos/internal/target"
	"chaos/internal/target/docker"
	"chaos/internal/target/targettest"
)

// TestAbortsOfAGracefulStop: whatever begins with a graceful stop can be aborted at any moment of it, on every runtime, and nothing
// that is still pending ends the node afterwards.
func TestAbortsOfAGracefulStop(t *testing.T) {
	if testing.Short() {
		t.Skip("not run: -short leaves whole targets out")
	}
	const grace = 2 * time.Second
	atOnce := map[string]int{"docker": 6, Process: 12} // more, and an engine on two processors does not answer in time
	for _, entry := range Runtimes(Setting{}) {
		t.Run(entry.Name, func(t *testing.T) {
			runtime := entry.New()
			caps, err := runtime.Capabilities(t.Context())
			if errors.Is(err, target.ErrUnresponsive) {
				t.Skipf("not run: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			s, err := runtime.Start(t.Context(), targettest.Stubborn(t, atOnce[entry.Name]), target.Options{Variant: "polite"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				err := s.Close(context.WithoutCancel(t.Context()))
				if errors.Is(err, docker.ErrMiscounted) {
					t.Logf("the engine's own: %v", err)
				} else if err != nil {
					t.Error(err)
				}
			})
			var names []string
			for _, n := range s.Topology().Nodes {
				names = append(names, n.Name)
			}
			for kind, of := range map[string]func(string) fault.Fault{
				"node.stop":    func(n string) fault.Fault { return &node.Stop{Node: n, Grace: grace} },
				"node.restart": func(n string) fault.Fault { return &node.Restart{Node: n, Grace: grace} },
				"node.replace": func(n string) fault.Fault {
					return &node.Replace{Node: n, Variant: "rude", Env: map[string]string{"APP_TOKEN": "wrong"}, Strategy: "rolling", Grace: grace}
				},
			} {
				t.Run(kind, func(t *testing.T) {
					faulttest.Aborts(t, faulttest.Graceful{New: of, Zero: func() fault.Fault {
						f, err := Faults().New(kind)
						if err != nil {
							t.Fatal(err)
						}
						return f
					}, System: s, Capabilities: caps, Nodes: names, Grace: grace})
				})
			}
		})
	}
}
