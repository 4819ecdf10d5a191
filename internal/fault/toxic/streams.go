package toxic

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"chaos/internal/edge"
	"chaos/internal/fault"
	"chaos/internal/target"
)

// Streams are what a kind that acts on bytes can name: edges, a direction and a share.
type Streams struct {
	onLink
	Edges    []string `yaml:"edges" doc:"the edges, from->to each" optional:"true" one:"place"`
	Edge     string   `yaml:"edge" doc:"the edge, when it is one" optional:"true" one:"place" example:"payments->redis"`
	Stream   string   `yaml:"stream" doc:"downstream (answers) or upstream (requests)" default:"downstream" enum:"downstream|upstream"`
	Toxicity float64  `yaml:"toxicity" doc:"share of the connections that are hit; not of the requests" default:"1" range:">0..1"`
	Moves
}

// validate checks what the kinds share.
func (f *Streams) validate(kindName string) error {
	if _, err := edgesOf(kindName, f.Edge, f.Edges); err != nil {
		return err
	}
	switch {
	case f.Stream != downstream && f.Stream != upstream:
		return fmt.Errorf("%s: stream %q is neither downstream (answers) nor upstream (requests)", kindName, f.Stream)
	case !(f.Toxicity > 0 && f.Toxicity <= 1):
		return fmt.Errorf("%s: toxicity %v is not over 0 and up to 1: it is the share of connections that are hit", kindName, f.Toxicity)
	}
	return nil
}

// plan makes one action for each edge, with a toxic of the type that the kind is named after.
func (f *Streams) plan(kindName string, attributes map[string]any, t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	edges, err := edgesOf(kindName, f.Edge, f.Edges)
	if err != nil {
		return nil, err
	}
	attributes, err = f.put(kindName, attributes)
	if err != nil {
		return nil, err
	}
	return plan(kindName, edges, spec{
		Type: strings.TrimPrefix(kindName, "toxic."), Stream: f.Stream, Toxicity: float32(f.Toxicity), Attributes: attributes,
	}, t, c)
}

// chunks checks a share of the chunks.
func chunks(kindName string, share float64) error {
	if !(share > 0 && share <= 1) {
		return fmt.Errorf("%s: chunks %v is not over 0 and up to 1: it is the share of chunks that are hit", kindName, share)
	}
	return nil
}

// ofChunks adds a share of the chunks to the attributes of a toxic, unless it is all of them, as stock has it.
func ofChunks(share float64, attributes map[string]any) map[string]any {
	if share < 1 {
		attributes["chunks"] = share
	}
	return attributes
}

// undrawn says why a share of the chunks hit none.
func undrawn(c edge.ToxicCounters) string {
	return fmt.Sprintf("none of %d chunks was drawn: too few passed for so small a share", c.Offered)
}

// onStream is the end of what was asked: which stream, of how many chunks and connections.
func (x spec) onStream() string {
	text := " " + x.Stream
	if share := x.number("chunks"); share > 0 && share < 1 {
		text += fmt.Sprintf(" in %.3g %% of the chunks", 100*share)
	}
	if x.Toxicity < 1 {
		text += fmt.Sprintf(" on %.3g %% of connections", 100*x.Toxicity)
	}
	return text
}

// number reads an attribute that is a number; of one that moves, the least.
func (x spec) number(name string) float64 {
	least, _, _ := x.ends(name)
	return least
}

// unused says that no traffic met the toxic.
func unused(c edge.ToxicCounters, what string) (delivered, why string, unused bool) {
	if c.Connections > 0 {
		return "", "", false
	}
	return "no connection touched", "nothing passed the edge while " + what + ": does any load use it?", true
}
