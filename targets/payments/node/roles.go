package node

import (
	"context"
	"fmt"

	"chaos/targets/payments/cache"
	"chaos/targets/payments/clock"
	"chaos/targets/payments/database"
	"chaos/targets/payments/events"
	"chaos/targets/payments/gateway"
	"chaos/targets/payments/inventory"
	"chaos/targets/payments/ledger"
	"chaos/targets/payments/notify"
	"chaos/targets/payments/orders"
	"chaos/targets/payments/payments"
	"chaos/targets/payments/psp"
	"chaos/targets/payments/recs"
	"chaos/targets/payments/settings"
	"chaos/targets/payments/telemetry"
)

// New makes the role that the settings name, on a clock. Dependencies need not be there.
func New(ctx context.Context, s settings.Settings, server telemetry.Server, c *clock.Clock) (*Node, error) {
	server.Clock = c.Now
	n := &Node{settings: s, server: server, clock: c, failed: make(chan error, 2)}
	server.Metrics.Build(string(s.Role), s.Version)
	var err error
	switch s.Role {
	case settings.Gateway:
		n.role = gateway.New(s, n.redis(), server)
	case settings.Orders:
		err = n.orders(ctx)
	case settings.Payments:
		err = n.payments(ctx)
	case settings.Inventory, settings.Notify:
		err = n.listener(ctx)
	case settings.Recs:
		n.role = recs.New(s.RecsSeed, server)
	case settings.PSP:
		n.role = psp.New(s.PSPSeed, server)
	default:
		err = fmt.Errorf("unknown role %q: valid are %s", s.Role, settings.Roles)
	}
	return n, err
}

// closes remembers what to close at the end, the last first.
func (n *Node) closes(f func()) { n.closers = append([]func(){f}, n.closers...) }

func (n *Node) redis() *cache.Redis {
	r := cache.Open(n.settings.RedisAddr, n.settings.Switches, n.server.Metrics)
	n.closes(func() { _ = r.Close() }) // nothing is lost with it
	return r
}

func (n *Node) broker() (*events.Broker, error) {
	b, err := events.Dial(n.settings.NATSURL, n.settings.Instance)
	if err == nil {
		n.closes(b.Close)
	}
	return b, err
}

func (n *Node) orders(ctx context.Context) error {
	store, err := orders.Open(ctx, n.settings.DatabaseURL, n.settings.Switches)
	if err != nil {
		return err
	}
	n.closes(store.Close)
	b, err := n.broker()
	if err == nil {
		n.role = orders.New(n.settings, store, b, n.server)
	}
	return err
}

func (n *Node) payments(ctx context.Context) error {
	books, err := ledger.Open(ctx, n.settings.DatabaseURL, n.settings.Switches)
	if err != nil {
		return err
	}
	n.closes(books.Close)
	var publisher *events.Publisher
	if n.settings.NATSURL != "" {
		b, err := n.broker()
		if err != nil {
			return err
		}
		publisher = events.NewPublisher(books.DB, b, n.settings.Switches.PublishInline, n.server)
	}
	n.role = payments.New(n.settings, books, n.redis(), publisher, n.server)
	return nil
}

// listener is a role that hears events and keeps a database.
func (n *Node) listener(ctx context.Context) error {
	db, err := database.Open(ctx, n.settings.DatabaseURL, n.settings.Switches)
	if err != nil {
		return err
	}
	n.closes(db.Close)
	b, err := n.broker()
	switch {
	case err != nil:
	case n.settings.Role == settings.Inventory:
		n.role = inventory.New(n.settings, db, b, n.server)
	default:
		n.role = notify.New(n.settings, db, b, n.server)
	}
	return err
}
