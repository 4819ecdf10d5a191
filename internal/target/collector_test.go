package target

import (
	"strings"
	"testing"
)

func TestCollects(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Topology)
		want   bool
	}{
		"nobody asks": {func(*Topology) {}, false},
		"a word":      {func(t *Topology) { t.Nodes[0].Command = []string{"collector"} }, false},
		"env":         {func(t *Topology) { t.Nodes[1].Env = map[string]string{"A": "http://{{collector}}"} }, true},
		"command":     {func(t *Topology) { t.Nodes[1].Command = []string{"-x", "{{ collector }}"} }, true},
		"entrypoint":  {func(t *Topology) { t.Nodes[1].Entrypoint = []string{"x", "{{collector}}"} }, true},
		"some variant": {func(t *Topology) {
			t.Variants = map[string]Variant{"v": {Env: map[string]string{"A": "{{collector}}"}}}
		}, true},
	} {
		top := sketch()
		c.change(top)
		if got := top.Collects(); got != c.want {
			t.Errorf("%s: collects %v", name, got)
		}
		top.Nodes[0].Name, top.Edges = CollectorNode, nil
		if err := Check(top); (err != nil && strings.Contains(err.Error(), "built-in collector")) != c.want {
			t.Errorf("%s: a node of the collector's name: %v", name, err)
		}
	}
}

func TestMap(t *testing.T) {
	top := sketch()
	top.Nodes[1].Service = "shop"
	d := top.Map()
	if d.Nodes["web"] != "shop" || d.Nodes["db"] != "db" || d.Edges[1].From != "shop" || d.Edges[1].To != "db" || d.Edges[1].Name != "web->db" {
		t.Errorf("%+v", d)
	}
}
