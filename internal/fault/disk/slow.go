package disk

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"chaos/internal/fault"
	"chaos/internal/slowdisk"
	"chaos/internal/target"
)

const (
	minLatency = time.Millisecond
	maxLatency = time.Minute
	// least is the share of the latency by which operations must have been late on average.
	least = 0.8
)

// Slow holds what a node's processes do in a folder.
type Slow struct {
	onFolder
	Node    string        `yaml:"node" doc:"name of the node in target.yaml" example:"postgres"`
	Folder  string        `yaml:"folder" doc:"which of its volumes and tmpfs; may be left out when it has only one, or one is a volume" optional:"true" example:"/var/lib/postgresql"`
	Latency time.Duration `yaml:"latency" doc:"how long each operation is held before it begins" range:"1ms..1m" example:"20ms"`
	Jitter  time.Duration `yaml:"jitter" doc:"each is held for a time that is drawn uniformly from latency ± jitter" optional:"true" range:"0s..1m" default:"0s"`
	Ops     []string      `yaml:"ops" doc:"which operations; sync is fsync, fdatasync and the like" default:"[read, write, sync]" enum:"read|write|sync"`
}

func (f *Slow) slow() slowdisk.Slow {
	return slowdisk.Slow{Latency: f.Latency, Jitter: f.Jitter, Ops: f.Ops}
}

// Validate implements kind.Validator.
func (f *Slow) Validate() error {
	if f.Latency < minLatency || f.Latency > maxLatency {
		return fmt.Errorf("%s: latency %v is not from %v to %v", kindSlow, f.Latency, minLatency, maxLatency)
	}
	if err := f.slow().Check(); err != nil {
		return fmt.Errorf("%s: %w", kindSlow, err)
	}
	return nil
}

// Plan implements fault.Fault.
func (f *Slow) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	slow := f.slow()
	pick := func(spec target.NodeSpec) (string, error) { return folderOf(kindSlow, f.Folder, spec) }
	return plan(kindSlow, args{Node: f.Node, Slow: &slow}, t, c, target.VerbSlow, pick,
		"let the processes of node %[2]s of target %[3]s work in %[1]s without being held")
}

// slowed is the harm of disk.slow.
type slowed struct {
	*place
	target.Slower
}

func slowedOf(p *place, s target.System) (harm, error) {
	able, ok := s.(target.Slower)
	switch {
	case !ok:
		return nil, p.errorf("this target's runtime can't make folders slow (%s)", target.VerbSlow)
	case p.Slow == nil:
		return nil, p.errorf("its arguments do not say how slow: the journal is damaged")
	}
	return slowed{p, able}, nil
}

func (f slowed) words() words {
	return words{inject: "make it slow", undo: "let it be as fast as it is", without: "not slow", with: "slow"}
}

func (f slowed) asked() string {
	ops := strings.Join(f.Slow.Ops, ", ")
	if f.Slow.Jitter == 0 {
		return fmt.Sprintf("%s in %s later by %v", ops, f.Folder, f.Slow.Latency)
	}
	return fmt.Sprintf("%s in %s later by %v ± %v", ops, f.Folder, f.Slow.Latency, f.Slow.Jitter)
}

func (f slowed) inject(ctx context.Context) error {
	return f.SlowDisk(ctx, f.Node, f.id, f.Folder, *f.Slow)
}

func (f slowed) undo(ctx context.Context) error { return f.UnslowDisk(ctx, f.Node, f.id) }

// look implements harm.
func (f slowed) look(ctx context.Context, st target.State) (now stands, err error) {
	s, err := f.Slowness(ctx, f.Node)
	if err != nil {
		return now, err
	}
	now = stands{id: s.ID, missed: s.Missed, absent: s.Missed, detail: s}
	if now.absent == "" && !st.Running {
		now.absent = "the node has ended, and its processes are what was slow"
	}
	if s.Missed != "" {
		now.said = "what it held is not known any more"
		return now, nil
	}
	var n uint64
	var asked, added time.Duration
	var said []string
	for _, op := range slowdisk.Ops() {
		c := s.Counts[op]
		n, asked, added = n+c.N, asked+c.Asked, added+c.Added
		if slices.Contains(f.Slow.Ops, op) {
			said = append(said, spoken(op, c))
		}
	}
	now.said = strings.Join(said, ", ")
	if s.Held > 0 {
		now.said += fmt.Sprintf(", %d held at the end", s.Held)
	}
	now.said += fmt.Sprintf("; %d other system calls", s.Passed)
	switch {
	case n == 0 && s.Held == 0:
		now.unfelt = fmt.Sprintf("its processes did none of this in %s", f.Folder)
	case n > 0 && float64(added) < least*float64(asked):
		now.unfelt = fmt.Sprintf("operations were held %v on average, not %v", mean(added, n), mean(asked, n))
	}
	return now, nil
}

// spoken is "12 writes 20.1ms later on average".
func spoken(op string, c slowdisk.Count) string {
	if c.N == 0 {
		return "no " + op
	}
	if c.N > 1 {
		op += "s"
	}
	return fmt.Sprintf("%d %s %v later on average", c.N, op, mean(c.Added, c.N))
}

func mean(sum time.Duration, n uint64) time.Duration {
	return (sum / time.Duration(n)).Round(100 * time.Microsecond)
}
