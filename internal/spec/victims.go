package spec

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"chaos/internal/kind"
)

// Victims says which nodes or edges a fault hurts, in place of naming them: those that match, and of these
// as many as pick says, drawn with the seed.
type Victims struct {
	Role   string            `yaml:"role" doc:"for faults on nodes: only nodes of this role" optional:"true"`
	Labels map[string]string `yaml:"labels" doc:"for faults on nodes: only nodes with all these labels" optional:"true"`
	From   *End              `yaml:"from" doc:"for faults on edges: only edges from such a node" optional:"true"`
	To     *End              `yaml:"to" doc:"for faults on edges: only edges to such a node" optional:"true"`
	Pick   Pick              `yaml:"pick" doc:"how many of them: any (one), all, a number, or a share such as 50%, rounded down but one at least" default:"any"`
	Node   Node              `yaml:",self"`
}

// End says which nodes may stand at one end of an edge.
type End struct {
	Role   string            `yaml:"role" doc:"only nodes of this role" optional:"true"`
	Labels map[string]string `yaml:"labels" doc:"only nodes with all these labels" optional:"true"`
	Node   Node              `yaml:",self"`
}

// Pick is how many of several: any (one), all, a number, or a share.
type Pick struct {
	count int     // 0: by share
	share float64 // of 1
	text  string
}

// Syntax implements kind.Written.
func (Pick) Syntax() kind.Syntax {
	return kind.Syntax{Pattern: `^\s*(any|all|0*[1-9][0-9]*|0*(100(\.0*)?|[0-9]{1,2}(\.[0-9]*)?|\.[0-9]+)\s*%)\s*$`, Doc: "any, all, a number from 1, or a share such as 50%", Number: true, Example: "50%"}
}

// UnmarshalText reads any, all, 2 or 50%.
func (p *Pick) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	out := Pick{text: s}
	switch n, err := strconv.Atoi(s); {
	case s == "any":
		out.count = 1
	case s == "all":
		out.share = 1
	case strings.HasSuffix(s, "%"):
		var share kind.Percent
		if err := share.UnmarshalText(text); err != nil {
			return err
		}
		if share <= 0 {
			return fmt.Errorf("%q picks nothing", s)
		}
		out.share = float64(share)
	case err != nil || n < 1:
		return fmt.Errorf("%q is not any, all, a number from 1 or a share such as 50%%", s)
	default:
		out.count = n
	}
	*p = out
	return nil
}

// String writes it as it was read.
func (p Pick) String() string { return p.text }

// Of is how many it picks of n; more than n when there are not as many as it wants.
func (p Pick) Of(n int) int {
	if p.count > 0 {
		return p.count
	}
	return max(1, int(p.share*float64(n)+1e-9)) // 1e-9: 0.1 × 30 is 3
}

// BlastRadius caps what the faults of an experiment may hurt together; what is more is refused before anything
// is started.
type BlastRadius struct {
	Nodes    *int           `yaml:"nodes" doc:"how many different nodes its faults may hurt" optional:"true" range:"0.."`
	Edges    *int           `yaml:"edges" doc:"how many different edges its faults may hurt" optional:"true" range:"0.."`
	Replicas *kind.Percent  `yaml:"replicas" doc:"the share of the nodes of any one role that its faults may hurt" optional:"true"`
	Duration *time.Duration `yaml:"duration" doc:"how long, as planned, anything may be hurt altogether" optional:"true"`
	Node     Node           `yaml:",self"`
}

// checkBlastRadius refuses a cap that caps nothing.
func (e *Experiment) checkBlastRadius() (errs Errors) {
	if b := e.BlastRadius; b != nil && b.Node.val.shape == mapping && len(b.Node.Keys()) == 0 {
		errs = append(errs, b.Node.fail("name nodes, edges, replicas or duration", "blast_radius limits nothing"))
	}
	return errs
}

// Set is the mapping with one key set to a text, at the place of at.
func (n Node) Set(key, text string, at Node) Node {
	v := value{shape: scalar, text: text, quoted: true, line: 1, col: 1}
	if at.val != nil {
		v.line, v.col = at.val.line, at.val.col
	}
	return n.with(key, Node{src: n.src, val: &v})
}
