package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"chaos/internal/journal"
	"chaos/internal/load"
	"chaos/internal/target"
)

// Limits of gathering evidence.
const (
	settledTwice  = 500 * time.Millisecond // the settled query must hold twice, this far apart
	settledEvery  = 200 * time.Millisecond // pause between two settled queries
	settledWithin = 2 * time.Second        // deadline for one round of them
	auditWithin   = 30 * time.Second       // deadline for one audit query
	logsWithin    = 10 * time.Second       // deadline for one node's log
	auditLineSize = 1 << 20                // longest audit line
)

// gather settles the target, replays unknown outcomes and asks the witnesses.
func (r *run) gather(ctx context.Context) error {
	if err := r.note(journal.EventPhase, "settle"); err != nil {
		return err
	}
	if err := r.j.Flush(); err != nil {
		return fmt.Errorf("flushing the journal: %w", err)
	}
	h, err := r.j.History()
	if err != nil {
		return fmt.Errorf("reading the run back: %w", err)
	}
	unknown := Unresolved(h)

	within, cancel := context.WithTimeout(ctx, r.plan.Phases.Settle)
	defer cancel()
	r.resolve(within, unknown)
	r.settled(within)
	if err := r.noteResolution(unknown); err != nil {
		return err
	}
	return r.audit(ctx)
}

// Unresolved returns the requests that may have moved money and whose outcome nobody knows: Unknown,
// and no replay of the same key was acknowledged. A replay that was refused (429, a shed 503) says
// nothing about the request before it.
func Unresolved(h *journal.History) []journal.Sample {
	known := make(map[journal.ID]bool)
	for i := range h.Samples {
		if s := &h.Samples[i]; s.Result == journal.OK {
			known[s.Key] = true
		}
	}
	var unknown []journal.Sample
	for i := range h.Samples {
		s := &h.Samples[i]
		if s.Result == journal.Unknown && s.Sent > 0 && s.Flags&journal.FlagReplay == 0 && !known[s.Key] &&
			int(s.Op) < len(h.Run.Loads) && h.Run.Loads[s.Op].Effect != "" {
			unknown = append(unknown, *s)
		}
	}
	return unknown
}

// resolve replays each unknown outcome with the same key, until it is known or the deadline passes.
func (r *run) resolve(ctx context.Context, unknown []journal.Sample) {
	byLoad := make(map[journal.OpID][]journal.Sample)
	for _, s := range unknown {
		byLoad[s.Op] = append(byLoad[s.Op], s)
	}
	var wg sync.WaitGroup
	for op, samples := range byLoad {
		l := r.plan.Loads[op]
		resolver, ok := l.Driver.(load.Resolver)
		if !ok {
			continue // stays unresolved, which is reported as an interval
		}
		s := r.session(int(op), l.Name)
		wg.Go(func() {
			if err := resolver.Resolve(ctx, s, samples); err != nil && ctx.Err() == nil {
				_, _ = r.j.Append(journal.Event{Type: journal.EventError, Err: fmt.Sprintf("replaying unknown outcomes of %s: %v", l.Name, err)})
			}
		})
	}
	wg.Wait()
}

func (r *run) noteResolution(unknown []journal.Sample) error {
	if err := r.j.Flush(); err != nil {
		return fmt.Errorf("flushing the journal: %w", err)
	}
	h, err := r.j.History()
	if err != nil {
		return fmt.Errorf("reading the run back: %w", err)
	}
	rest := len(Unresolved(h))
	detail, err := json.Marshal(journal.Resolution{Unknown: len(unknown), Resolved: len(unknown) - rest, Unresolved: rest})
	if err != nil {
		return fmt.Errorf("encoding the resolution: %w", err)
	}
	_, err = r.j.Append(journal.Event{Type: journal.EventResolved, Detail: detail})
	return err
}

// settled waits until the target's own settled queries hold twice in a row. That the deadline passed is
// a fact of the run, not an error of the harness.
func (r *run) settled(ctx context.Context) {
	held := time.Duration(-1)
	var last string
	for {
		ok, why := r.settledOnce(ctx)
		switch {
		case !ok:
			held, last = -1, why
		case held < 0:
			held = r.j.Now()
		case r.j.Now()-held >= settledTwice:
			_, _ = r.j.Append(journal.Event{Type: journal.EventSettled})
			return
		}
		if !pause(ctx, settledEvery) {
			if last == "" {
				last = "it did not hold twice"
			}
			_, _ = r.j.Append(journal.Event{Type: journal.EventSettled, Err: fmt.Sprintf("not settled within %v: %s", r.plan.Phases.Settle, last)})
			return
		}
	}
}

