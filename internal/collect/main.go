package collect

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
)

// Exit codes of Main.
const (
	exitOK    = 0
	exitUsage = 64
	exitError = 70
)

// TokenVariable is the environment variable that holds the token of who may read.
const TokenVariable = "CHAOS_COLLECT_TOKEN"

// DefaultPort is the port of OTLP/HTTP.
const DefaultPort = 4318

// Banner begins the one line that Main prints on stdout when it is ready; the address follows.
const Banner = "chaos collect listening on "

// Main runs `chaos collect` until ctx ends. It returns 0, 64 for bad flags, and 70 when it can't listen or
// serve.
func Main(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("chaos collect", flag.ContinueOnError)
	f.SetOutput(stderr)
	host := f.String("host", "localhost", "host to listen on")
	port := f.Int("port", DefaultPort, "port to listen on; 0 is any")
	room := f.Int("room", bufferBytes, "bytes of spans that are kept until they are read; more are refused and counted")
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err == nil && f.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	case err == nil && *room <= 0:
		err = fmt.Errorf("room of %d bytes: want more than none", *room)
	}
	if err != nil {
		fmt.Fprintln(stderr, "chaos collect:", err)
		return exitUsage
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(*host, strconv.Itoa(*port)))
	if err != nil {
		fmt.Fprintln(stderr, "chaos collect:", err)
		return exitError
	}
	s := New(Options{Token: getenv(TokenVariable), Room: *room, Logger: slog.New(slog.NewTextHandler(stderr, nil))})
	fmt.Fprintf(stdout, "%s%s (OTLP/HTTP: POST /v1/traces)\n", Banner, ln.Addr())
	if err := s.Serve(ctx, ln); err != nil {
		fmt.Fprintln(stderr, "chaos collect:", err)
		return exitError
	}
	return exitOK
}
