-- A layer may move from contract to contract. Each move is kept; the layer says which one put it
-- into the contracts that it holds now.

ALTER TABLE portfolio_positions ADD COLUMN rolled_by bigint REFERENCES order_intents;

CREATE TABLE position_rolls (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    position_key  bigint NOT NULL REFERENCES portfolio_positions,
    intent_id     bigint NOT NULL REFERENCES order_intents,
    near          text NOT NULL,
    far           text NOT NULL,
    near_close    numeric(18,8) NOT NULL CHECK (near_close > 0),
    far_open      numeric(18,8) NOT NULL CHECK (far_open > 0),
    basis         numeric(18,8) NOT NULL CHECK (basis = far_open - near_close),
    slippage      numeric(18,8) NOT NULL,
    lots_before   integer NOT NULL CHECK (lots_before > 0),
    lots_after    integer NOT NULL CHECK (lots_after > 0),
    realised      numeric(18,2) NOT NULL,
    charges       numeric(18,2) NOT NULL,
    at            timestamptz NOT NULL,
    UNIQUE (position_key, intent_id)
);
CREATE INDEX position_rolls_by_intent ON position_rolls (intent_id);
CREATE TRIGGER rolls_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON position_rolls
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

ALTER TABLE signal_audit DROP CONSTRAINT signal_audit_kind_check;
ALTER TABLE signal_audit ADD CONSTRAINT signal_audit_kind_check
    CHECK (kind IN ('decision', 'opened', 'reduced', 'rolled'));
