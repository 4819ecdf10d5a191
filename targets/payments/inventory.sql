-- The inventory service owns these tables.

CREATE TABLE stock (
    sku     text PRIMARY KEY,
    initial bigint NOT NULL CHECK (initial >= 0),
    free    bigint NOT NULL CHECK (free >= 0)
);
INSERT INTO stock (sku, initial, free) SELECT 'sku-' || to_char(n, 'FM00'), 1000000000, 1000000000 FROM generate_series(1, 20) n;
INSERT INTO stock (sku, initial, free) VALUES ('sku-soldout', 0, 0);

-- One row per order whose payment was captured. Nothing but the inbox keeps a
-- second delivery from a second row: that is what the inbox is for.
CREATE TABLE reservations (
    id         uuid PRIMARY KEY,
    order_id   text        NOT NULL,
    client_key text        NOT NULL,
    tenant     text        NOT NULL,
    trace_id   text        NOT NULL,
    payment_id text        NOT NULL,
    sku        text        NOT NULL,
    qty        bigint      NOT NULL CHECK (qty > 0),
    state      text        NOT NULL CHECK (state IN ('HELD', 'SOLD', 'RELEASED', 'REJECTED')),
    reason     text        NOT NULL DEFAULT '',
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX reservations_order ON reservations (order_id);
CREATE INDEX reservations_held ON reservations (expires_at) WHERE state = 'HELD';

-- Orders that ended before their payment's event came: nothing is held for them.
CREATE TABLE cancelled (
    order_id   text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- What changed, for others: written in the transaction of the change, published
-- by a relay that owns rows for the time of a lease. The token is its fence.
CREATE TABLE outbox (
    seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id     uuid        NOT NULL UNIQUE,
    subject      text        NOT NULL,
    client_key   text        NOT NULL,
    traceparent  text        NOT NULL,
    payload      jsonb       NOT NULL,
    token        text        NOT NULL DEFAULT '',
    leased_until timestamptz NOT NULL DEFAULT now(),
    created_at   timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz
);
CREATE INDEX outbox_waiting ON outbox (seq) WHERE published_at IS NULL;

-- Events that were taken: in the transaction of their effect, so that a
-- delivery that comes twice has one effect.
CREATE TABLE inbox (
    consumer   text        NOT NULL,
    event_id   uuid        NOT NULL,
    type       text        NOT NULL,
    client_key text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);
