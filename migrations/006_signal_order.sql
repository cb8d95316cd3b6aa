-- What is done first: exits, then closed bars (their stops may close layers), then entries, then
-- what watches the end of the day. One of each kind of an instrument at a time.
DROP INDEX signal_log_to_do;
DROP INDEX signal_log_one_at_a_time;
ALTER TABLE signal_log DROP COLUMN priority;
ALTER TABLE signal_log ADD COLUMN priority smallint NOT NULL
    GENERATED ALWAYS AS (
        CASE type WHEN 'EXIT' THEN 0 WHEN 'MARKET_DATA' THEN 1 WHEN 'EOD_MONITOR' THEN 3 ELSE 2 END
    ) STORED;
CREATE INDEX signal_log_to_do ON signal_log (priority, bar_time, seq, id)
    WHERE status IN ('received', 'processing');
CREATE UNIQUE INDEX signal_log_one_at_a_time ON signal_log (instrument, priority)
    WHERE status = 'processing';

-- Whether a bar has been overtaken by a later one.
CREATE INDEX signal_log_bars ON signal_log (instrument, bar_time) WHERE type = 'MARKET_DATA';
