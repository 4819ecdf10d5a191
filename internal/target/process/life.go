package process

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"chaos/internal/target"
)

// reapWithin is how long the parent of a process that is gone may take to note how it ended.
const reapWithin = 500 * time.Millisecond

// unknownExit is the exit code of a process whose end nobody saw: its parent was gone.
const unknownExit = -1

// State looks at a node's process.
func (s *System) State(ctx context.Context, node string) (target.State, error) {
	_, rec, err := s.node(node)
	if err != nil {
		return target.State{}, err
	}
	p := rec.Nodes[node]
	if p.PID == 0 || p.alive() || p.Ended {
		return stateOf(p), nil
	}
	if p, err = s.reaped(ctx, node, p); err != nil {
		return target.State{}, err
	}
	return stateOf(p), nil
}

// reaped is what the record says of a process that is gone, once its parent has noted how it ended.
// Nobody does for one whose parent is gone too: then that is noted, so that the next look need not wait.
func (s *System) reaped(ctx context.Context, node string, p proc) (proc, error) {
	for deadline := time.Now().Add(reapWithin); time.Now().Before(deadline); {
		if err := target.Pause(ctx, endPoll); err != nil {
			return p, err
		}
		rec, err := s.read()
		if now := rec.Nodes[node]; err != nil || now.Ended || now.PID != p.PID {
			return now, err
		}
	}
	err := s.change(node, func(now *proc) {
		if now.PID == p.PID && !now.Ended {
			now.Ended, now.ExitCode, now.FinishedAt = true, unknownExit, time.Time{} // when nobody knows
		}
		p = *now
	})
	return p, err
}

func stateOf(p proc) target.State {
	if p.PID == 0 {
		return target.State{}
	}
	st := target.State{Exists: true, StartedAt: p.StartedAt, FinishedAt: p.FinishedAt, ExitCode: p.ExitCode}
	switch {
	case p.alive():
		r, ok := look(p.PID)
		st.Running, st.Paused = true, ok && r.stopped
	case !p.Ended:
		st.ExitCode, st.FinishedAt = unknownExit, time.Time{} // for now; what is noted is of the process before
	}
	return st
}

// Signal sends TERM to a node's process, or KILL to it and all that it started, as the end of a
// container would. It never waits.
func (s *System) Signal(_ context.Context, node, signal string) error {
	_, rec, err := s.node(node)
	if err != nil {
		return err
	}
	if signal != "TERM" && signal != "KILL" {
		return fmt.Errorf("signal %q: want TERM or KILL", signal)
	}
	p := rec.Nodes[node]
	switch {
	case !p.alive():
		return nil
	case signal == "TERM":
		return signalAll([]int{p.PID}, syscall.SIGTERM)
	}
	return signalAll(family(p.PID), syscall.SIGKILL)
}

// freezeRounds bounds how often, each endPoll, Pause looks for processes that do not stand still yet or
// were started while it stopped the others.
const freezeRounds = 200

// Pause stops a node's process and all that it started; a node that is paused already is not an error.
func (s *System) Pause(ctx context.Context, node string) error {
	_, rec, err := s.node(node)
	if err != nil {
		return err
	}
	p := rec.Nodes[node]
	if !p.alive() {
		return fmt.Errorf("pause node %s: it does not run", node)
	}
	for range freezeRounds {
		var running []int
		for _, pid := range family(p.PID) {
			if r, ok := look(pid); ok && !r.stopped && !r.dead {
				running = append(running, pid)
			}
		}
		if len(running) == 0 {
			return nil
		}
		if err := signalAll(running, syscall.SIGSTOP); err != nil {
			return fmt.Errorf("pause node %s: %w", node, err)
		}
		// A process stops when it next gets a processor, which on a busy machine takes a moment.
		if err := target.Pause(ctx, endPoll); err != nil {
			return fmt.Errorf("pause node %s: see it stop: %w", node, err)
		}
	}
	return fmt.Errorf("pause node %s: its processes do not stop, or it starts more of them", node)
}

// Unpause lets a node run on; one that is not paused, or gone, is not an error.
func (s *System) Unpause(_ context.Context, node string) error {
	_, rec, err := s.node(node)
	if err != nil {
		return err
	}
	p := rec.Nodes[node]
	if !p.alive() {
		return nil
	}
	return signalAll(family(p.PID), syscall.SIGCONT)
}

