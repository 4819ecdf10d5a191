package node

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel"

	"chaos/targets/payments/clock"
	"chaos/targets/payments/settings"
	"chaos/targets/payments/switches"
	"chaos/targets/payments/telemetry"
)

// Exit codes of the command.
const (
	ExitOK     = 0
	ExitFailed = 1
	ExitUsage  = 64
)

// Command runs `paysys <role>` and returns the exit code. It ends when the
// context does.
func Command(ctx context.Context, args, environ []string, hostname string, stdout, stderr io.Writer) int {
	if len(args) != 1 {
		usage(stderr)
		return ExitUsage
	}
	switch role := args[0]; {
	case role == "--help" || role == "-h" || role == "help":
		usage(stdout)
		return ExitOK
	case role == "version" || role == "--version":
		_, _ = fmt.Fprintln(stdout, "paysys", version())
		return ExitOK
	case !slices.Contains(settings.All(), settings.Role(role)):
		_, _ = fmt.Fprintf(stderr, "paysys: unknown role %q: valid are %s\n", args[0], settings.Roles)
		return ExitUsage
	}
	s, err := settings.Read(settings.Role(args[0]), environ, hostname)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "paysys: %s\n", strings.ReplaceAll(err.Error(), "\n", "\npaysys: "))
		return ExitUsage
	}
	if s.Version == "" {
		s.Version = version()
	}
	// The client library writes plain text to stderr for each failed dial; what
	// matters of that is in the metrics and in the requests' own lines.
	redis.SetLogger(silent{})
	wall := &clock.Clock{}
	server := telemetry.Server{Log: telemetry.NewLogger(stdout, args[0], s.Instance, wall.Now), Metrics: telemetry.NewMetrics()}
	// A collector that is away is no line on stderr for each batch: the spans are counted.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
	flush := func(context.Context) error { return nil }
	if server.Tracer, flush, err = telemetry.Export(ctx, s.OTLPURL, args[0], s.Instance, s.Version, server.Metrics); err != nil {
		_, _ = fmt.Fprintln(stderr, "paysys:", err)
		return ExitUsage
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), settleTime)
		defer cancel()
		_ = flush(ctx) // what is lost is counted
	}()
	n, err := New(ctx, s, server, wall)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "paysys:", err)
		return ExitUsage
	}
	if err := n.Run(ctx); err != nil {
		server.Log.Error("node failed", "reason", err.Error())
		return ExitFailed
	}
	return ExitOK
}

// silent drops the messages of a library.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version + " " + info.GoVersion
	}
	return "unknown"
}

// usage is the manual: roles, environment and switches.
func usage(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprint(t, `paysys is a small payment system made to be broken: seven roles of one binary.

Usage:
  paysys gateway    API keys, quota in Redis, shedding; passes on to orders and payments, adds recommendations
  paysys orders     orders once per key, each a saga: paid, stock held, confirmed; or the money back
  paysys payments   payments once per key, books in PostgreSQL, calls the processor, tells by its outbox
  paysys inventory  holds stock for what was paid, frees it when an order is cancelled
  paysys notify     messages to customers, revenue for managers, the broker's log for auditors
  paysys recs       recommendations: slow, few workers, and nobody should miss them
  paysys psp        card processor simulator with its own settlement ledger
  paysys version
  paysys --help

Environment (role, default, meaning):
`)
	for _, v := range settings.Variables() {
		_, _ = fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", v.Name, v.Roles, v.Default, v.Doc)
	}
	_, _ = fmt.Fprintf(t, "\nPresets: %s.\nnaive-queue is naive with accept_mode=memqueue.\n\nSwitches, set as PAYSYS_SWITCH_<NAME> (resilient, naive, accepts, meaning):\n", switches.Presets)
	for _, d := range switches.Catalog() {
		_, _ = fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", strings.ToUpper(d.Name), d.Resilient, d.Naive, d.Accepts, d.Doc)
	}
	_ = t.Flush() // nowhere to report a closed terminal
}
