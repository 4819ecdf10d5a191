package report

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"chaos/internal/journal"
	"chaos/internal/trace"
	"chaos/internal/verdict"
)

// Limits of what is shown of a target's telemetry.
const (
	maxExemplars = 3
	maxRows      = 40 // lines of one exemplar
)

// Telemetry is what the target told of itself in one run, and what of it was lost.
type Telemetry struct {
	Facts     []Pair     `json:"facts"`
	Troubles  []string   `json:"troubles,omitempty"` // what was lost or could not be read
	Calls     []Call     `json:"calls,omitempty"`    // the dependency map as spans draw it
	Drift     []string   `json:"drift,omitempty"`    // where it differs from target.yaml, in words
	Unseen    []string   `json:"unseen,omitempty"`   // edges of which nothing can be said
	Exemplars []Exemplar `json:"exemplars,omitempty"`
}

// Call is one service calling another.
type Call struct {
	From       string        `json:"from"`
	To         string        `json:"to"`
	Edges      []string      `json:"edges,omitempty"` // of target.yaml
	Undeclared bool          `json:"undeclared,omitempty"`
	Calls      int           `json:"calls"`
	Errors     int           `json:"errors"`
	P50        time.Duration `json:"p50_ns"`
	P99        time.Duration `json:"p99_ns"`
}

// Exemplar is one operation, followed: request, spans and loud log lines in order of time.
type Exemplar struct {
	Title string   `json:"title"`
	Trace string   `json:"trace_id"`
	Lines []string `json:"lines"`
}

// telemetry tells what is known; nil of a target that tells nothing of itself.
func telemetry(h *journal.History, findings []verdict.Finding) *Telemetry {
	told, said := h.Told()
	if !said && h.Run.Telemetry == nil && len(h.Spans) == 0 {
		return nil
	}
	t := &Telemetry{Facts: []Pair{}}
	add := func(name, format string, args ...any) {
		t.Facts = append(t.Facts, Pair{Name: name, Value: fmt.Sprintf(format, args...)})
	}
	if len(h.Spans) > 0 || h.Run.Telemetry != nil && h.Run.Telemetry.Traces {
		add("spans", "%s received, %s kept, %s lost", Count(int(told.Spans)), Count(int(told.Kept)), Count(int(told.Lost())))
	}
	t.metrics(h, told, add)
	lines, broken := 0, 0
	for _, l := range h.Lint {
		lines, broken = lines+l.Lines, broken+l.Violations
	}
	if h.Run.Telemetry != nil && h.Run.Telemetry.Logs != nil {
		add("log lines", "%s, %s break the schema", Count(lines), Count(broken))
	}
	t.troubles(h, told)
	if len(h.Spans) == 0 {
		return t
	}
	x := trace.NewIndex(h.Spans)
	t.draw(x, h.Run.Telemetry.Declared())
	t.Exemplars = exemplars(h, x, findings)
	return t
}

func (t *Telemetry) metrics(h *journal.History, told journal.Telemetry, add func(string, string, ...any)) {
	if h.Run.Telemetry == nil || len(h.Run.Telemetry.Metrics) == 0 {
		return
	}
	series := make(map[string]bool)
	for _, r := range h.Readings {
		if strings.HasPrefix(r.Source, journal.SourceMetrics) && r.Name != journal.MetricsUp {
			series[r.Source+" "+r.Name] = true
		}
	}
	failed := 0
	for _, source := range slices.Sorted(maps.Keys(told.ScrapeFailed)) {
		n := told.ScrapeFailed[source]
		failed += n
		t.Troubles = append(t.Troubles, fmt.Sprintf("%s of %s got no answer", Plural(n, "scrape"), strings.TrimPrefix(source, journal.SourceMetrics)))
	}
	add("metrics", "%s of %s answered, %s failed, %s", Count(told.Scrapes), Plural(told.Scrapes+failed, "scrape"), Count(failed), Count(len(series))+" series")
}

func (t *Telemetry) troubles(h *journal.History, told journal.Telemetry) {
	say := func(n uint64, what string) {
		if n > 0 {
			t.Troubles = append(t.Troubles, Count(int(n))+" "+what)
		}
	}
	say(told.Refused, "spans were refused: the collector had no room")
	say(told.Invalid, "spans had no trace or span id")
	say(told.BadSends, "exports of spans could not be read")
	say(told.OverLimit, "spans were over the limit of a run, and were not kept")
	say(uint64(told.SeriesLost), "values of metrics were over the limits, and were not kept")
	say(uint64(told.Restarts), "restarts of the collector: what it held then is lost, and nobody knows how much")
	dropped := uint64(0)
	for i := range h.Spans {
		dropped += uint64(h.Spans[i].Dropped)
	}
	say(dropped, "attributes, events or links were left out of spans")
	for _, e := range h.Find(journal.EventTelemetry) {
		if e.Err != "" {
			t.Troubles = append(t.Troubles, e.Err)
		}
	}
}

