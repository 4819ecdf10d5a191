-- The notify service owns these tables: messages to customers, and the revenue
-- that a product manager looks at.

CREATE TABLE notifications (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id   uuid        NOT NULL,
    order_id   text        NOT NULL,
    client_key text        NOT NULL,
    tenant     text        NOT NULL,
    kind       text        NOT NULL,
    trace_id   text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Append-only; revenue_daily is its sum.
CREATE TABLE revenue (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id     uuid        NOT NULL,
    client_key   text        NOT NULL,
    payment_id   text        NOT NULL,
    amount_minor bigint      NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE revenue_daily (
    day          date PRIMARY KEY,
    amount_minor bigint NOT NULL
);

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
