package prometheus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"chaos/internal/target"
)

// page is a system whose only node answers with text.
type page struct {
	target.System
	text string
	err  error
	path string
}

func (p *page) Call(_ context.Context, c target.Call) ([]byte, error) {
	p.path = c.Query.Path
	return []byte(p.text), p.err
}

func read(t *testing.T, s *Scrape, p *page) (told []string, lost int) {
	t.Helper()
	values, lost, err := s.Read(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		told = append(told, fmt.Sprintf("%s=%g", v.Name, v.Value))
	}
	slices.Sort(told)
	return told, lost
}

const text = `# TYPE requests_total counter
requests_total{code="200",route="/pay \"x\""} 3
requests_total 1
# TYPE up_gauge gauge
up_gauge NaN
# TYPE took histogram
took_bucket{le="0.1"} 1
took_bucket{le="+Inf"} 2
took_sum 0.5
took_count 2
# TYPE wait summary
wait{quantile="0.5"} 7
wait_sum 8
wait_count 9
odd 4
go_goroutines 12
`

func TestRead(t *testing.T) {
	p := &page{text: text}
	s := New(target.Metrics{Node: "a", Port: "http"})
	told, lost := read(t, s, p)
	want := []string{
		"odd=4", `requests_total=1`, `requests_total{code="200",route="/pay \"x\""}=3`, `took_bucket{le="+Inf"}=2`, `took_bucket{le="0.1"}=1`,
		"took_count=2", "took_sum=0.5", "wait_count=9", "wait_sum=8", `wait{quantile="0.5"}=7`,
	}
	if !slices.Equal(told, want) || lost != 0 || p.path != "/metrics" {
		t.Errorf("from %s, lost %d:\n got %v\nwant %v", p.path, lost, told, want)
	}
	if told, _ := read(t, s, p); len(told) != 0 {
		t.Errorf("nothing changed, told %v", told)
	}
	p.text = strings.Replace(text, "odd 4", "odd 5", 1)
	if told, _ := read(t, s, p); !slices.Equal(told, []string{"odd=5"}) {
		t.Errorf("told %v", told)
	}
	for _, broken := range []page{{text: text, err: errors.New("no")}, {text: "}{"}} {
		if _, _, err := s.Read(t.Context(), &broken); err == nil || !strings.Contains(err.Error(), "node a") {
			t.Errorf("%v", err)
		}
	}
	if told, _ := read(t, s, p); len(told) != len(want) {
		t.Errorf("after a gap every series is told again, not %v", told)
	}
}

func TestOnlyWhatIsWanted(t *testing.T) {
	s := New(target.Metrics{Node: "a", Series: []string{"go_*", "odd"}, Path: "/m"})
	p := &page{text: text}
	if told, _ := read(t, s, p); !slices.Equal(told, []string{"go_goroutines=12", "odd=4"}) || p.path != "/m" {
		t.Errorf("told %v from %s", told, p.path)
	}
}

func TestTooManyAreCounted(t *testing.T) {
	var b strings.Builder
	for i := range maxSeries + 7 {
		fmt.Fprintf(&b, "a{n=\"%d\"} 1\n", i)
	}
	if told, lost := read(t, New(target.Metrics{}), &page{text: b.String()}); len(told) != maxSeries || lost != 7 {
		t.Errorf("told %d, lost %d", len(told), lost)
	}
}
