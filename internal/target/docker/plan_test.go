package docker

import (
	"strings"
	"testing"

	"chaos/internal/target"
)

// sketch is a topology that exists on paper only.
func sketch() *target.Topology {
	return &target.Topology{
		Name:  "sketch",
		Image: map[string]target.Image{"i": {Pull: "i@sha256:0"}, "local": {Local: &target.Local{Program: "x"}}},
		Nodes: []target.NodeSpec{
			{Name: "db", Image: "i", Stateful: true, Ports: map[string]target.Port{"tcp": {Port: 5432}}},
			{Name: "web", Image: "i", After: []string{"db"}, Ports: map[string]target.Port{"http": {Port: 80, Publish: true}},
				Ready: &target.Health{HTTP: "/", Port: "http"}},
		},
		Edges: []target.EdgeSpec{{Name: "web->web", Port: "http"}, {Name: "web->db", Port: "tcp"}},
	}
}

func TestTheProxyMayReachTheEdgesOnly(t *testing.T) {
	p, err := proxySpec(sketch())
	if err != nil {
		t.Fatal(err)
	}
	want := "proxy --host 0.0.0.0 --port 8474 --allow-upstream web:80 --allow-upstream db:5432"
	if got := strings.Join(p.Command, " "); got != want {
		t.Errorf("command %q, want %q", got, want)
	}
	bad := sketch()
	bad.Edges[0].Port = "nope"
	if _, err := proxySpec(bad); err == nil {
		t.Error("an edge to a port that is not there was taken")
	}
}

func TestCheckRefusesBeforeAnythingIsTouched(t *testing.T) {
	if err := check(sketch()); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*target.Topology){
		"built-in proxy":        func(s *target.Topology) { s.Nodes[0].Name = "proxy"; s.Nodes[1].After = nil },
		"no image":              func(s *target.Topology) { s.Nodes[0].Image = "j" },
		"runtime process":       func(s *target.Topology) { s.Nodes[0].Image = "local" },
		"no node \"x\"":         func(s *target.Topology) { s.Nodes[0].After = []string{"x"} },
		"made anew":             func(s *target.Topology) { s.Nodes[0].After = []string{"web"}; s.Nodes[1].After = nil },
		"waits for itself":      func(s *target.Topology) { s.Nodes[1].After = []string{"web"} },
		"must be published":     func(s *target.Topology) { s.Nodes[1].Ready.Port = "tcp" },
		"not root":              func(s *target.Topology) { s.Nodes[0].User = "0:0" },
		"no unit that is known": func(s *target.Topology) { s.Nodes[0].Memory = "lots" },
		"node and a command":    func(s *target.Topology) { s.ResetSteps = []target.Step{{Node: "db"}} },
	} {
		s := sketch()
		spoil(s)
		if err := check(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

func TestSizesAndUsers(t *testing.T) {
	for in, want := range map[string]int64{"": 512 << 20, "1KiB": 1 << 10, "3MiB": 3 << 20, "2 GiB": 2 << 30} {
		if got, err := parseBytes(in); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"12", "1M", "-1MiB", "0GiB", "MiB", "1.5B"} {
		if got, err := parseBytes(in); err == nil {
			t.Errorf("%q was taken for %d", in, got)
		}
	}
	for in, want := range map[string]string{"": defaultUser, "999:999": "999:999", "7": "7", "0": "", "root": "", "root:0": "", "00:5": ""} {
		if got, err := userOf(target.NodeSpec{User: in}); got != want || (err == nil) != (want != "") {
			t.Errorf("user %q: %q, %v", in, got, err)
		}
	}
}
