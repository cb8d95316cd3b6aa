-- An operation raises equity_high once, at its end: its lines are booked one after the other, and a
-- layer's profit is no high of the account when the operation's next line takes it away. So a line
-- of profit or charges moves equity alone, and whoever booked the operation raises equity_high in
-- the same transaction. Deposits and withdrawals still move it both ways.

CREATE OR REPLACE FUNCTION ledger_moves_equity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE portfolio_state SET
        closed_equity = closed_equity + NEW.amount,
        equity_high = equity_high
            + CASE WHEN NEW.kind IN ('DEPOSIT', 'WITHDRAW') THEN NEW.amount ELSE 0 END,
        charges = charges - CASE WHEN NEW.kind = 'CHARGES' THEN NEW.amount ELSE 0 END,
        version = version + 1
    RETURNING closed_equity INTO NEW.equity_after;
    RETURN NEW;
END $$;
