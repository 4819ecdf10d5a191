package process

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// Substitute is a command of Redis as far as a target needs it: redis-server serves miniredis until ctx
// ends, redis-cli sends one command and prints the answer. A run with it is no test of Redis, and its
// verdict says so.
func Substitute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return errors.New("name what to stand in for: redis-server or redis-cli")
	}
	switch args[0] {
	case "redis-server":
		return serveRedis(ctx, args[1:], stdout, stderr)
	case "redis-cli":
		return askRedis(ctx, args[1:], stdin, stdout, stderr)
	}
	return fmt.Errorf("nothing can stand in for %q: valid are redis-server and redis-cli", args[0])
}

// expireEvery is how often the stand-in's clock is moved, which expires what has a time to live.
const expireEvery = 100 * time.Millisecond

func serveRedis(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("redis-server", flag.ContinueOnError)
	f.SetOutput(stderr)
	host, port := f.String("bind", loopback, "address"), f.Int("port", 6379, "port")
	for _, ignored := range []string{"save", "appendonly", "protected-mode", "dir"} {
		f.String(ignored, "", "taken and ignored: everything is in memory")
	}
	if err := f.Parse(args); err != nil {
		return err
	}
	m := miniredis.NewMiniRedis()
	if err := m.StartAddr(net.JoinHostPort(*host, strconv.Itoa(*port))); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	defer m.Close()
	fmt.Fprintln(stdout, "miniredis stands in for redis-server on", m.Addr())
	clock := time.NewTicker(expireEvery)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-clock.C:
			m.FastForward(expireEvery)
		}
	}
}

// cliWithin bounds one command of the stand-in for redis-cli.
const cliWithin = 5 * time.Second

func askRedis(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("redis-cli", flag.ContinueOnError)
	f.SetOutput(stderr)
	host, port := f.String("h", loopback, "address"), f.Int("p", 6379, "port")
	if err := f.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cliWithin)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(*host, strconv.Itoa(*port)))
	if err != nil {
		return fmt.Errorf("could not connect to Redis: %w", err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	answers := bufio.NewReader(conn)
	if f.NArg() > 0 {
		return ask(conn, answers, f.Args(), stdout)
	}
	lines := bufio.NewScanner(stdin)
	for lines.Scan() {
		if command := strings.Fields(lines.Text()); len(command) > 0 {
			if err := ask(conn, answers, command, stdout); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}

// ask sends one command and prints a one-line or bulk answer.
func ask(conn io.Writer, answers *bufio.Reader, command []string, stdout io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(command))
	for _, word := range command {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := io.WriteString(conn, b.String()); err != nil {
		return err
	}
	line, err := answers.ReadString('\n')
	if err != nil {
		return err
	}
	line = strings.TrimSpace(line)
	switch {
	case line == "":
		return errors.New("an empty answer")
	case line[0] == '-':
		return fmt.Errorf("redis says: %s", line[1:])
	case line[0] == '$' && line != "$-1":
		if line, err = answers.ReadString('\n'); err != nil {
			return err
		}
		_, err = fmt.Fprintln(stdout, strings.TrimSpace(line))
		return err
	}
	_, err = fmt.Fprintln(stdout, line[1:])
	return err
}
