package targettest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"chaos/internal/target"
)

// replacer is a system that can replace its nodes.
type replacer interface {
	target.System
	target.Signaller
	target.Replacer
}

func (h *harness) replacer(t *testing.T, s target.System) replacer {
	t.Helper()
	able, ok := s.(replacer)
	if !ok {
		t.Skip("this runtime has no node.replace and node.signal")
	}
	return able
}

// change is a deployment that Secret's answer shows.
func (h *harness) change(to string) target.Change {
	return target.Change{Env: map[string]string{h.Greeting: to}}
}

// says checks what the victim answers to Secret.
func (h *harness) says(t *testing.T, s target.System, want string) {
	t.Helper()
	if body, err := s.Call(t.Context(), h.Secret); err != nil || string(body) != want {
		t.Errorf("%s says %q, %v; want %q", h.Victim, body, err, want)
	}
}

func (h *harness) made(t *testing.T, s target.Replacer) target.Made {
	t.Helper()
	made, err := s.Made(t.Context(), h.Victim)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// putBack restores the victim and starts it.
func (h *harness) putBack(t *testing.T, s replacer) {
	t.Helper()
	if err := s.Restore(t.Context(), h.Victim); err != nil {
		t.Fatal(err)
	}
	h.revive(t, s)
}

func (h *harness) replace(t *testing.T) {
	s := h.replacer(t, h.system)
	if err := s.Reset(t.Context(), h.variants()[0], h.suite+"-made"); err != nil {
		t.Fatal(err)
	}
	before, first := h.made(t, s), h.state(t, s)
	old, err := s.Call(t.Context(), h.Secret)
	if err != nil || before.Mark != "" || before.Half || before.Image == "" {
		t.Fatalf("before: made of %+v, says %q, %v", before, old, err)
	}
	if err := s.Restore(t.Context(), h.Victim); err != nil {
		t.Errorf("restoring a node that is not replaced: %v", err)
	}
	if same, err := s.Prepare(t.Context(), h.Victim, target.Change{Variant: h.variants()[0]}); err != nil || !same.Same(before) {
		t.Errorf("its own variant would make it %+v, %v; it is %+v", same, err, before)
	}
	for name, c := range map[string]target.Change{
		"environment": h.change("{{host}} new"), "variant": {Variant: h.variants()[1]}, "image": {Image: h.OtherImage},
	} {
		to, err := s.Prepare(t.Context(), h.Victim, c)
		if err != nil || to.Same(before) {
			t.Fatalf("another %s would make it %+v, %v; it is %+v", name, to, err, before)
		}
		if c.Image != "" {
			c.Image = to.Image
		}
		h.seen(t, h.snapshot(t, s), "node:"+h.Victim, func() error {
			return errors.Join(s.Replace(t.Context(), h.Victim, c, "first"), s.NodeReady(t.Context(), h.Victim))
		}, func() error {
			h.replaced(t, s, c, to)
			h.putBack(t, h.replacer(t, h.handleIn(t))) // what heal does
			return nil
		})
		if now := h.made(t, s); now != before {
			t.Errorf("put back, it is made of %+v; before %+v", now, before)
		}
		h.says(t, s, string(old))
		h.flows(t)
	}
	after := h.state(t, s)
	if after.StartedAt.Equal(first.StartedAt) {
		t.Error("it was replaced three times and is the same process")
	}
	if err := s.Restore(t.Context(), h.Victim); err != nil || !h.state(t, s).StartedAt.Equal(after.StartedAt) {
		t.Errorf("restored once more: %v, or it was restarted", err)
	}
}

// replaced checks a node that runs as something else.
func (h *harness) replaced(t *testing.T, s replacer, c target.Change, to target.Made) {
	t.Helper()
	now, st := h.made(t, s), h.state(t, s)
	if now.Mark != "first" || now.Half || !now.Same(to) || !st.Running {
		t.Errorf("replaced, it is made of %+v, %+v; want %+v", now, st, to)
	}
	if value, ok := c.Env[h.Greeting]; ok {
		body, err := s.Call(t.Context(), h.Secret)
		if got := string(body); err != nil || !strings.HasSuffix(got, " new") || got == value {
			t.Errorf("it says %q, %v; want what %q stands for", got, err, value)
		}
	}
	h.flows(t) // it finds others, and is found
	if err := s.Replace(t.Context(), h.Victim, c, "first"); err != nil || !h.state(t, s).StartedAt.Equal(st.StartedAt) {
		t.Errorf("replaced with the same mark once more: %v, or it was restarted", err)
	}
	if err := s.Replace(t.Context(), h.Victim, c, "second"); !errors.Is(err, target.ErrReplaced) {
		t.Errorf("replaced by another fault: %v", err)
	}
}

func (h *harness) replaceBad(t *testing.T) {
	s := h.replacer(t, h.system)
	before := h.made(t, s)
	for variant, runs := range map[string]bool{h.Stuck: true, h.Broken: false} {
		if err := s.Replace(t.Context(), h.Victim, target.Change{Variant: variant}, "bad"); err != nil {
			t.Fatalf("replaced with variant %s: %v", variant, err)
		}
		if !runs {
			h.waitDown(t, s)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if err := s.NodeReady(ctx, h.Victim); err == nil {
			t.Errorf("variant %s is ready", variant)
		}
		cancel()
		if st := h.state(t, s); st.Running != runs || h.made(t, s).Mark != "bad" {
			t.Errorf("variant %s: %+v, made of %+v", variant, st, h.made(t, s))
		}
		h.putBack(t, s)
		if now := h.made(t, s); now != before {
			t.Errorf("put back, it is made of %+v; before %+v", now, before)
		}
	}
	if _, err := s.Prepare(t.Context(), h.Victim, target.Change{Image: "no-such"}); err == nil || !strings.Contains(err.Error(), "no-such") {
		t.Errorf("an image that is not there: %v", err)
	}
}

func (h *harness) replacedEnds(t *testing.T) {
	s := h.replacer(t, h.system)
	before := h.made(t, s)
	if err := s.Replace(t.Context(), h.Victim, h.change("x"), "ends"); err != nil {
		t.Fatal(err)
	}
	if err := s.Signal(t.Context(), h.Victim, "KILL"); err != nil {
		t.Fatal(err)
	}
	h.waitDown(t, s)
	h.revive(t, s) // as another fault's undo would
	h.says(t, s, "x")
	if now := h.made(t, s); now.Mark != "ends" {
		t.Errorf("killed and started, it is made of %+v", now)
	}
	far, err := s.Made(t.Context(), h.far())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Replace(t.Context(), h.far(), target.Change{Env: map[string]string{"CHAOS_TEST": "x"}}, "far"); err != nil {
		t.Fatal(err)
	}
	if err := s.NodeReady(t.Context(), h.far()); err != nil {
		t.Fatal(err)
	}
	h.flows(t)
	if err := s.Reset(t.Context(), h.variants()[0], h.suite+"-replaced"); err != nil {
		t.Fatalf("reset with replaced nodes: %v", err)
	}
	if now := h.made(t, s); now != before {
		t.Errorf("after a reset it is made of %+v; before %+v", now, before)
	}
	if now, err := s.Made(t.Context(), h.far()); err != nil || now != far {
		t.Errorf("after a reset %s is made of %+v, %v; before %+v", h.far(), now, err, far)
	}
	h.flows(t)
}
