-- The orders service owns these tables.

-- One row per order. The saga is its state:
--   PENDING ─▶ PAID ─▶ CONFIRMED
--      └───────┴─▶ COMPENSATING ─▶ CANCELLED
CREATE TABLE orders (
    id           uuid PRIMARY KEY,
    tenant       text        NOT NULL,
    client_key   text        NOT NULL,
    state        text        NOT NULL CHECK (state IN ('PENDING', 'PAID', 'CONFIRMED', 'COMPENSATING', 'CANCELLED')),
    version      integer     NOT NULL DEFAULT 1,
    sku          text        NOT NULL,
    qty          bigint      NOT NULL CHECK (qty > 0),
    amount_minor bigint      NOT NULL CHECK (amount_minor > 0),
    currency     text        NOT NULL,
    card_token   text        NOT NULL,
    merchant     text        NOT NULL,
    trace_id     text        NOT NULL,
    traceparent  text        NOT NULL,
    payment_id   text        NOT NULL DEFAULT '',
    reason       text        NOT NULL DEFAULT '',
    tries        integer     NOT NULL DEFAULT 0,
    -- held_until: until then one worker (a request or the sweeper) owns the next step.
    held_until   timestamptz NOT NULL DEFAULT now(),
    -- in_request: the owner is a request that a client is waiting for (answers 409 to a twin).
    in_request   boolean     NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX orders_open ON orders (held_until) WHERE state IN ('PENDING', 'PAID', 'COMPENSATING');
CREATE INDEX orders_key ON orders (tenant, client_key);

CREATE TABLE idempotency_keys (
    tenant      text        NOT NULL,
    client_key  text        NOT NULL,
    fingerprint text        NOT NULL,
    resource_id uuid        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, client_key)
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
