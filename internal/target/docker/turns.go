package docker

import (
	"context"
	"math"
	"sync"

	"golang.org/x/sync/semaphore"
)

// turns keep a container from being paused while a command is started in it. An engine starts a command as a
// process of the container that becomes the command; frozen halfway, it holds the engine's own lock on that container for
// ever, and no call, not even the one that unpauses, gets through any more (seen on 20.10: inspect, unpause and
// remove all hang until the freezer is thawed by hand).
type turns struct {
	mu sync.Mutex
	of map[string]*semaphore.Weighted // by container
}

func (t *turns) at(name string) *semaphore.Weighted {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = map[string]*semaphore.Weighted{}
	}
	if t.of[name] == nil {
		t.of[name] = semaphore.NewWeighted(math.MaxInt64)
	}
	return t.of[name]
}

// command waits until no one is pausing the container, beside any number of other commands.
func (t *turns) command(ctx context.Context, name string) (done func(), err error) {
	s := t.at(name)
	return func() { s.Release(1) }, s.Acquire(ctx, 1)
}

// pause waits for the commands that run in the container, and holds back those that come.
func (t *turns) pause(ctx context.Context, name string) (done func(), err error) {
	s := t.at(name)
	return func() { s.Release(math.MaxInt64) }, s.Acquire(ctx, math.MaxInt64)
}
