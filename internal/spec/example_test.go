package spec

import (
	"reflect"
	"testing"
	"time"

	"chaos/internal/kind"
)

// odd are parameters without examples, of every sort.
type odd struct {
	Text    string            `yaml:"text" doc:"x"`
	Named   string            `yaml:"named" doc:"x" syntax:"name"`
	Size    string            `yaml:"size" doc:"x" syntax:"size"`
	Choice  string            `yaml:"choice" doc:"x" enum:"b|a"`
	Time    time.Duration     `yaml:"time" doc:"x"`
	Short   time.Duration     `yaml:"short" doc:"x" range:"1ms..5s"`
	Never   *time.Duration    `yaml:"never" doc:"x"`
	Share   kind.Percent      `yaml:"share" doc:"x"`
	Low     kind.Percent      `yaml:"low" doc:"x" range:"1%..5%"`
	Rate    kind.Rate         `yaml:"rate" doc:"x"`
	Part    float64           `yaml:"part" doc:"x" range:">0..0.5"`
	Count   int               `yaml:"count" doc:"x" range:"3.."`
	Plain   uint8             `yaml:"plain" doc:"x"`
	Flag    bool              `yaml:"flag" doc:"x"`
	List    []string          `yaml:"list" doc:"x"`
	Counts  []int             `yaml:"counts" doc:"x" range:"7..9"`
	Map     map[string]string `yaml:"map" doc:"x"`
	Any     map[string]any    `yaml:"any" doc:"x"`
	Inner   *inner            `yaml:"inner" doc:"x"`
	One     string            `yaml:"one" doc:"x" optional:"true" one:"group"`
	Other   string            `yaml:"other" doc:"x" optional:"true" one:"group" example:"a -> b: \"c\""`
	Spared  string            `yaml:"spared" doc:"x" optional:"true"`
	Default string            `yaml:"default" doc:"x" default:"d"`
}

type inner struct {
	A string `yaml:"a" doc:"x"`
	B string `yaml:"b" doc:"x" optional:"true"`
}

// TestExample: what a kind without examples is given parses, and holds what must be given and no more.
func TestExample(t *testing.T) {
	text := Example(reflect.TypeFor[odd]())
	n, err := parse("x", []byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	var o odd
	if err := n.Decode(&o); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if o.Other != `a -> b: "c"` || o.One != "" || o.Spared != "" || o.Inner == nil || o.Inner.B != "" || o.Default != "d" || o.Time == 0 || o.Size == "" {
		t.Errorf("%s: %+v", text, o)
	}
}

// TestConstraints: every tag is held by the parser, on each sort of value.
func TestConstraints(t *testing.T) {
	good := Example(reflect.TypeFor[odd]())
	for key, values := range map[string][]string{
		"named": {"1a", "a b", "''"}, "size": {"512", "512M", "MiB"}, "choice": {"c", "''", "1"}, "short": {"0s", "6s"}, "low": {"0%", "6%"},
		"part": {"0", "0.6", "-1"}, "count": {"2", "-1"}, "counts": {"[6]", "[7, 10]", "[]"}, "list": {"[]"}, "map": {"{}"}, "inner": {"{}"},
		"one": {"x"}, // other is given too
	} {
		for _, value := range values {
			n, err := parse("x", []byte(good))
			if err != nil {
				t.Fatal(err)
			}
			v, err := parse("x", []byte(value))
			if err != nil {
				t.Fatal(err)
			}
			if err := n.with(key, v).Decode(new(odd)); err == nil {
				t.Errorf("%s: %s was taken", key, value)
			}
		}
	}
}
