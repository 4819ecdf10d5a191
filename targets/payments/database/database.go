// Package database opens the PostgreSQL of one service. Requests, background
// work and audits have pools of their own, so that none can starve the others.
package database

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"chaos/targets/payments/switches"
)

// ErrNoEffect marks a call that certainly wrote nothing.
var ErrNoEffect = errors.New("nothing was written")

// NoEffect says whether a failed call certainly wrote nothing.
func NoEffect(err error) bool {
	var refused *pgconn.PgError
	return errors.Is(err, ErrNoEffect) || errors.As(err, &refused) || pgconn.SafeToRetry(err)
}

const (
	backgroundConns = 4
	auditConns      = 2
	auditTimeout    = 60 * time.Second
	reportConns     = 2
	reportTimeout   = 10 * time.Second
)

// DB is one database. With the bulkhead shared, background work and reports take
// from the requests' pool.
type DB struct {
	Requests, Background, Reports, Audits *pgxpool.Pool
	timeout                               time.Duration
}

// Open makes the pools. It does not connect: a node may start before its
// database.
func Open(ctx context.Context, dsn string, s switches.Set) (*DB, error) {
	d := &DB{timeout: s.DatabaseTimeout}
	pool := func(conns int, statement time.Duration) (*pgxpool.Pool, error) {
		c, err := pgxpool.ParseConfig(dsn)
		if err != nil {
			return nil, fmt.Errorf("read PAYSYS_DATABASE_URL: %w", err)
		}
		c.MaxConns, c.MaxConnIdleTime, c.HealthCheckPeriod = int32(conns), time.Minute, 5*time.Second
		c.ConnConfig.ConnectTimeout = min(s.DatabaseTimeout, 5*time.Second)
		c.ConnConfig.RuntimeParams["statement_timeout"] = fmt.Sprint(statement.Milliseconds())
		c.ConnConfig.RuntimeParams["application_name"] = "paysys"
		c.ConnConfig.Tracer = statements{}
		return pgxpool.NewWithConfig(ctx, c)
	}
	var err error
	if d.Requests, err = pool(s.DatabasePool, s.DatabaseTimeout); err != nil {
		return nil, err
	}
	if d.Audits, err = pool(auditConns, auditTimeout); err != nil {
		return nil, err
	}
	d.Background, d.Reports = d.Requests, d.Requests
	if s.BulkheadShared {
		return d, nil
	}
	if d.Background, err = pool(backgroundConns, s.DatabaseTimeout); err != nil {
		return nil, err
	}
	d.Reports, err = pool(reportConns, reportTimeout)
	return d, err
}

// Close ends all connections.
func (d *DB) Close() {
	d.Audits.Close()
	d.Requests.Close()
	if d.Background != d.Requests {
		d.Background.Close()
		d.Reports.Close()
	}
}

// Has says what is missing: the database, or one of the tables in it. schema
// names the file that makes them.
func (d *DB) Has(ctx context.Context, schema string, tables ...string) error {
	var missing []string
	err := d.Audits.QueryRow(ctx, `SELECT coalesce(array_agg(t), '{}') FROM unnest($1::text[]) t WHERE to_regclass(t) IS NULL`, tables).Scan(&missing)
	if err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	if len(missing) > 0 {
		return fmt.Errorf("postgres: tables missing: %v: load %s into the database", missing, schema)
	}
	return nil
}

// Use runs f on a connection. Waiting for the connection has the database
// timeout as its limit; failing there is certainly without effect.
func (d *DB) Use(ctx context.Context, pool *pgxpool.Pool, doing string, f func(context.Context, *pgxpool.Conn) error) error {
	// The server ends statements by itself; this bound is for a silent network.
	return d.UseFor(ctx, pool, doing, 2*d.timeout, f)
}

// UseFor is Use for work that may take longer.
func (d *DB) UseFor(ctx context.Context, pool *pgxpool.Pool, doing string, limit time.Duration, f func(context.Context, *pgxpool.Conn) error) error {
	wait, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	conn, err := pool.Acquire(wait)
	if err != nil {
		return fmt.Errorf("%s: %w: connect: %w", doing, ErrNoEffect, err)
	}
	defer conn.Release()
	run, stop := context.WithTimeout(context.WithValue(ctx, doingKey{}, doing), limit)
	defer stop()
	if err := f(run, conn); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// Transact is Use with a transaction around f.
func (d *DB) Transact(ctx context.Context, pool *pgxpool.Pool, doing string, f func(context.Context, pgx.Tx) error) error {
	return d.Use(ctx, pool, doing, func(ctx context.Context, c *pgxpool.Conn) error {
		committing := false
		err := pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			err := f(ctx, tx)
			committing = err == nil
			return err
		})
		if err != nil && !committing {
			return errors.Join(ErrNoEffect, err) // never committed
		}
		return err
	})
}
