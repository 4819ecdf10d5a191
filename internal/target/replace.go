package target

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Replacer is the capability behind VerbReplace: a node runs again from another image or with another environment, as a deployment
// does, and later as it was. It keeps its name, its volumes, its limits and where others find it.
type Replacer interface {
	// Made tells what the node is made of now, whether it runs or not.
	Made(ctx context.Context, node string) (Made, error)
	// Prepare tells what Replace would make the node of; an image that is not there is an error. It only looks.
	Prepare(ctx context.Context, node string, c Change) (Made, error)
	// Replace makes the node anew, changed, notes mark on it, and starts it; it returns when it runs (not: is ready). What of the node
	// still runs is killed. An Image is what Prepare told. A node that carries the mark already is only started; one that
	// carries another is an error.
	Replace(ctx context.Context, node string, c Change, mark string) error
	// Restore makes the node again what it was before Replace, however far that came, and leaves it stopped. One that is not replaced is not
	// touched.
	Restore(ctx context.Context, node string) error
}

// Change is what a deployment changes of a node. What it does not name stays as it is.
type Change struct {
	Image   string            `json:"image,omitempty"`   // key of images in target.yaml
	Variant string            `json:"variant,omitempty"` // variant of the target whose environment it gets
	Env     map[string]string `json:"env,omitempty"`     // laid over it; values may use the functions of target.yaml
}

// Made is what a node is made of.
type Made struct {
	Image string `json:"image"`          // as the engine knows it
	Env   string `json:"env"`            // sum of its environment, by which no value can be told
	Mark  string `json:"mark,omitempty"` // of the Replace that made it; "": it is as target.yaml and the variant say
	Half  bool   `json:"half,omitempty"` // a Replace or Restore of it was not finished
}

// Same tells whether two nodes are made of the same, whoever made them.
func (b Made) Same(other Made) bool { return b.Image == other.Image && b.Env == other.Env }

// Word is what a node is made of in words, for snapshots.
func (b Made) Word() string {
	words := "image " + b.Image + ", environment " + b.Env
	if b.Mark != "" {
		words += ", replaced by fault " + b.Mark
	}
	if b.Half {
		words += ", half replaced"
	}
	return words
}

// Changed lays a change over a node's environment. Its own variant's values go when the change brings another variant.
func (e Expander) Changed(n NodeSpec, env map[string]string, c Change) (map[string]string, error) {
	out := maps.Clone(env)
	if c.Variant != "" {
		for _, v := range e.Topology.Variants {
			for key := range v.Env {
				delete(out, key)
			}
		}
		fresh, err := e.Env(n, c.Variant)
		if err != nil {
			return nil, err
		}
		maps.Copy(out, fresh)
	}
	for key, value := range c.Env {
		full, err := e.Expand(n.Name, value)
		if err != nil {
			return nil, fmt.Errorf("node %s: env %s: %w", n.Name, key, err)
		}
		out[key] = full
	}
	return out, nil
}

// CheckChange refuses a change that the target has no words for, before anything runs.
func (t *Topology) CheckChange(node string, c Change) error {
	n, ok := t.Node(node)
	if !ok {
		return fmt.Errorf("there is no node %q", node)
	}
	if _, ok := t.Image[c.Image]; c.Image != "" && !ok {
		return fmt.Errorf("target %s has no image %q; its images are %s", t.Name, c.Image, strings.Join(slices.Sorted(maps.Keys(t.Image)), ", "))
	}
	if err := t.Knows(c.Variant); err != nil {
		return fmt.Errorf("%w; its variants are %s", err, strings.Join(slices.Sorted(maps.Keys(t.Variants)), ", "))
	}
	if c.Variant != "" && n.Stateful {
		return fmt.Errorf("node %s is stateful, and variants are for the others only: write env", node)
	}
	e := Expander{Topology: t, Places: nowhere{}, Secrets: map[string]string{}}
	for _, name := range t.Secrets {
		e.Secrets[name] = ""
	}
	for key, value := range c.Env {
		if key == "" || strings.ContainsAny(key, "=\x00") || strings.Contains(value, "\x00") {
			return fmt.Errorf("env %q: not what a variable of the environment can be", key)
		}
		if _, err := e.Expand(node, value); err != nil {
			return fmt.Errorf("env %s: %w", key, err)
		}
	}
	return nil
}

// nowhere are places of a target that does not run.
type nowhere struct{}

func (nowhere) Address(string, string) string { return "" }
func (nowhere) Link(int) string               { return "" }
func (nowhere) Collector() string             { return "" }
func (nowhere) Listen() string                { return "" }
func (nowhere) Port(string, string) int       { return 0 }
func (nowhere) Dir(string, string) string     { return "" }

// EnvSum is the sum of an environment, keyed with the target's own tokens: who knows it can't try values of a secret against it.
func EnvSum(env, secrets map[string]string) string {
	const shown = 8
	write := func(m map[string]string) []byte {
		var b strings.Builder
		for _, key := range slices.Sorted(maps.Keys(m)) {
			fmt.Fprintf(&b, "%s=%s\x00", key, m[key])
		}
		return []byte(b.String())
	}
	h := hmac.New(sha256.New, write(secrets))
	h.Write(write(env))
	return hex.EncodeToString(h.Sum(nil)[:shown])
}

// ErrReplaced is wrapped by Replace when the node is replaced already, by another fault.
var ErrReplaced = errors.New("it is replaced already")