// StartNode starts a node that does not run, on the ports that it had.
func (s *System) StartNode(_ context.Context, node string) error {
	s.starting.Lock()
	defer s.starting.Unlock()
	n, rec, err := s.node(node)
	if err != nil {
		return err
	}
	if rec.Nodes[node].alive() {
		return nil
	}
	switch node {
	case target.ProxyNode:
		if n.Command, err = s.proxyCommand(rec); err != nil {
			return err
		}
	case target.CollectorNode:
		n, _ = s.topology.Collector(proxyImage, loopback, rec.Ports[portKey(node, target.CollectorPort)])
	}
	return s.launch(n)
}

// vacateWithin is how long the ports of a node that was killed may take to be free: what its process had
// started dies a moment later.
const vacateWithin = 3 * time.Second

// vacate waits until a node's ports are free, or says who has one.
func (s *System) vacate(n target.NodeSpec, rec record) error {
	ctx, cancel := context.WithTimeout(context.Background(), vacateWithin)
	defer cancel()
	for {
		err := unoccupied(n, rec)
		if err == nil || target.Pause(ctx, target.PollEvery) != nil {
			return err
		}
	}
}

// Ready waits until every node and the proxy are ready, each within its own deadline.
func (s *System) Ready(ctx context.Context) error {
	nodes := slices.Concat(s.builtins(), s.topology.Nodes)
	return errors.Join(target.Each(nodes, func(n target.NodeSpec) error { return s.NodeReady(ctx, n.Name) })...)
}

// NodeReady polls a node's health check until it holds. It gives up at the node's deadline, or at once
// when the node is not running; the error ends with the node's last log lines.
func (s *System) NodeReady(ctx context.Context, node string) error {
	n, ok := s.spec(node)
	if !ok {
		return fmt.Errorf("there is no node %q", node)
	}
	return target.WaitReady(ctx, n, func(ctx context.Context) (bool, error) { return s.probe(ctx, n) },
		func() string { return s.tail(node) })
}

// probe asks once. running says whether there is a process that may still become ready.
func (s *System) probe(ctx context.Context, n target.NodeSpec) (running bool, err error) {
	st, err := s.State(ctx, n.Name)
	switch {
	case err != nil:
		return false, err
	case !st.Exists:
		return false, errors.New("it was never started")
	case !st.Running:
		return false, errors.New(ended(st))
	case st.Paused:
		return true, errors.New("it is paused")
	case n.Ready == nil:
		return true, nil
	case n.Ready.HTTP != "":
		addr, err := s.Endpoint(ctx, n.Name, n.Ready.Port)
		if err != nil {
			return true, err
		}
		return true, target.AskHealth(ctx, addr, n.Ready.HTTP)
	}
	rec, err := s.read()
	if err != nil {
		return false, err
	}
	command, err := s.expander(rec).ExpandAll(n.Name, n.Ready.Exec)
	if err != nil {
		return false, err
	}
	res, err := s.exec(ctx, n.Name, target.ProbeWithin, command, nil)
	if err == nil && res.Code != 0 {
		err = fmt.Errorf("%s exited with %d: %s", command[0], res.Code, target.OneLine(res.Stdout+res.Stderr))
	}
	return true, err
}

// ended says in words how a process ended.
func ended(st target.State) string {
	if st.ExitCode == unknownExit {
		return "it ended, and its exit code is not known: the process that started it was gone"
	}
	return fmt.Sprintf("exit code %d", st.ExitCode)
}

// Died returns the nodes that are not running, and why, with their last log lines. Nodes that a fault
// holds down are among them; the caller knows those.
func (s *System) Died(ctx context.Context) (map[string]string, error) {
	died := map[string]string{}
	for _, n := range slices.Concat(s.builtins(), s.topology.Nodes) {
		st, err := s.State(ctx, n.Name)
		switch {
		case err != nil:
			return died, err
		case !st.Exists:
			died[n.Name] = "it was never started"
		case !st.Running:
			died[n.Name] = ended(st) + "; its last lines:" + s.tail(n.Name)
		}
	}
	return died, nil
}
