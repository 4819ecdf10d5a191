package target

import (
	"fmt"
	"strings"
	"testing"
)

// sketch is a topology that exists on paper only.
func sketch() *Topology {
	return &Topology{
		Nodes: []NodeSpec{
			{Name: "db", Stateful: true, Ports: map[string]Port{"tcp": {Port: 5432}}},
			{Name: "web", Ports: map[string]Port{"http": {Port: 80}}},
		},
		Edges: []EdgeSpec{{Name: "web->web", Port: "http"}, {Name: "web->db", Port: "tcp"}},
	}
}

// onPaper puts things nowhere.
type onPaper struct{}

func (onPaper) Address(node, port string) string {
	if port == "" {
		return node
	}
	return node + ":5432"
}
func (onPaper) Link(i int) string            { return fmt.Sprint("proxy:", 20000+i) }
func (onPaper) Collector() string            { return "collector:4318" }
func (onPaper) Listen() string               { return "0.0.0.0" }
func (onPaper) Port(string, string) int      { return 8080 }
func (onPaper) Dir(node, path string) string { return "/scratch/" + node + path }

func TestExpand(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   "",
		"plain {one} brace":                  "plain {one} brace",
		`http://{{edge "web->db"}}/x`:        "http://proxy:20001/x",
		`{{ edge "web->web" }}`:              "proxy:20000",
		`{{node "db"}}`:                      "db",
		`{{node "db" "tcp"}}`:                "db:5432",
		`{{host}}:{{port "http"}}`:           "0.0.0.0:8080",
		`http://{{ collector }}/v1`:          "http://collector:4318/v1",
		`-k {{dir "/tmp"}}`:                  "-k /scratch/web/tmp",
		`{{secret "a"}}-{{secret "braces"}}`: "s3-{{node}}",
	} {
		top := sketch()
		top.Nodes[1].Env = map[string]string{"ENDPOINT": "http://{{collector}}"}
		got, err := Expander{top, onPaper{}, map[string]string{"a": "s3", "braces": "{{node}}"}}.Expand("web", in)
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		`{{edge "web->cache"}}`:    `no edge "web->cache"`,
		`{{edge "web->db" "tcp"}}`: "takes one name",
		`{{node "cache"}}`:         `no node "cache"`,
		`{{node "db" "udp"}}`:      `no port "udp"`,
		`{{secret "b"}}`:           `no secret "b"`,
		`{{port "http"}}`:          "no node's value",
		`{{host "x"}}`:             "takes no name",
		`{{dir}}`:                  "takes one name",
		`{{collector "x"}}`:        "takes no name",
		`{{collector}}`:            "has no collector",
		`{{env "HOME"}}`:           "double braces",
		`{{.Node}}`:                "double braces",
		`{{edge web}}`:             "double braces",
	} {
		got, err := Expander{sketch(), onPaper{}, nil}.Expand("", in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v; want an error with %q", in, got, err, want)
		}
	}
}
