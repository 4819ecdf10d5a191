package proxy

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"
)

// Exit codes of Main.
const (
	exitOK    = 0
	exitUsage = 64
	exitError = 70
)

// Banner begins the one line that Main prints on stdout when it is ready; the address
// of the API follows, up to the next space. BannerAddress reads it.
const Banner = "chaos proxy listening on "

// BannerAddress returns the host:port of the line that Main prints when it is ready.
func BannerAddress(line string) (string, bool) {
	rest, ok := strings.CutPrefix(line, Banner)
	addr, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	return addr, ok && addr != ""
}

// list is a flag that may be given more than once.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

// Main runs `chaos proxy` until ctx ends. It returns 0, 64 for bad flags, and 70 when
// it can't listen or serve.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintln(stderr, "chaos proxy:", err)
		return exitUsage
	}
	o.Logger = slog.New(slog.NewTextHandler(stderr, nil))
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(o.Host, strconv.Itoa(o.Port)))
	if err != nil {
		fmt.Fprintln(stderr, "chaos proxy:", err)
		return exitError
	}
	s := New(o)
	fmt.Fprintf(stdout, "%s%s seed %d (Toxiproxy API %s)\n", Banner, ln.Addr(), o.Seed, stockVersion)
	if err := s.Serve(ctx, ln); err != nil {
		fmt.Fprintln(stderr, "chaos proxy:", err)
		return exitError
	}
	return exitOK
}

func parse(args []string, stderr io.Writer) (Options, error) {
	var o Options
	f := flag.NewFlagSet("chaos proxy", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.Host, "host", "localhost", "host for the API to listen on")
	f.IntVar(&o.Port, "port", 8474, "port for the API to listen on; 0 is any")
	f.Uint64Var(&o.Seed, "seed", uint64(time.Now().UnixNano()), "seed of toxicity and jitter")
	f.DurationVar(&o.Lease, "lease", 0, "remove all toxics when nobody was heard of for this long; 0 is never")
	f.Var((*list)(&o.AllowUpstream), "allow-upstream",
		"host:port pattern that proxies may connect to, e.g. \"db.internal:5432\" or \"10.0.0.0/8:*\"; may be repeated "+
			"(default: loopback and private addresses)")
	f.Var((*list)(&o.AllowHost), "allow-host", "further name accepted in the Host header; may be repeated")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	for i := range o.AllowHost {
		o.AllowHost[i] = strings.ToLower(o.AllowHost[i])
	}
	return o, o.Validate()
}