// draw draws the map and says where it drifts.
func (t *Telemetry) draw(x *trace.Index, declared *trace.Declared) {
	if declared == nil {
		declared = &trace.Declared{}
	}
	m := trace.Observe(x, *declared)
	for _, c := range m.Calls {
		t.Calls = append(t.Calls, Call{From: c.From, To: c.To, Edges: c.Edges, Undeclared: c.Undeclared(), Calls: c.Calls, Errors: c.Errors, P50: c.P50, P99: c.P99})
	}
	for _, c := range m.Undeclared() {
		t.Drift = append(t.Drift, fmt.Sprintf("undeclared: %s calls %s (%s), and target.yaml has no edge for it", c.From, c.To, Plural(c.Calls, "time")))
	}
	for _, name := range m.Unused {
		t.Drift = append(t.Drift, fmt.Sprintf("unused: no span went over edge %s", name))
	}
	t.Unseen = m.Unseen
	if m.Unplaced > 0 {
		t.Troubles = append(t.Troubles, Plural(m.Unplaced, "client span")+" did not say whom they called (server.address)")
	}
}

// exemplars are an operation of each failed check that names one, and the slowest bad one that can be followed.
func exemplars(h *journal.History, x *trace.Index, findings []verdict.Finding) (all []Exemplar) {
	add := func(title string, id trace.ID) {
		known := func(e Exemplar) bool { return e.Trace == id.String() }
		if len(all) < maxExemplars && !slices.ContainsFunc(all, known) && len(x.Of(id)) > 0 {
			all = append(all, Exemplar{Title: title, Trace: id.String(), Lines: story(h, x, id)})
		}
	}
	for _, f := range findings {
		for _, e := range f.Evidence {
			if id, ok := trace.ParseID(e.Trace); ok && f.Outcome == verdict.Fail {
				add(f.Check+": "+first(e.Note, "one of those that offend"), id)
				break
			}
		}
	}
	if s := slowest(h, x); s != nil {
		add("the slowest bad operation that can be followed", trace.ID(s.Trace))
	}
	return all
}

func slowest(h *journal.History, x *trace.Index) (worst *journal.Sample) {
	var bad []*journal.Sample
	for i := range h.Samples {
		if s := &h.Samples[i]; s.Class == journal.Bad && s.Windowed() && s.Sent > 0 && s.Done > 0 {
			bad = append(bad, s)
		}
	}
	slices.SortStableFunc(bad, func(a, b *journal.Sample) int { return cmp.Compare(b.Done-b.Due, a.Done-a.Due) })
	for _, s := range bad {
		if ok, _ := trace.Connected(x.Of(trace.ID(s.Trace))); ok {
			return s
		}
	}
	return nil
}

// story is an operation as text, with the log lines that the history keeps: WARN and above.
func story(h *journal.History, x *trace.Index, id trace.ID) []string {
	spans := x.Of(id)
	origin := spans[0].Start
	var rows []trace.Row
	for i := range h.Samples {
		s := &h.Samples[i]
		if trace.ID(s.Trace) != id || s.Sent == 0 {
			continue
		}
		load, outcome := "load", s.Err.String()
		if int(s.Op) < len(h.Run.Loads) {
			load += " " + h.Run.Loads[s.Op].Name
		}
		if s.Status > 0 {
			outcome = fmt.Sprint(s.Status)
		}
		if len(rows) == 0 {
			origin = h.Run.Started.Add(s.Sent).UnixNano()
		}
		rows = append(rows, trace.Row{
			What: trace.RowRequest, At: time.Duration(h.Run.Started.Add(s.Sent).UnixNano() - origin), Took: max(0, s.Done-s.Sent),
			Who: load, Text: "→ " + outcome + ", " + s.Class.String(), Bad: s.Class == journal.Bad,
		})
	}
	for _, other := range x.Follows(id) {
		spans = append(spans, x.Of(other)...)
	}
	var lines []trace.Line
	for _, l := range h.Logs {
		if l.Trace == id.String() {
			lines = append(lines, l.Line())
		}
	}
	rows = append(rows, trace.Story(origin, spans, lines, h.Run.Telemetry.Declared())...)
	slices.SortStableFunc(rows, func(a, b trace.Row) int { return cmp.Compare(a.At, b.At) })
	var out bytes.Buffer
	_ = trace.Write(&out, rows[:min(len(rows), maxRows)]) // into memory
	text := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
	if n := len(rows) - maxRows; n > 0 {
		text = append(text, fmt.Sprintf("… and %s more", Count(n)))
	}
	return text
}
