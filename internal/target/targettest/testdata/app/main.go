// Command app is the smallest target that uses every feature of a runtime: it answers health checks,
// counts in Redis through an edge and sends spans of it, tells its environment, writes to a file, and dies when it is told to.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"chaos/internal/ballast"
	"chaos/internal/collect"
	"chaos/internal/packet"
	"chaos/internal/proxy"
	"chaos/internal/readonly"
	"chaos/internal/resolver"
	"chaos/internal/slowdisk"
)

func main() {
	ends := []os.Signal{syscall.SIGTERM, os.Interrupt}
	if os.Getenv("APP_STUBBORN") != "" {
		signal.Ignore(syscall.SIGTERM)
		ends = ends[1:]
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	defer stop()
	if len(os.Args) > 1 && os.Args[1] == "proxy" {
		os.Exit(proxy.Main(ctx, os.Args[2:], os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == "packet" {
		os.Exit(packet.Main(ctx, os.Args[2:], os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == "collect" {
		os.Exit(collect.Main(ctx, os.Args[2:], os.Getenv, os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == "resolver" {
		os.Exit(resolver.Main(ctx, os.Args[2:], os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == "ballast" {
		os.Exit(ballast.Main(ctx, os.Args[2:], os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == "readonly" {
		os.Exit(readonly.Main(ctx, os.Args[2:], os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == "slowdisk" {
		os.Exit(slowdisk.Main(ctx, os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
	}
	if os.Getenv("APP_BROKEN") != "" {
		fmt.Println("refusing to start: APP_BROKEN is set")
		os.Exit(3)
	}
	var counted atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if os.Getenv("APP_NEVER_READY") != "" {
			http.Error(w, "told to be never ready", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /env", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+os.Getenv("APP_TOKEN") {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, os.Getenv(r.URL.Query().Get("name")))
	})
	mux.HandleFunc("POST /count", func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		n, err := redis(r.Context(), "INCR", "count")
		if os.Getenv("APP_FAIL") != "" {
			err = errors.New("told to fail")
		}
		counted.Add(1)
		tell(r, began, err)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprint(w, strings.TrimPrefix(n, ":"))
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "# TYPE counted_total counter\ncounted_total %d\n", counted.Load())
	})
	var file *os.File
	if path := os.Getenv("APP_FILE"); path != "" {
		var err error
		if file, err = os.Create(path); err != nil {
			fmt.Println(err)
		}
	}
	mux.HandleFunc("POST /write", func(w http.ResponseWriter, _ *http.Request) {
		began := time.Now()
		_, err := file.WriteAt([]byte("."), 0)
		took := time.Since(began)
		if err = errors.Join(err, file.Sync()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, int64(took))
	})
	mux.HandleFunc("POST /die", func(http.ResponseWriter, *http.Request) {
		fmt.Println("dying as told")
		os.Exit(7)
	})
	if os.Getenv("APP_LOG") != "json" {
		fmt.Println("app started, greeting:", os.Getenv("APP_GREETING"))
	}
	server := &http.Server{Addr: os.Getenv("APP_LISTEN"), Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); err != nil {
		fmt.Println(err)
	}
}

// redis sends one command over a connection of its own and returns the first line of the answer.
func redis(ctx context.Context, command ...string) (string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", os.Getenv("APP_REDIS"))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", strings.Join(command, " ")); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}
