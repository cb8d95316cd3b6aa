-- Alerts as they came, and what was made of each. A fingerprint is stored once.

CREATE TABLE signal_log (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint  text NOT NULL UNIQUE,
    type         text NOT NULL
        CHECK (type IN ('BASE_ENTRY', 'PYRAMID', 'EXIT', 'EOD_MONITOR', 'MARKET_DATA')),
    instrument   text NOT NULL,
    layer        smallint CHECK (layer BETWEEN 1 AND 6),
    bar_time     timestamptz NOT NULL,
    seq          bigint,
    priority     smallint NOT NULL
        GENERATED ALWAYS AS (CASE WHEN type = 'EXIT' THEN 0 ELSE 1 END) STORED,
    raw_body     bytea NOT NULL,
    alert        jsonb NOT NULL,
    status       text NOT NULL DEFAULT 'received'
        CHECK (status IN ('received', 'processing', 'executed', 'blocked', 'rejected', 'failed',
                          'expired')),
    outcome      jsonb,
    attempts     integer NOT NULL DEFAULT 1 CHECK (attempts > 0),
    lease_owner  text,
    lease_until  timestamptz,
    received_at  timestamptz NOT NULL,
    finished_at  timestamptz,
    CHECK ((status = 'processing') = (lease_owner IS NOT NULL)),
    CHECK ((status = 'processing') = (lease_until IS NOT NULL))
);

-- What is still to be done, in the order it is to be done; small however long the log is.
CREATE INDEX signal_log_to_do ON signal_log (priority, bar_time, seq, id)
    WHERE status IN ('received', 'processing');

-- One exit and one other alert of an instrument at a time.
CREATE UNIQUE INDEX signal_log_one_at_a_time ON signal_log (instrument, priority)
    WHERE status = 'processing';

-- Whether an exit came after an entry of an earlier bar.
CREATE INDEX signal_log_exits ON signal_log (instrument, bar_time) WHERE type = 'EXIT';
CREATE INDEX signal_log_by_instrument ON signal_log (instrument, id);
CREATE INDEX signal_log_by_status ON signal_log (status, id);

-- Append-only: every decision with the numbers to work it out again, and every booking.
CREATE TABLE signal_audit (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    signal_id   bigint REFERENCES signal_log,
    intent_id   bigint,
    instrument  text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('decision', 'opened', 'reduced')),
    code        text NOT NULL,
    detail      jsonb NOT NULL,
    at          timestamptz NOT NULL
);
CREATE INDEX signal_audit_by_signal ON signal_audit (signal_id, id);
CREATE INDEX signal_audit_by_intent ON signal_audit (intent_id, id);
