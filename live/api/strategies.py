"""Strategies and what each has earned."""

from dataclasses import dataclass, replace
from decimal import Decimal

from flask import Response
from marshmallow import fields, validate

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.records import TradeRow
from core.db_state_manager.strategies import DayPnl, Strategy
from live.api.guard import audited
from live.api.refusals import NotThere
from live.api.rest import Room
from live.api.schemas import (
    LARGEST_ID,
    Asked,
    Page,
    PageAsked,
    page,
    page_of,
    schema_of,
    text,
)
from live.web_parts import WebParts

_ONE = f"/strategies/<int(max={LARGEST_ID}):strategy_id>"


@dataclass(frozen=True, slots=True)
class StrategyList:
    """All strategies."""

    items: tuple[Strategy, ...]


@dataclass(frozen=True, slots=True)
class StrategyPnl:
    """What a strategy's closed lots came to, rupees, in all and by day (oldest first)."""

    strategy_id: int
    trades: int
    gross_pnl: Decimal
    charges: Decimal
    net_pnl: Decimal
    days: tuple[DayPnl, ...]


class NewStrategy(Asked):
    """A strategy to add."""

    name = text(60, required=True)
    description = text(500, shortest=0, load_default="")


class ChangedStrategy(NewStrategy):
    """A strategy as it is to be, and the `version` of it that was read."""

    is_active = fields.Boolean(required=True, truthy={True}, falsy={False})
    version = fields.Integer(required=True, strict=True, validate=validate.Range(0, LARGEST_ID))


class RemovalAsked(Asked):
    """Why something is removed."""

    reason = text(500, required=True)


def strategies_room(parts: WebParts) -> Room:
    """GET, POST /strategies; PUT, DELETE /strategies/<id>; GET its /pnl and /trades."""
    room = Room("strategies", __name__, description="Strategies and what they earn")
    store, reads = parts.store, parts.reads

    @room.get_from("/strategies", schema_of(StrategyList))
    def strategies() -> StrategyList:
        """All strategies, in the order they were added."""
        return StrategyList(tuple(reads.strategies()))

    @room.on("POST", "/strategies", schema_of(Strategy), body=NewStrategy, status=201)
    def add(name: str, description: str) -> Strategy:
        """Add a strategy."""
        audited(store, description, name=name)
        return store.add_strategy(name, description)

    @room.on("PUT", _ONE, schema_of(Strategy), body=ChangedStrategy)
    def change(
        strategy_id: int, name: str, description: str, is_active: bool, version: int
    ) -> Strategy:
        """Change a strategy, unless somebody else has since it was read."""
        wanted = replace(
            _known(store, strategy_id),
            name=name,
            description=description,
            is_active=is_active,
            version=version,
        )
        detail = {"strategy_id": strategy_id, "name": name, "is_active": is_active}
        audited(store, description, **detail)
        return store.change_strategy(wanted)

    @room.on("DELETE", _ONE, None, query=RemovalAsked, status=204)
    def remove(strategy_id: int, reason: str) -> Response:
        """Remove a strategy that nothing belongs to."""
        audited(store, reason, strategy_id=strategy_id)
        if not store.remove_strategy(strategy_id):
            raise NotThere("strategy")
        return Response(status=204)

    _tell_earnings(room, parts.reads)
    return room


def _tell_earnings(room: Room, reads: DatabaseStateManager) -> None:
    @room.get_from(f"{_ONE}/pnl", schema_of(StrategyPnl))
    def pnl(strategy_id: int) -> StrategyPnl:
        """What a strategy has earned."""
        days = tuple(reads.strategy_pnl(_known(reads, strategy_id).id))
        return StrategyPnl(
            strategy_id,
            sum(day.trades for day in days),
            sum((day.gross_pnl for day in days), Decimal(0)),
            sum((day.charges for day in days), Decimal(0)),
            sum((day.net_pnl for day in days), Decimal(0)),
            days,
        )

    @room.get_from(f"{_ONE}/trades", page_of(TradeRow), PageAsked)
    def trades(strategy_id: int, limit: int, cursor: int | None) -> Page[TradeRow]:
        """A strategy's closed lots; newest first."""
        rows = reads.trades(limit + 1, cursor, strategy_id=_known(reads, strategy_id).id)
        return page(rows, limit, lambda row: row.id)


def _known(store: DatabaseStateManager, strategy_id: int) -> Strategy:
    found = store.strategy(strategy_id)
    if found is None:
        raise NotThere("strategy")
    return found
