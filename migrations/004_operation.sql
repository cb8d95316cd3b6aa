-- Who runs, who leads, what is stopped, and what is still to be told.

CREATE TABLE instance_metadata (
    instance_id   text PRIMARY KEY,
    host          text NOT NULL,
    pid           integer NOT NULL,
    version       text NOT NULL,
    started_at    timestamptz NOT NULL,
    heartbeat_at  timestamptz NOT NULL
);

-- The newest epoch leads; an intent written under an older one is refused.
CREATE TABLE leadership_history (
    epoch        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instance_id  text NOT NULL,
    started_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    reason       text NOT NULL DEFAULT ''
);

-- No entries in an instrument while one of its locks is unreleased.
CREATE TABLE instrument_locks (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instrument   text NOT NULL,
    code         text NOT NULL,
    reason       text NOT NULL,
    locked_at    timestamptz NOT NULL,
    locked_by    text NOT NULL,
    released_at  timestamptz,
    released_by  text,
    CHECK ((released_at IS NULL) = (released_by IS NULL))
);
CREATE UNIQUE INDEX instrument_locks_held ON instrument_locks (instrument, code)
    WHERE released_at IS NULL;

-- Append-only: the newest row of a scope (GLOBAL or an instrument) is in force.
CREATE TABLE trading_controls (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope   text NOT NULL,
    state   text NOT NULL CHECK (state IN ('ACTIVE', 'REDUCING', 'HALTED')),
    reason  text NOT NULL CHECK (reason <> ''),
    who     text NOT NULL CHECK (who <> ''),
    at      timestamptz NOT NULL
);
CREATE INDEX trading_controls_newest ON trading_controls (scope, id DESC);
CREATE TRIGGER controls_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trading_controls
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE outbox (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind          text NOT NULL,
    instrument    text,
    payload       jsonb NOT NULL,
    created_at    timestamptz NOT NULL,
    lease_owner   text,
    lease_until   timestamptz,
    attempts      integer NOT NULL DEFAULT 0,
    delivered_at  timestamptz
);
CREATE INDEX outbox_to_tell ON outbox (id) WHERE delivered_at IS NULL;

-- Positions in the account that belong to somebody else are left alone.
CREATE TABLE broker_position_tags (
    broker     text NOT NULL,
    exchange   text NOT NULL,
    symbol     text NOT NULL,
    owner      text NOT NULL,
    notes      text NOT NULL DEFAULT '',
    who        text NOT NULL,
    tagged_at  timestamptz NOT NULL,
    PRIMARY KEY (broker, exchange, symbol)
);

-- The operator's own holidays, over the shipped calendar.
CREATE TABLE market_holidays (
    exchange     text NOT NULL,
    day          date NOT NULL,
    description  text NOT NULL,
    who          text NOT NULL,
    set_at       timestamptz NOT NULL,
    PRIMARY KEY (exchange, day)
);
