-- What is missing is told once, whichever process notices it.
CREATE UNIQUE INDEX outbox_missing_once ON outbox (instrument, (payload ->> 'missing'))
    WHERE kind = 'ALERT_MISSING';
