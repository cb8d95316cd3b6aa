-- What the leader sees between two bars: marks, alarms that hold, and bars that it stood in for.

ALTER TABLE pyramiding_state ADD COLUMN marked_at timestamptz;
ALTER TABLE pyramiding_state ADD COLUMN market_margin numeric(18,2) CHECK (market_margin >= 0);

-- An alarm is told when its row comes and when it goes, so once for as long as it holds.
CREATE TABLE watch_alarms (
    instrument  text NOT NULL,
    code        text NOT NULL CHECK (code IN ('BARS_SILENT', 'QUOTES_DOUBTED', 'STOP_PASSED')),
    reason      text NOT NULL,
    raised_at   timestamptz NOT NULL,
    PRIMARY KEY (instrument, code)
);

-- A bar that did not come in time: judged once at a quote. It moves the stops when `bar_until`
-- comes without it, because then the next bar is due; if the bar itself comes, that one does.
CREATE TABLE stand_ins (
    instrument     text NOT NULL,
    bar_closed_at  timestamptz NOT NULL,
    bar_until      timestamptz NOT NULL CHECK (bar_until > bar_closed_at),
    price          numeric NOT NULL CHECK (price > 0),
    atr            numeric NOT NULL CHECK (atr > 0),
    epoch          bigint,
    at             timestamptz NOT NULL,
    trailed_at     timestamptz,
    PRIMARY KEY (instrument, bar_closed_at)
);
CREATE INDEX stand_ins_untrailed ON stand_ins (instrument) WHERE trailed_at IS NULL;