// settledOnce asks every settled query once. It has a deadline of its own, so that the target is asked
// even when replaying unknown outcomes took all the time there was.
func (r *run) settledOnce(ctx context.Context) (ok bool, why string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settledWithin)
	defer cancel()
	for _, q := range r.plan.Topology.Settled {
		body, err := r.ask(ctx, q)
		if err != nil {
			return false, fmt.Sprintf("%s %s: %v", q.Node, q.Path, err)
		}
		var doc map[string]json.RawMessage
		if err := json.Unmarshal(body, &doc); err != nil {
			return false, fmt.Sprintf("%s %s: %v", q.Node, q.Path, err)
		}
		var got int64
		if err := json.Unmarshal(doc[q.Field], &got); err != nil || q.Equals == nil {
			return false, fmt.Sprintf("%s %s: field %q is not a whole number", q.Node, q.Path, q.Field)
		}
		if got != *q.Equals {
			return false, fmt.Sprintf("%s says %s = %d", q.Node, q.Field, got)
		}
	}
	return true, ""
}

// audit asks every witness and writes down what it says, one event a source. A source that can't be
// read is noted, so that the invariants are Inconclusive instead of passing on silence.
func (r *run) audit(ctx context.Context) error {
	var all []journal.AuditRecord
	for _, name := range slices.Sorted(maps.Keys(r.plan.Topology.Audit)) {
		q := r.plan.Topology.Audit[name]
		records, err := r.auditSource(ctx, name, q)
		ev := journal.Event{Type: journal.EventAudit, Subject: name, Detail: quote(fmt.Sprintf("%d records", len(records)))}
		if err != nil {
			ev.Err = err.Error()
		}
		if _, err := r.j.Append(ev); err != nil {
			return fmt.Errorf("writing the journal: %w", err)
		}
		all = append(all, records...)
	}
	if err := r.j.WriteAudit(all); err != nil {
		return fmt.Errorf("writing the audit: %w", err)
	}
	return nil
}

// auditSource reads one witness. The dump must end with {"type":"end","count":n}: a cut one is no evidence.
func (r *run) auditSource(ctx context.Context, name string, q target.Query) ([]journal.AuditRecord, error) {
	ctx, cancel := context.WithTimeout(ctx, auditWithin)
	defer cancel()
	body, err := r.ask(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", name, err)
	}
	return parseAudit(name, body)
}

// ask puts a question of settling or audit to its node. When that can't be reached, because somebody killed it, a
// replica of its service answers for it: one that is not asked for itself, and so has the same to say.
func (r *run) ask(ctx context.Context, q target.Query) ([]byte, error) {
	body, err := r.sys.Call(ctx, target.Call{Query: q, Run: r.plan.Info.ID})
	var said *target.StatusError
	if err == nil || errors.As(err, &said) {
		return body, err
	}
	for _, replica := range r.plan.Topology.Replicas(q.Node) {
		q.Node = replica
		if body, e := r.sys.Call(ctx, target.Call{Query: q, Run: r.plan.Info.ID}); e == nil {
			return body, nil
		}
	}
	return nil, err
}

func parseAudit(name string, body []byte) ([]journal.AuditRecord, error) {
	var records []journal.AuditRecord
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, auditLineSize)
	ended := false
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var rec struct {
			journal.AuditRecord
			Count *int `json:"count"`
		}
		if err := json.Unmarshal(line, &rec); err != nil {
			return records, fmt.Errorf("audit of %s, line %d: %w", name, n, err)
		}
		if rec.Type == "end" {
			if rec.Count == nil || *rec.Count != len(records) {
				return records, fmt.Errorf("audit of %s was cut: %d records, its last line says otherwise", name, len(records))
			}
			ended = true
			continue
		}
		rec.Source = name
		records = append(records, rec.AuditRecord)
	}
	if err := lines.Err(); err != nil {
		return records, fmt.Errorf("audit of %s: %w", name, err)
	}
	if !ended {
		return records, fmt.Errorf("audit of %s was cut: no end line after %d records", name, len(records))
	}
	return records, nil
}

// collectLogs saves every node's log beside the samples.
func (r *run) collectLogs(ctx context.Context) error {
	errs := make([]error, len(r.plan.Topology.Nodes))
	var wg sync.WaitGroup
	for i, n := range r.plan.Topology.Nodes {
		wg.Go(func() { errs[i] = r.collectLog(ctx, n.Name) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (r *run) collectLog(ctx context.Context, node string) error {
	ctx, cancel := context.WithTimeout(ctx, logsWithin)
	defer cancel()
	w, err := r.j.LogWriter(node)
	if err != nil {
		return fmt.Errorf("saving the log of %s: %w", node, err)
	}
	err = r.sys.Logs(ctx, node, w)
	if err = errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("saving the log of %s: %w", node, err)
	}
	return nil
}

// quote makes a JSON string; it cannot fail for a Go string.
func quote(s string) json.RawMessage {
	b, _ := json.Marshal(s)
	return b
}
