package trace

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Line is a log line that bears a trace id.
type Line struct {
	At    int64  `json:"at_unix_ns,omitempty"` // by the clock of the node; 0 when the line does not say
	Span  SpanID `json:"span_id,omitzero"`
	Node  string `json:"node"`
	Level string `json:"level,omitempty"`
	Text  string `json:"text"`
	Loud  bool   `json:"loud,omitempty"` // WARN or above
}

// What a row of a story is.
const (
	RowRequest = "request" // as the load saw it
	RowSpan    = "span"
	RowEvent   = "event"
	RowLog     = "log"
)

// Row is one line of what happened to one operation.
type Row struct {
	What  string        `json:"what"`
	At    time.Duration `json:"at_ns"`             // since the story's origin
	Took  time.Duration `json:"took_ns,omitempty"` // of requests and spans
	Depth int           `json:"depth"`
	Who   string        `json:"who"`
	Text  string        `json:"text"`
	Bad   bool          `json:"bad,omitempty"`
}

// Story lays the spans of one operation, what happened inside them and the log lines out in order of time, each
// as deep as it is nested. origin is when it began; declared, if known, has names for addresses. Services tell their own time: on machines whose clocks
// differ the order is not to be trusted, the nesting is.
func Story(origin int64, spans []*Span, lines []Line, declared *Declared) (rows []Row) {
	depth := make(map[SpanID]int)
	roots, _ := Tree(spans)
	var walk func(n *Node, d int)
	walk = func(n *Node, d int) {
		depth[n.ID] = d
		row := Row{What: RowSpan, At: time.Duration(n.Start - origin), Took: n.Duration, Depth: d, Who: n.Service, Text: words(n, declared), Bad: n.Status == Failed || n.Orphan}
		rows = append(rows, row)
		for _, e := range n.Events {
			rows = append(rows, Row{What: RowEvent, At: row.At + e.After, Depth: d + 1, Who: n.Service, Text: strings.TrimSpace(e.Name + pairs(e.Attrs))})
		}
		for _, c := range n.Children {
			walk(c, d+1)
		}
	}
	for _, n := range roots {
		walk(n, 1)
	}
	for _, l := range lines {
		row := Row{What: RowLog, Depth: depth[l.Span] + 1, Who: l.Node, Text: strings.TrimSpace(l.Level + " " + l.Text), Bad: l.Loud}
		if row.At = time.Duration(l.At - origin); l.At == 0 { // at the end of what is known
			for _, r := range rows {
				row.At = max(row.At, r.At+r.Took)
			}
		}
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b Row) int { return cmp.Compare(a.At, b.At) })
	return rows
}

// words say a span: its name, its kind, whom it called, how it ended.
func words(n *Node, d *Declared) string {
	var b strings.Builder
	b.WriteString(n.Name)
	if n.Kind != Internal {
		b.WriteString(" (" + n.Kind.String())
		if to := d.place(n.Service, Address(n.Span)); to != "" && n.Kind != Server {
			b.WriteString(" → " + to)
		}
		b.WriteString(")")
	}
	if n.Status == Failed {
		b.WriteString(" ERROR")
		if n.Message != "" {
			b.WriteString(" " + n.Message)
		}
	}
	if n.Orphan {
		b.WriteString(" [its parent, span " + n.Parent.String() + ", was sent by nobody]")
	}
	b.WriteString(pairs(n.Attrs))
	return b.String()
}

// maxPairs and maxPair bound the attributes that a row shows, and the text of each.
const (
	maxPairs = 8
	maxPair  = 80
)

// pairs are the attributes that say more than the name and the address do.
func pairs(attrs []Attr) string {
	var b strings.Builder
	n := 0
	for _, a := range attrs {
		if dull(a.Key) || a.Value == "" {
			continue
		}
		if n++; n > maxPairs {
			b.WriteString(" …")
			break
		}
		value := a.Value
		if len(value) > maxPair {
			value = strings.ToValidUTF8(value[:maxPair], "") + "…"
		}
		if strings.ContainsAny(value, " \t\n\"") {
			value = fmt.Sprintf("%q", value)
		}
		b.WriteString(" " + a.Key + "=" + value)
	}
	return b.String()
}

// dull attributes are in the name or the address already, or about the program and not the operation.
func dull(key string) bool {
	for _, prefix := range [...]string{"server.", "network.", "net.", "client.", "url.", "user_agent.", "otel.", "code.", "thread.", "exception.stacktrace", "http.request.method", "http.method", "http.url", "http.target", "http.scheme", "http.route", "http.flavor"} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// Write writes the rows as text, one a line: when, how long, who and what.
func Write(w io.Writer, rows []Row) error {
	for _, r := range rows {
		took := ""
		if r.What == RowSpan || r.What == RowRequest {
			took = fmt.Sprintf("%.1f ms", millis(r.Took))
		}
		mark := " "
		if r.Bad {
			mark = "!"
		}
		who := r.Who
		if r.What == RowLog {
			who = r.Who + ".log"
		}
		line := fmt.Sprintf("%+8.1f ms %11s %s %s%s  %s", millis(r.At), took, mark, strings.Repeat("  ", r.Depth), visible(who), visible(r.Text))
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	return nil
}

// visible is text in one line, with what a terminal would obey instead of show made visible.
func visible(s string) string {
	var b strings.Builder
	for _, c := range strings.Join(strings.Fields(s), " ") {
		if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) {
			fmt.Fprintf(&b, "\\u%04x", c)
			continue
		}
		b.WriteRune(c)
	}
	return b.String()
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
