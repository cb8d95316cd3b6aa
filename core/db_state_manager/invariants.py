"""What must be true of the books whatever happened: asked of the rows, and told line by line.

Money is the sum of its ledger. A layer is what the legs of its entry, or of its last roll, filled
together and did not give back, less the lots that were closed of it since.
"""

from dataclasses import dataclass

from core.db_state_manager.connection import Database

# The account whose money is not the sum of its ledger.
UNBALANCED = """
SELECT p.closed_equity, l.total
FROM portfolio_state AS p,
     (SELECT coalesce(sum(amount), 0) AS total FROM capital_transactions) AS l
WHERE p.closed_equity <> l.total"""

# Layers with legs, their first lots, and what the legs hold together: the least of them.
FILLED_LAYERS = """
WITH open_layers AS (
    SELECT key, id, instrument, coalesce(rolled_by, intent_id) AS intent_id,
           CASE WHEN rolled_by IS NULL THEN initial_lots ELSE (
               SELECT sum(r.lots_after) FROM position_rolls AS r WHERE r.intent_id = rolled_by
           ) END AS initial_lots
    FROM portfolio_positions WHERE state <> 'closed'
), filled AS (
    SELECT l.id, l.intent_id, l.symbol, l.purpose, l.quantity / l.lots AS lot,
           coalesce(sum(o.filled_quantity), 0) AS quantity
    FROM order_legs AS l LEFT JOIN broker_orders AS o ON o.leg_id = l.id
    WHERE l.intent_id IN (SELECT intent_id FROM open_layers)
    GROUP BY l.id
), kept AS (
    SELECT f.intent_id, (f.quantity - coalesce(sum(b.quantity), 0)) / f.lot AS lots
    FROM filled AS f LEFT JOIN filled AS b
        ON b.intent_id = f.intent_id AND b.symbol = f.symbol AND b.purpose = 'unwind'
    WHERE f.purpose = 'open'
    GROUP BY f.id, f.intent_id, f.quantity, f.lot
)
SELECT p.instrument, p.id, p.initial_lots, min(k.lots)
FROM open_layers AS p LEFT JOIN kept AS k ON k.intent_id = p.intent_id
GROUP BY p.key, p.instrument, p.id, p.initial_lots
HAVING min(k.lots) IS DISTINCT FROM p.initial_lots
ORDER BY p.instrument, p.id"""

# Layers that hold other lots than were entered, or last rolled, and not closed since.
CLOSED_LOTS = """
SELECT p.instrument, p.id, p.lots,
       coalesce(r.lots_after, p.initial_lots) - coalesce(sum(t.lots), 0)
FROM portfolio_positions AS p
LEFT JOIN position_rolls AS r ON r.position_key = p.key AND r.intent_id = p.rolled_by
LEFT JOIN trades AS t
    ON t.position_key = p.key AND (p.rolled_by IS NULL OR t.intent_id > p.rolled_by)
WHERE p.state <> 'closed'
GROUP BY p.key, r.lots_after
HAVING p.lots <> coalesce(r.lots_after, p.initial_lots) - coalesce(sum(t.lots), 0)
ORDER BY p.instrument, p.id"""


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that cannot be. `instrument` is None where it concerns the whole account."""

    instrument: str | None
    reason: str


def violations(database: Database) -> list[Violation]:
    """Everything in the books that contradicts itself; empty when they are sound."""
    found = [
        Violation(None, f"closed equity is {equity} and the ledger's sum {total}")
        for equity, total in database.rows(UNBALANCED)
    ]
    for instrument, layer, lots, kept in database.rows(FILLED_LAYERS):
        legs = "it has no legs" if kept is None else f"its legs filled {kept:g}"
        found.append(Violation(instrument, f"{layer} was entered with {lots} lots and {legs}"))
    for instrument, layer, lots, left in database.rows(CLOSED_LOTS):
        found.append(Violation(instrument, f"{layer} holds {lots} lots, its trades leave {left}"))
    return found
