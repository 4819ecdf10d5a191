package toxic

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"chaos/internal/fault"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// Header changes headers and nothing else.
type Header struct {
	onLink
	Requests
	Set    map[string]string `yaml:"set" doc:"headers to set, instead of those with the same name" optional:"true" one:"change" example:"{X-Debug: \"1\"}"`
	Remove []string          `yaml:"remove" doc:"headers to remove, such as [Idempotency-Key]" optional:"true" one:"change"`
	Stage  string            `yaml:"stage" doc:"request or response: whose headers" default:"request" enum:"request|response"`
}

func (f *Header) spec() (spec, error) {
	headers := map[string]any{}
	for name, v := range f.Set {
		headers[name] = v
	}
	for _, name := range f.Remove {
		headers[name] = nil
	}
	x, err := f.action(kindHeader, map[string]any{"headers": headers, "stage": f.Stage})
	switch {
	case err != nil:
		return x, err
	case (len(f.Set) == 0) == (len(f.Remove) == 0):
		return x, fmt.Errorf("%s: give set or remove, and not both, such as remove: [Idempotency-Key]", kindHeader)
	}
	if err := headerNames(kindHeader, f.Set, f.Remove); err != nil {
		return x, err
	}
	return x, stage(kindHeader, f.Stage)
}

// headerNames refuses what the proxy would, so that a plan fails before anything runs.
func headerNames(kindName string, set map[string]string, remove []string) error {
	fixed := []string{"connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
	var seen []string
	check := func(name, value string) error {
		lower := strings.ToLower(name)
		switch {
		case strings.Trim(lower, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || name == "":
			return fmt.Errorf("%s: %q is no header name", kindName, name)
		case slices.Contains(fixed, lower):
			return fmt.Errorf("%s: %s frames the message or the connection, so it can't be changed", kindName, name)
		case slices.Contains(seen, lower):
			return fmt.Errorf("%s: header %s is there twice", kindName, name)
		case strings.ContainsAny(value, "\r\n\x00") || len(value) > 1<<10:
			return fmt.Errorf("%s: the value of %s has line ends or is longer than %d bytes", kindName, name, 1<<10)
		}
		seen = append(seen, lower)
		return nil
	}
	for name, value := range set {
		if err := check(name, value); err != nil {
			return err
		}
	}
	for _, name := range remove {
		if err := check(name, ""); err != nil {
			return err
		}
	}
	return nil
}

// Validate implements kind.Validator.
func (f *Header) Validate() error {
	_, err := f.spec()
	return err
}

// Plan implements fault.Fault: one action for each edge.
func (f *Header) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	x, err := f.spec()
	if err != nil {
		return nil, err
	}
	return f.plan(kindHeader, x, t, c)
}

// Measure implements fault.Fault. It bites when the share of requests is right.
func (f *Header) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	return measureRequests(ctx, s, a, func(x spec) string { return fmt.Sprintf("headers of the %s changed", x.stage()) })
}
