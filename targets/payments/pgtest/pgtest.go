// Package pgtest starts a private PostgreSQL for tests: its own folder, a Unix
// socket only, gone when the test ends.
package pgtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	paysys "chaos/targets/payments"
)

const (
	startDeadline = 2 * time.Minute
	stopDeadline  = time.Minute
	template      = "paysys_template"
)

// Server is a running PostgreSQL.
type Server struct {
	dir string
	n   atomic.Int64
}

// Start runs a PostgreSQL until the test ends. Without PostgreSQL binaries on
// the machine the test is skipped and says so.
func Start(t *testing.T) *Server {
	t.Helper()
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(bins) == 0 {
		t.Skip("no PostgreSQL binaries in /usr/lib/postgresql/*/bin")
	}
	slices.Sort(bins)
	bin := filepath.Dir(bins[len(bins)-1])
	// Not t.TempDir: its parents are closed to the user that PostgreSQL runs as.
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error("remove database folder:", err)
		}
	})
	attr := unprivileged(t, dir)
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = attr, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	var log bytes.Buffer
	cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-F", "-c", "listen_addresses=", "-c", "shared_buffers=32MB", "-c", "max_connections=200")
	cmd.SysProcAttr, cmd.Dir, cmd.Stderr, cmd.Stdout = attr, dir, &log, &log
	cmd.WaitDelay = stopDeadline
	if err := cmd.Start(); err != nil {
		t.Fatal("start postgres:", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() { stop(t, cmd, exited) })
	s := &Server{dir: dir}
	s.prepare(t, exited, &log)
	return s
}

// unprivileged gives the folder to a user that PostgreSQL accepts (it refuses
// root), and makes children die with the test.
func unprivileged(t *testing.T, dir string) *syscall.SysProcAttr {
	t.Helper()
	attr := &syscall.SysProcAttr{}
	DieWithParent(attr)
	if os.Geteuid() != 0 {
		return attr
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		who, err = user.Lookup("nobody")
	}
	if err != nil {
		t.Skip("running as root and neither postgres nor nobody exists:", err)
	}
	uid, errUID := strconv.ParseUint(who.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(who.Gid, 10, 32)
	if errUID != nil || errGID != nil {
		t.Fatalf("user %s has ids %q %q", who.Username, who.Uid, who.Gid)
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr
}

func stop(t *testing.T, cmd *exec.Cmd, exited <-chan error) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		_ = cmd.Process.Signal(sig) // it may have ended by itself
		select {
		case <-exited:
			return
		case <-time.After(stopDeadline):
		}
	}
	t.Error("postgres does not end")
}

// prepare waits until the server answers and loads the schema into a template.
func (s *Server) prepare(t *testing.T, exited <-chan error, log *bytes.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startDeadline)
	defer cancel()
	var conn *pgx.Conn
	for err := error(nil); ; {
		if conn, err = pgx.Connect(ctx, s.DSN("postgres")); err == nil {
			break
		}
		select {
		case e := <-exited:
			t.Fatalf("postgres ended: %v\n%s", e, log)
		case <-ctx.Done():
			t.Fatal("postgres does not answer:", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	_, err := conn.Exec(ctx, "CREATE DATABASE "+template)
	_ = conn.Close(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if conn, err = pgx.Connect(ctx, s.DSN(template)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, paysys.Schema); err != nil {
		t.Fatal("schema.sql:", err)
	}
}

// DSN is the address of one database.
func (s *Server) DSN(database string) string {
	return fmt.Sprintf("host=%s user=postgres dbname=%s", s.dir, database)
}

// Database makes a new database with the payments' tables and returns its DSN.
func (s *Server) Database(t *testing.T) string { return s.create(t, template) }

// Of makes a new database with the tables of a schema and returns its DSN.
func (s *Server) Of(t *testing.T, schema string) string {
	t.Helper()
	dsn := s.Empty(t)
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(context.Background(), schema); err != nil {
		t.Fatal("schema:", err)
	}
	return dsn
}

// Empty makes a new database without tables and returns its DSN.
func (s *Server) Empty(t *testing.T) string { return s.create(t, "template0") }

func (s *Server) create(t *testing.T, from string) string {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	name := fmt.Sprintf("t%d", s.n.Add(1))
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE "+from); err != nil {
		t.Fatal(err)
	}
	return s.DSN(name)
}
