package cli

import (
	"chaos/internal/catalog"
	"chaos/internal/engine"
	"chaos/internal/kind"
	"chaos/internal/spec"
)

// draft tells what else is wrong with an experiment that can't be run because of errors in it or its target. What
// they may have caused is not told.
func (s subject) draft() error {
	c := &compiler{subject: s, caps: declared(auto), seed: 1, exp: s.Experiment, draft: true, plan: &engine.Plan{Topology: s.Topology}}
	if s.Topology == nil {
		c.kindsAlone()
		return c.errs.Err()
	}
	for _, v := range c.exp.Variants {
		if v.Name != "" {
			c.variant(v)
		}
	}
	c.parts(spec.Variant{})
	return c.errs.Err()
}

// kindsAlone looks at what can be told without a target: whether the kinds exist and take their parameters.
func (c *compiler) kindsAlone() {
	for _, l := range c.exp.Load {
		if bindable(c, catalog.Loads(), l.Kind, l.With) {
			_, err := catalog.Loads().Bind(l.Kind.Name, l.Kind.Node, l.With)
			c.errs.Add(l.Node, err)
		}
	}
	for _, f := range c.exp.Faults {
		if f.Victims != nil { // the target says who they are
			f.With = spec.Node{}
		}
		if bindable(c, catalog.Faults(), f.Kind, f.With) {
			_, err := catalog.Faults().Bind(f.Kind.Name, f.Kind.Node, f.With)
			c.errs.Add(f.Node, err)
		}
	}
	c.invariants()
	c.kinds()
}

// bindable tells whether a file with errors has all that a kind needs to be bound. A kind that does not exist is
// told.
func bindable[T any](c *compiler, table kind.Table[T], k spec.Ref, with spec.Node) bool {
	if k.Name == "" || !with.Absent() {
		return k.Name != ""
	}
	if _, err := table.New(k.Name); err != nil {
		c.errs.Add(k.Node, table.Unknown(k.Name, k.Node))
	}
	return false
}
