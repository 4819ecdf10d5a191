package dependency

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"chaos/internal/fault"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// count is by how much the counters of one changed field have grown since Arm.
type count struct {
	field, counter, total string // total: the counter of the calls that it is a share of, or none
	by, of                float64
	asked                 float64 // the share
}

// counts reads the counters of every changed field that has one, by the field's name.
func (p *place) counts(now document) ([]count, error) {
	grown := func(field, counter string) (float64, error) {
		var was, is float64
		if json.Unmarshal(p.was.Stats[counter], &was) != nil || json.Unmarshal(now[counter], &is) != nil {
			return 0, p.errorf("its counters have no number %q, which target.yaml names for field %s; they are %s", counter, field, list(now))
		}
		return is - was, nil
	}
	var out []count
	var err error
	for _, name := range slices.Sorted(maps.Keys(p.Set)) {
		c := count{field: name, counter: p.Behaviour.Bites[name], total: p.Behaviour.Shares[name]}
		if c.counter == "" {
			continue
		}
		if c.by, err = grown(name, c.counter); err != nil {
			return nil, err
		}
		if c.total != "" {
			c.asked, _ = shareOf(p.Set[name]) // Plan has refused what is none
			if c.of, err = grown(name, c.total); err != nil {
				return nil, err
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// shareOf reads a share.
func shareOf(raw json.RawMessage) (share float64, ok bool) {
	err := json.Unmarshal(raw, &share)
	return share, err == nil && share >= 0 && share <= 1
}

// why says why the field did not bite, or nothing.
func (c count) why() string {
	switch {
	case c.by < 0 || c.of < 0:
		return c.counter + " went backwards: the dependency was restarted, and its behaviour with it"
	case c.by == 0:
		return c.counter + " did not move: no request met the changed behaviour"
	case c.total != "" && !fault.LikelyShare(c.by, c.of, c.asked):
		return fmt.Sprintf("%s %.4g was asked, and %.3g of %.0f %s were met: not within %.0f %% of it, and no luck of the draw",
			c.field, c.asked, c.by/max(c.of, 1), c.of, c.total, 100*fault.ShareTolerance)
	}
	return ""
}

// Measure implements fault.Fault. It bites when every counter that bites names for a changed field has
// grown since Arm, and each that is a share has grown by that share of its total.
func (f *Dependency) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	p, err := open(s, a, true)
	if err != nil {
		return verdict.Bite{}, err
	}
	b := verdict.Bite{Fault: a.Fault, Action: a.ID, Kind: a.Kind, Place: a.Place, Asked: p.Set.String()}
	now, err := p.read(ctx, "counters", p.Behaviour.Stats)
	if err != nil {
		return b, err
	}
	counts, err := p.counts(now)
	if err != nil {
		return b, err
	}
	moved := map[string]float64{}
	var shown, wrong []string
	for _, c := range counts {
		moved[c.counter] = c.by
		text := fmt.Sprintf("%s %+.0f", c.counter, c.by)
		if c.total != "" {
			moved[c.total] = c.of
			text += fmt.Sprintf(" of %.0f %s", c.of, c.total)
		}
		shown = append(shown, text)
		if why := c.why(); why != "" {
			wrong = append(wrong, why)
		}
	}
	b.Delivered = strings.Join(shown, ", ")
	b.Why = strings.Join(wrong, "; ")
	b.Bit = len(counts) > 0 && len(wrong) == 0
	if b.Detail, err = json.Marshal(moved); err != nil {
		return b, p.errorf("encode its counters: %w", err)
	}
	return b, nil
}
