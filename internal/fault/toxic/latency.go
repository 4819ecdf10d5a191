package toxic

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"chaos/internal/edge"
	"chaos/internal/fault"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// minShare is the fidelity of toxic.latency: the median delay that was really added must reach this
// share of the least median of so many chunks (leastMedian). What is left below 1 is for the
// proxy's histogram (1.6 %) and for two latencies on one link, which share each delay by size.
const minShare = 0.8

// The distributions that the proxy knows.
const (
	uniform   = "uniform"
	normal    = "normal"
	lognormal = "lognormal"
	pareto    = "pareto"
)

// Latency delays what passes an edge. It delays chunks of a stream, so it adds to each answer once,
// and to a conversation of several round trips once for each; dialling is never delayed.
type Latency struct {
	onLink
	Edges        []string      `yaml:"edges" doc:"the edges, from->to each" optional:"true" one:"place"`
	Edge         string        `yaml:"edge" doc:"the edge, when it is one" optional:"true" one:"place" example:"payments->redis"`
	Latency      time.Duration `yaml:"latency" doc:"delay of each chunk, in whole milliseconds" range:"1ms..1h" example:"500ms"`
	Jitter       time.Duration `yaml:"jitter" doc:"spread of the delay, whose meaning is the distribution's; uniform and normal: at most latency" default:"0s" range:"0s..1h"`
	Distribution string        `yaml:"distribution" doc:"uniform (in latency ± jitter), normal (standard deviation jitter), lognormal (median latency, 84 % up to latency + jitter) or pareto (least latency, median latency + jitter)" default:"uniform" enum:"uniform|normal|lognormal|pareto"`
	Stream       string        `yaml:"stream" doc:"downstream (answers) or upstream (requests)" default:"downstream" enum:"downstream|upstream"`
	Toxicity     float64       `yaml:"toxicity" doc:"share of the connections that are hit; not of the requests" default:"1" range:">0..1"`
	Chunks       float64       `yaml:"chunks" doc:"share of the chunks of those connections that are hit" default:"1" range:">0..1"`
	Moves
}

// Validate implements kind.Validator.
func (f *Latency) Validate() error {
	if _, err := edgesOf(kindLatency, f.Edge, f.Edges); err != nil {
		return err
	}
	if err := millis(kindLatency, "latency", f.Latency, time.Millisecond); err != nil {
		return err
	}
	if err := millis(kindLatency, "jitter", f.Jitter, 0); err != nil {
		return err
	}
	switch {
	case !slices.Contains([]string{"", uniform, normal, lognormal, pareto}, f.Distribution):
		return fmt.Errorf("%s: distribution %q is none of uniform, normal, lognormal, pareto", kindLatency, f.Distribution)
	case f.Jitter > f.Latency && f.Distribution != lognormal && f.Distribution != pareto:
		return fmt.Errorf("%s: jitter %v is over latency %v, so a delay could be negative", kindLatency, f.Jitter, f.Latency)
	case f.Stream != downstream && f.Stream != upstream:
		return fmt.Errorf("%s: stream %q is neither downstream (answers) nor upstream (requests)", kindLatency, f.Stream)
	case !(f.Toxicity > 0 && f.Toxicity <= 1):
		return fmt.Errorf("%s: toxicity %v is not over 0 and up to 1: it is the share of connections that are hit", kindLatency, f.Toxicity)
	}
	if err := chunks(kindLatency, f.Chunks); err != nil {
		return err
	}
	_, err := f.attributes()
	return err
}

// attributes are those of the toxic.
func (f *Latency) attributes() (map[string]any, error) {
	plain := map[string]any{"latency": f.Latency.Milliseconds(), "jitter": f.Jitter.Milliseconds()}
	if f.Distribution != "" && f.Distribution != uniform { // which is all that stock has
		plain["distribution"] = f.Distribution
	}
	all, err := f.put(kindLatency, ofChunks(f.Chunks, plain))
	if err != nil {
		return nil, err
	}
	x := spec{Attributes: all}
	if _, jitter, _ := x.ends("jitter"); jitter > 0 && x.number("latency") == 0 && (f.Distribution == lognormal || f.Distribution == pareto) {
		return nil, fmt.Errorf("%s: ramps: latency: from 0 has no meaning with distribution %s, whose delays are multiples of it", kindLatency, f.Distribution)
	}
	return all, nil
}

// Plan implements fault.Fault: one action for each edge.
func (f *Latency) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	edges, err := edgesOf(kindLatency, f.Edge, f.Edges)
	if err != nil {
		return nil, err
	}
	attributes, err := f.attributes()
	if err != nil {
		return nil, err
	}
	return plan(kindLatency, edges, spec{
		Type: "latency", Stream: f.Stream, Toxicity: float32(f.Toxicity), Attributes: attributes,
	}, t, c)
}

// Measure implements fault.Fault. It bites when at least one connection and one chunk were touched
// and the median delay added reaches minShare of leastMedian.
func (f *Latency) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	return measure(ctx, s, a, func(x spec) string {
		text := fmt.Sprintf("%v ± %v", x.millis("latency"), x.millis("jitter"))
		if d, ok := x.Attributes["distribution"].(string); ok {
			text += ", " + d + ","
		}
		return text + x.onStream()
	}, delayed)
}

// delayed judges the counters of a latency toxic.
func delayed(x spec, c edge.ToxicCounters) (delivered, why string) {
	delivered = fmt.Sprintf("median %s on %d chunks of %d connections", added(c), c.Chunks, c.Connections)
	least := time.Duration(minShare * leastMedian(x, c.Chunks))
	if x.Attributes["chunks"] != nil {
		delivered += fmt.Sprintf(", of %d chunks", c.Offered)
	}
	switch {
	case c.Chunks == 0 && c.Offered > 0:
		return delivered, undrawn(c)
	case c.Connections == 0 || c.Chunks == 0:
		return "no chunk touched", "nothing passed the edge while the latency was there: does any load use it?"
	case c.AddedP50 < least || c.AddedMax <= 0:
		return delivered, fmt.Sprintf("the median delay is under %v, %.0f %% of the least that so many chunks may show: the proxy did not deliver what was asked", round(least), 100*minShare)
	}
	return delivered, ""
}

// leastMedian is what the median delay of n chunks is hardly ever under, in ns: of uniform and pareto the least
// delay itself. The median of n normal delays has a standard error of 1.25 σ/√n; 4 σ/√n, and 3 σ for
// less than two chunks, are over three of these. A lognormal delay is normal in its logarithm.
func leastMedian(x spec, n uint64) float64 {
	_, most, _ := x.ends("jitter")
	l, j := float64(x.millis("latency")), most*float64(time.Millisecond)
	if l == 0 {
		return 0
	}
	z := min(3, 4/math.Sqrt(float64(max(n, 1))))
	switch x.Attributes["distribution"] {
	case normal:
		return l - z*j
	case lognormal:
		return l * math.Pow(1+j/l, -z)
	case pareto:
		return l
	}
	return l - j
}

// millis reads an attribute in milliseconds; of one that moves, the least.
func (x spec) millis(name string) time.Duration {
	return time.Duration(x.number(name) * float64(time.Millisecond))
}

// added words the delays that were really added, after their median's name.
func added(c edge.ToxicCounters) string {
	return fmt.Sprintf("+%v, p99 +%v, worst +%v", round(c.AddedP50), round(c.AddedP99), round(c.AddedMax))
}

// round cuts a duration to what a reader needs.
func round(d time.Duration) time.Duration {
	if d >= 10*time.Millisecond {
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}
