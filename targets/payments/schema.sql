-- The payments service owns these tables. It never creates or changes them:
-- the harness feeds this file through psql into a template database, and a
-- payments node that finds no tables says so on /readyz.

-- One row per payment. Every change of state is one statement that also writes
-- the ledger, so a crash leaves either both or neither.
CREATE TABLE payments (
    id           uuid PRIMARY KEY,
    tenant       text        NOT NULL,
    client_key   text        NOT NULL,
    state        text        NOT NULL CHECK (state IN ('INITIATED', 'UNKNOWN', 'CAPTURED', 'DECLINED', 'REFUNDING', 'REFUNDED')),
    version      integer     NOT NULL DEFAULT 1,
    amount_minor bigint      NOT NULL CHECK (amount_minor > 0),
    currency     text        NOT NULL,
    card_token   text        NOT NULL,
    merchant     text        NOT NULL,
    trace_id     text        NOT NULL,
    traceparent  text        NOT NULL DEFAULT '',
    -- The order that is paid, when there is one: passed on in events.
    order_id     text        NOT NULL DEFAULT '',
    sku          text        NOT NULL DEFAULT '',
    qty          bigint      NOT NULL DEFAULT 0,
    psp_id       text        NOT NULL DEFAULT '',
    reason       text        NOT NULL DEFAULT '',
    -- asked counts how often the processor may have been told to charge.
    asked        integer     NOT NULL DEFAULT 0,
    -- held_until: until then one worker (a request or the background) owns the payment.
    held_until   timestamptz NOT NULL DEFAULT now(),
    -- in_request: the owner is a request that a client is waiting for (answers 409 to a twin).
    in_request   boolean     NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX payments_open ON payments (state, held_until) WHERE state IN ('INITIATED', 'UNKNOWN', 'REFUNDING');

-- One row per key that a client used: the first writer wins, everybody else
-- finds the resource that the key made.
CREATE TABLE idempotency_keys (
    tenant      text        NOT NULL,
    kind        text        NOT NULL CHECK (kind IN ('payment', 'refund')),
    client_key  text        NOT NULL,
    fingerprint text        NOT NULL,
    resource_id uuid        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, kind, client_key)
);

CREATE TABLE refunds (
    id           uuid PRIMARY KEY,
    payment_id   uuid        NOT NULL REFERENCES payments (id),
    tenant       text        NOT NULL,
    client_key   text        NOT NULL,
    state        text        NOT NULL CHECK (state IN ('PENDING', 'DONE', 'FAILED')),
    amount_minor bigint      NOT NULL CHECK (amount_minor > 0),
    trace_id     text        NOT NULL,
    traceparent  text        NOT NULL DEFAULT '',
    reason       text        NOT NULL DEFAULT '',
    asked        integer     NOT NULL DEFAULT 0,
    held_until   timestamptz NOT NULL DEFAULT now(),
    in_request   boolean     NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX refunds_open ON refunds (held_until) WHERE state = 'PENDING';
CREATE INDEX refunds_payment ON refunds (payment_id);

-- Append-only double entry: debit is positive, credit negative, and each txn
-- sums to zero.
CREATE TABLE ledger_entries (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    txn          uuid        NOT NULL,
    payment_id   uuid        NOT NULL REFERENCES payments (id),
    account      text        NOT NULL,
    amount_minor bigint      NOT NULL CHECK (amount_minor <> 0),
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ledger_payment ON ledger_entries (payment_id);

CREATE TABLE merchants (
    id   text PRIMARY KEY,
    name text NOT NULL
);
INSERT INTO merchants (id, name) SELECT 'm-' || n, 'Merchant ' || n FROM generate_series(1, 20) n;

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
