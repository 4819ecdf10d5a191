// Command paysys is the sample payment system; see targets/payments/README.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"chaos/targets/payments/node"
)

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // of a few MiB: at 100 they are collected several times a second
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "paysys"
	}
	code := node.Command(ctx, os.Args[1:], os.Environ(), hostname, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
