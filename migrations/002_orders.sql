-- From an intent to its fills. What an intent may still cost is reserved while it is active.

CREATE TABLE order_intents (
    id                   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    signal_id            bigint REFERENCES signal_log,
    instrument           text NOT NULL,
    source               text NOT NULL
        CHECK (source IN ('signal', 'stop', 'eod', 'rollover', 'operator')),
    action               text NOT NULL CHECK (action IN ('entry', 'exit', 'roll')),
    state                text NOT NULL DEFAULT 'reserved'
        CHECK (state IN ('reserved', 'working', 'naked', 'unknown', 'completed', 'cancelled')),
    layer                smallint CHECK (layer BETWEEN 1 AND 6),
    lots                 integer NOT NULL CHECK (lots > 0),
    decision             jsonb NOT NULL,
    reserved_risk        numeric(18,2) NOT NULL DEFAULT 0 CHECK (reserved_risk >= 0),
    reserved_volatility  numeric(18,2) NOT NULL DEFAULT 0 CHECK (reserved_volatility >= 0),
    reserved_margin      numeric(18,2) NOT NULL DEFAULT 0 CHECK (reserved_margin >= 0),
    is_test              boolean NOT NULL DEFAULT false,
    epoch                bigint,
    reason               text NOT NULL DEFAULT '',
    created_at           timestamptz NOT NULL,
    updated_at           timestamptz NOT NULL
);

-- One operation per instrument at a time, whoever asks for it.
CREATE UNIQUE INDEX order_intents_one_active ON order_intents (instrument)
    WHERE state IN ('reserved', 'working', 'naked', 'unknown');
CREATE INDEX order_intents_by_signal ON order_intents (signal_id);

ALTER TABLE signal_audit ADD FOREIGN KEY (intent_id) REFERENCES order_intents;

CREATE TABLE order_legs (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    intent_id   bigint NOT NULL REFERENCES order_intents,
    place       smallint NOT NULL CHECK (place > 0),
    purpose     text NOT NULL CHECK (purpose IN ('open', 'close', 'unwind')),
    side        text NOT NULL CHECK (side IN ('BUY', 'SELL')),
    symbol      text NOT NULL,
    exchange    text NOT NULL,
    lots        integer NOT NULL CHECK (lots > 0),
    quantity    integer NOT NULL CHECK (quantity > 0),
    state       text NOT NULL DEFAULT 'planned'
        CHECK (state IN ('planned', 'working', 'filled', 'partly_filled', 'cancelled')),
    UNIQUE (intent_id, place)
);

CREATE TABLE broker_orders (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    leg_id             bigint NOT NULL REFERENCES order_legs,
    broker             text NOT NULL,
    trading_day        date NOT NULL,
    order_id           text,
    quantity           integer NOT NULL CHECK (quantity > 0),
    price_type         text NOT NULL CHECK (price_type IN ('MARKET', 'LIMIT')),
    price              numeric(14,4) NOT NULL CHECK (price >= 0),
    known_order_ids    text[] NOT NULL,
    state              text NOT NULL DEFAULT 'intended'
        CHECK (state IN ('intended', 'sent', 'working', 'partially_filled', 'filled', 'cancelled',
                         'rejected', 'unknown')),
    filled_quantity    integer NOT NULL DEFAULT 0,
    average_price      numeric(18,8) NOT NULL DEFAULT 0,
    reason             text NOT NULL DEFAULT '',
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    UNIQUE (broker, trading_day, order_id),
    CHECK (filled_quantity BETWEEN 0 AND quantity)
);
CREATE INDEX broker_orders_by_leg ON broker_orders (leg_id);
CREATE INDEX broker_orders_unfinished ON broker_orders (id)
    WHERE state NOT IN ('filled', 'cancelled', 'rejected');

-- What the trade book said, each time it said more: cumulative, so a repeat changes nothing.
CREATE TABLE fills (
    id                   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    broker_order_id      bigint NOT NULL REFERENCES broker_orders,
    cumulative_quantity  integer NOT NULL CHECK (cumulative_quantity > 0),
    average_price        numeric(18,8) NOT NULL CHECK (average_price > 0),
    at                   timestamptz NOT NULL,
    UNIQUE (broker_order_id, cumulative_quantity)
);
