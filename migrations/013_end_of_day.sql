-- The end of an instrument's day: judged once, ordered once, whoever leads.

CREATE TABLE eod_runs (
    instrument        text NOT NULL,
    day               date NOT NULL,
    phase             text NOT NULL CHECK (phase IN ('judged', 'ordered', 'ended')),
    verdict           text NOT NULL,
    reason            text NOT NULL,
    judged_signal_id  bigint REFERENCES signal_log ON DELETE SET NULL,
    closes_at         timestamptz NOT NULL,
    epoch             bigint NOT NULL REFERENCES leadership_history,
    judged_at         timestamptz NOT NULL,
    ordered_at        timestamptz,
    ended_at          timestamptz,
    PRIMARY KEY (instrument, day)
);

-- What it asks for. Once ordered, each has the alert that it was journalled as, unless the bar's own
-- alert had come first. An alert that was sent again since is not an end of day's any more.
CREATE TABLE eod_actions (
    instrument  text NOT NULL,
    day         date NOT NULL,
    place       smallint NOT NULL,
    alert       jsonb NOT NULL,
    signal_id   bigint UNIQUE REFERENCES signal_log,
    attempts    integer,
    epoch       bigint REFERENCES leadership_history,
    chase_at    timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL,
    PRIMARY KEY (instrument, day, place),
    FOREIGN KEY (instrument, day) REFERENCES eod_runs
);

-- The Scout's latest alerts.
CREATE INDEX signal_log_scout ON signal_log (instrument, received_at)
    WHERE type = 'EOD_MONITOR';
