package resolver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

const (
	// domain is the port of name servers.
	domain = 53
	// control is where a running one answers `look`: an abstract socket, which belongs to the network namespace.
	control = "@chaos-resolver"
	// lookWithin bounds `look`.
	lookWithin = time.Second
	// drainWithin is how long questions may still be answered after the end.
	drainWithin = time.Second
	// tries for a port that is free on both UDP and TCP.
	tries = 20
)

// Where the engine's own resolver is, and from where it is asked, so that the question is not redirected.
var (
	engine = [4]byte{127, 0, 0, 11}
	own    = [4]byte{127, 0, 0, 12}
)

// Exit codes of Main.
const (
	exitOK    = 0
	exitUsage = 64
	exitError = 70
)

// Main runs `chaos resolver`. What it has to say is an Answer on stdout, a line; exit 0 means that it was done.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var a Answer
	var err error
	switch {
	case len(args) == 2 && args[0] == "run":
		err = run(ctx, args[1], stdout)
	case len(args) == 1 && args[0] == "look":
		a, err = look(ctx)
	case len(args) == 1 && args[0] == "off":
		err = restore()
	case len(args) == 1 && args[0] == "probe":
		a, err = probe()
	default:
		fmt.Fprintln(stderr, "chaos resolver runs beside a node, in its network namespace: run '{rule}', look, off or probe")
		return exitUsage
	}
	if err == nil && args[0] == "run" {
		return exitOK
	}
	if err != nil {
		a.Error = err.Error()
	}
	if told := tell(stdout, a); told != nil || err != nil {
		return exitError
	}
	return exitOK
}

func tell(w io.Writer, a Answer) error { return json.NewEncoder(w).Encode(a) }

// run puts a rule in force until ctx ends, and then takes it back.
func run(ctx context.Context, text string, stdout io.Writer) (err error) {
	var r Rule
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return fmt.Errorf("read the rule: %w", err)
	}
	if err := r.Check(); err != nil {
		return err
	}
	mouth, err := (&net.ListenConfig{}).Listen(ctx, "unix", control)
	if err != nil {
		return fmt.Errorf("another rule is in force here: %w", err)
	}
	defer mouth.Close()
	udp, tcp, err := sockets(ctx)
	if err != nil {
		return err
	}
	defer udp.Close()
	defer tcp.Close()
	s := newServer(r, net.JoinHostPort(net.IP(engine[:]).String(), strconv.Itoa(domain)), net.IP(own[:]).String())
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	served := make(chan struct{})
	go func() { defer close(served); s.serve(serving, udp, tcp) }()
	go s.control(mouth)
	port := uint16(udp.LocalAddr().(*net.UDPAddr).Port)
	if err := redirect(engine, own, port); err != nil {
		return errors.Join(err, restore())
	}
	if err := tell(stdout, Answer{Rule: &r, Redirected: true}); err != nil {
		return errors.Join(fmt.Errorf("say that it runs: %w", err), restore())
	}
	<-ctx.Done()
	err = restore()
	close(s.ending)
	// No more is read; what was read is answered, to where it came from.
	past := time.Unix(1, 0)
	err = errors.Join(err, udp.SetReadDeadline(past), tcp.Close())
	select {
	case <-served:
	case <-time.After(drainWithin):
	}
	return err
}

// probe redirects questions and takes that back, in a network namespace that nobody uses.
func probe() (Answer, error) {
	if err := redirect(engine, own, domain); err != nil { // all of it is in force, or nothing
		return Answer{Lacks: err.Error()}, nil
	}
	return Answer{}, restore()
}

// sockets listens on one port by UDP and TCP.
func sockets(ctx context.Context) (net.PacketConn, net.Listener, error) {
	var l net.ListenConfig
	var failed error
	for range tries {
		udp, err := l.ListenPacket(ctx, "udp4", "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		tcp, err := l.Listen(ctx, "tcp4", udp.LocalAddr().String())
		if err == nil {
			return udp, tcp, nil
		}
		failed = errors.Join(err, udp.Close())
	}
	return nil, nil, failed
}

// control tells everybody who connects what came of the rule.
func (s *server) control(mouth net.Listener) {
	for {
		conn, err := mouth.Accept()
		if err != nil {
			return
		}
		counts := s.now()
		_ = conn.SetDeadline(time.Now().Add(lookWithin))
		_ = tell(conn, Answer{Rule: &s.rule, Counts: &counts}) // who does not listen has asked for nothing
		_ = conn.Close()
	}
}

// look asks the one that runs here, if any, and looks whether questions come to it.
func look(ctx context.Context) (a Answer, err error) {
	there, err := redirected()
	if err != nil {
		return a, err
	}
	var d net.Dialer
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	conn, err := d.DialContext(ctx, "unix", control)
	if err != nil {
		return Answer{Redirected: there}, nil // none runs
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(lookWithin)); err != nil {
		return a, err
	}
	if err := json.NewDecoder(conn).Decode(&a); err != nil {
		return a, fmt.Errorf("read what it says: %w", err)
	}
	a.Redirected = there
	return a, nil
}
