package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Merchant is who gets paid.
type Merchant struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Payments  int64  `json:"payments"`
	OwedMinor int64  `json:"owed_minor"`
}

// Merchant reads a merchant's profile. It costs the database a tenth of a second,
// as views over everything do.
func (b *Books) Merchant(ctx context.Context, id string) (m Merchant, err error) {
	err = b.Use(ctx, b.Requests, "read merchant", func(ctx context.Context, c *pgxpool.Conn) error {
		err := c.QueryRow(ctx, `WITH slow AS MATERIALIZED (SELECT pg_sleep(0.1)) SELECT m.id, m.name, count(p.id), coalesce(sum(p.amount_minor), 0)::bigint
			FROM slow, merchants m LEFT JOIN payments p ON p.merchant = m.id AND p.state = 'CAPTURED' WHERE m.id = $1 GROUP BY m.id, m.name`, id).
			Scan(&m.ID, &m.Name, &m.Payments, &m.OwedMinor)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNotFound
		}
		return err
	})
	return m, err
}

// reportTime bounds a report.
const reportTime = 10 * time.Second

// Owed is a line of the settlement report.
type Owed struct {
	Merchant    string `json:"merchant"`
	AmountMinor int64  `json:"amount_minor"`
}

// Settlement is what each merchant is owed. The query takes five seconds, as
// reports do; it has connections of its own unless the bulkhead is shared.
func (b *Books) Settlement(ctx context.Context) (rows []Owed, err error) {
	err = b.UseFor(ctx, b.Reports, "read settlement", reportTime, func(ctx context.Context, c *pgxpool.Conn) error {
		found, err := c.Query(ctx, `WITH slow AS MATERIALIZED (SELECT pg_sleep(5)) SELECT p.merchant, sum(-l.amount_minor)::bigint FROM slow, ledger_entries l JOIN payments p ON p.id = l.payment_id
			WHERE l.account = 'merchant' GROUP BY p.merchant ORDER BY p.merchant`)
		if err != nil {
			return err
		}
		rows, err = pgx.CollectRows(found, pgx.RowToStructByPos[Owed])
		return err
	})
	if rows == nil {
		rows = []Owed{}
	}
	return rows, err
}
