-- Append-only: what operators asked for, written before it was tried, with who and why.

CREATE TABLE operator_audit (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    who         text NOT NULL CHECK (who <> ''),
    action      text NOT NULL,
    detail      jsonb NOT NULL,
    reason      text NOT NULL,
    request_id  text NOT NULL,
    at          timestamptz NOT NULL
);
CREATE TRIGGER operator_audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON operator_audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The alerts of the last day, however long the log is.
CREATE INDEX signal_log_by_arrival ON signal_log (received_at);
