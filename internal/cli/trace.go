package cli

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"chaos/internal/journal"
	"chaos/internal/trace"
)

// Limits of what chaos trace lists.
const (
	listedTraces = 20
	shortestID   = 4 // digits of an id that is searched for
)

func (a *app) traceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "trace <run folder> [id]",
		Short: "Follow one operation of a stored run through spans and logs",
		Long: `trace tells what happened to one operation: the request as the load saw it, the spans of every service that it
went through, and each log line that bears its trace id, in order of time, each as deep as it is nested. A line that
went wrong is marked with !.

The id is a trace id, an idempotency key or the target's own id of it (reports and findings name them); its first digits are
enough. Without an id it lists bad operations, the slowest first.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.listTraces(args[0])
			}
			return a.follow(args[0], args[1])
		},
	}
	return a.jsonFlag(c)
}

// followed is one operation in one run.
type followed struct {
	Variant  string      `json:"variant"`
	Trace    string      `json:"trace_id"`
	Requests []request   `json:"requests,omitempty"`
	Whole    bool        `json:"connected"`
	Missing  string      `json:"missing,omitempty"`
	Spans    int         `json:"spans"`
	Rows     []trace.Row `json:"rows,omitempty"`
}

// request is what the load saw of it; one that was replayed has several.
type request struct {
	Load    string  `json:"load"`
	Seq     uint64  `json:"seq"`
	Key     string  `json:"key"`
	Ref     string  `json:"ref,omitempty"`
	DueMS   float64 `json:"due_ms"`
	TookMS  float64 `json:"took_ms,omitempty"`
	Outcome string  `json:"outcome"`
	Class   string  `json:"class"`
	Replay  bool    `json:"replay,omitempty"`
}

func requestOf(h *journal.History, s *journal.Sample) request {
	r := request{
		Load: "?", Seq: s.Seq, Key: s.Key.String(), DueMS: millis(s.Due), Class: s.Class.String(), Outcome: outcomeOf(s),
		Replay: s.Flags&journal.FlagReplay != 0,
	}
	if int(s.Op) < len(h.Run.Loads) {
		r.Load = h.Run.Loads[s.Op].Name
	}
	if !s.Ref.Zero() {
		r.Ref = s.Ref.String()
	}
	if took, ok := s.Latency(); ok {
		r.TookMS = millis(took)
	}
	return r
}

func outcomeOf(s *journal.Sample) string {
	switch {
	case s.Sent == 0:
		return "never sent"
	case s.Status > 0:
		return fmt.Sprint(s.Status)
	case s.Err != journal.ErrNone:
		return s.Err.String()
	}
	return "no answer"
}

// follow tells one operation.
func (a *app) follow(folder, text string) error {
	dirs, err := a.runDirs([]string{folder}, "")
	if err != nil {
		return err
	}
	text = strings.ToLower(strings.ReplaceAll(text, "-", ""))
	if len(text) < shortestID || strings.Trim(text, "0123456789abcdef") != "" {
		return usage("%q is no id: want at least %d hex digits of a trace id, a key or a reference", text, shortestID)
	}
	var found []followed
	for _, dir := range dirs {
		h, err := journal.Read(dir)
		if err != nil {
			return usage("%s can't be read: %w", a.short(dir), err)
		}
		x := trace.NewIndex(h.Spans)
		for _, id := range matching(h, x, text) {
			f, err := told(dir, h, x, id)
			if err != nil {
				return harness(err)
			}
			found = append(found, f)
		}
	}
	switch {
	case len(found) == 0:
		return usage("nothing in %s has an id that begins with %s", a.short(a.path(folder)), text)
	case a.json:
		return a.printJSON(found)
	}
	for i, f := range found {
		if i > 0 {
			fmt.Fprintln(a.Stdout)
		}
		if err := a.printFollowed(f); err != nil {
			return harness(fmt.Errorf("writing the result: %w", err))
		}
	}
	return nil
}

// matching are the traces that an id means: by a request's trace, key or reference, or by a span's trace.
func matching(h *journal.History, x *trace.Index, text string) (ids []trace.ID) {
	add := func(id trace.ID) {
		if !slices.Contains(ids, id) && len(ids) < listedTraces && id != (trace.ID{}) {
			ids = append(ids, id)
		}
	}
	prefix := func(id journal.ID) bool { return strings.HasPrefix(hex.EncodeToString(id[:]), text) }
	for i := range h.Samples {
		if s := &h.Samples[i]; prefix(s.Trace) || prefix(s.Key) || !s.Ref.Zero() && prefix(s.Ref) {
			add(trace.ID(s.Trace))
		}
	}
	for _, id := range x.Find(text, listedTraces) {
		add(id)
	}
	return ids
}

// told is what is known of one trace, with what follows it by links: what a consumer did with a message.
func told(dir string, h *journal.History, x *trace.Index, id trace.ID) (followed, error) {
	f := followed{Variant: h.Run.Variant, Trace: id.String()}
	spans := x.Of(id)
	f.Spans = len(spans)
	f.Whole, f.Missing = trace.Connected(spans)
	var rows []trace.Row
	origin := int64(0)
	for i := range h.Samples {
		s := &h.Samples[i]
		if trace.ID(s.Trace) != id {
			continue
		}
		r := requestOf(h, s)
		f.Requests = append(f.Requests, r)
		sent := h.Run.Started.Add(max(s.Sent, s.Due)).UnixNano()
		if origin == 0 {
			origin = sent
		}
		row := trace.Row{What: trace.RowRequest, At: time.Duration(sent - origin), Who: "load " + r.Load, Text: "→ " + r.Outcome + ", " + r.Class, Bad: s.Class == journal.Bad}
		if s.Done > 0 {
			row.Took = s.Done - s.Sent
		}
		rows = append(rows, row)
	}
	for _, other := range x.Follows(id) {
		spans = append(spans, x.Of(other)...)
	}
	lines, err := journal.Follow(dir, id)
	if err != nil {
		return f, err
	}
	if origin == 0 && len(spans) > 0 {
		origin = spans[0].Start
	}
	f.Rows = append(rows, trace.Story(origin, spans, lines, h.Run.Telemetry.Declared())...)
	slices.SortStableFunc(f.Rows, func(p, q trace.Row) int { return cmp.Compare(p.At, q.At) })
	return f, nil
}

func (a *app) printFollowed(f followed) error {
	fmt.Fprintf(a.Stdout, "trace %s, variant %s\n", f.Trace, f.Variant)
	for _, r := range f.Requests {
		again := ""
		if r.Replay {
			again = ", sent again to learn its outcome"
		}
		fmt.Fprintf(a.Stdout, "  %s #%d: due at %.3f s, %s (%s) after %.1f ms%s\n  key %s", r.Load, r.Seq, r.DueMS/1e3, r.Outcome, r.Class, r.TookMS, again, r.Key)
		if r.Ref != "" {
			fmt.Fprintf(a.Stdout, "  reference %s", r.Ref)
		}
		fmt.Fprintln(a.Stdout)
	}
	switch {
	case f.Whole:
		fmt.Fprintf(a.Stdout, "  %d spans, connected\n\n", f.Spans)
	default:
		fmt.Fprintf(a.Stdout, "  not connected: %s\n\n", f.Missing)
	}
	return trace.Write(a.Stdout, f.Rows)
}

// listedTrace is a bad operation in the list.
type listedTrace struct {
	Variant string `json:"variant"`
	Trace   string `json:"trace_id"`
	request
	Spans int    `json:"spans"`
	Whole bool   `json:"connected"`
	Why   string `json:"missing,omitempty"`
}

// listTraces lists bad operations that were sent, the slowest of each variant first.
func (a *app) listTraces(folder string) error {
	dirs, err := a.runDirs([]string{folder}, "")
	if err != nil {
		return err
	}
	var all []listedTrace
	for _, dir := range dirs {
		h, err := journal.Read(dir)
		if err != nil {
			return usage("%s can't be read: %w", a.short(dir), err)
		}
		all = append(all, worst(h)...)
	}
	if a.json {
		return a.printJSON(all)
	}
	if len(all) == 0 {
		fmt.Fprintln(a.Stdout, "no operation that was sent went wrong")
		return nil
	}
	t := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "VARIANT\tTRACE\tLOAD\tDUE\tTOOK\tOUTCOME\tSPANS")
	for _, l := range all {
		spans := fmt.Sprintf("%d, connected", l.Spans)
		if !l.Whole {
			spans = l.Why
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.2f s\t%.1f ms\t%s\t%s\n", l.Variant, l.Trace, l.Load, l.DueMS/1e3, l.TookMS, l.Outcome, spans)
	}
	return t.Flush()
}

func worst(h *journal.History) (list []listedTrace) {
	var bad []*journal.Sample
	for i := range h.Samples {
		if s := &h.Samples[i]; s.Class == journal.Bad && s.Windowed() && s.Sent > 0 && !s.Trace.Zero() {
			bad = append(bad, s)
		}
	}
	took := func(s *journal.Sample) time.Duration {
		if d, ok := s.Latency(); ok {
			return d
		}
		return time.Hour // it never ended
	}
	slices.SortStableFunc(bad, func(a, b *journal.Sample) int { return cmp.Compare(took(b), took(a)) })
	x := trace.NewIndex(h.Spans)
	for _, s := range bad[:min(len(bad), listedTraces)] {
		spans := x.Of(trace.ID(s.Trace))
		l := listedTrace{Variant: h.Run.Variant, Trace: s.Trace.String(), request: requestOf(h, s), Spans: len(spans)}
		l.Whole, l.Why = trace.Connected(spans)
		list = append(list, l)
	}
	return list
}
