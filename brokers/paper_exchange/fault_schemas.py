"""How a fault is told: a row of JSON, the same over HTTP and in a scenario file.

    {"seed": 7, "faults": [{"fault": "reply_lost", "endpoint": "placeorder", "call": 3}]}

A term that belongs to another fault is refused by name, and so is one that is missing.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from brokers.paper_exchange.faults import (
    EVERY,
    KINDS,
    STREAM,
    Cancelled,
    Fault,
    FaultName,
    Kind,
    Rule,
    Terms,
)
from brokers.paper_exchange.fill_script import Piece
from brokers.paper_exchange.orders import Action, Mode, OrderStatus
from brokers.paper_exchange.schemas import KeySchema
from core.errors import InputInvalid

_LONGEST_S = 130
_MOST = 10**9
_ENDS = (OrderStatus.REJECTED.value, OrderStatus.CANCELLED.value)
_STATUSES = [status.value for status in OrderStatus]
_RULE = {each.name for each in fields_of(Rule)} | {"fault", "call"}
_TERMS = {each.name for each in fields_of(Terms)}


def _count(least: int = 1) -> fields.Integer:
    return fields.Integer(strict=True, validate=validate.Range(least, _MOST))


def _seconds() -> fields.Float:
    return fields.Float(validate=validate.Range(0, _LONGEST_S))


def _price() -> fields.Decimal:
    return fields.Decimal(as_string=True, validate=validate.Range(0, _MOST, min_inclusive=False))


def _one_of(choices: Iterable[str]) -> fields.String:
    return fields.String(validate=validate.OneOf(list(choices)))


class PieceSchema(Schema):
    """A step of an order that does not fill whole."""

    quantity = _count()
    fraction = fields.Decimal(as_string=True, validate=validate.Range(0, 1, min_inclusive=False))
    price = _price()
    ticks = _count(0)
    after_s = _seconds()
    after_looks = _count(0)
    ends = _one_of(_ENDS)


class FaultSchema(Schema):
    """A fault: its name, which calls it strikes, and its terms."""

    fault = fields.String(
        required=True, validate=validate.OneOf([name.value for name in FaultName])
    )
    endpoint = _one_of((*EVERY, STREAM, "*"))
    symbol = fields.String()
    side = _one_of(action.value for action in Action)
    instrument = fields.String()
    call = _count()
    from_call = _count()
    until_call = _count()
    probability = fields.Float(validate=validate.Range(0, 1))
    seed = fields.Integer(strict=True)
    times = _count()
    seconds = _seconds()
    pieces = fields.List(fields.Nested(PieceSchema), validate=validate.Length(min=1))
    answer = _one_of(answer.value for answer in Cancelled)
    quantity = _count()
    price = _price()
    after_s = _seconds()
    after_looks = _count(0)
    ticks = _count()
    mode = _one_of(mode.value for mode in Mode)
    lotsize = _count()
    status = _one_of(_STATUSES)

    @validates_schema
    def check(self, row: Mapping[str, Any], **_: Any) -> None:
        """Refuse what does not belong to the fault."""
        kind = KINDS[FaultName(row["fault"])]
        wrong = {name: ["Missing data for required field."] for name in kind.needs - row.keys()}
        wrong |= {name: ["Unknown field."] for name in row.keys() - _RULE - kind.needs - kind.takes}
        if row.get("endpoint", "*") not in (*kind.endpoints, "*"):
            wrong["endpoint"] = [f"Must be one of: {', '.join(kind.endpoints)}."]
        if wrong:
            raise ValidationError(wrong)


class FaultsSchema(KeySchema):
    """Control: faults to add. `seed` is for those that have none."""

    seed = fields.Integer(strict=True, load_default=0)
    faults = fields.List(fields.Nested(FaultSchema), required=True, validate=validate.Length(min=1))


class ScenarioSchema(Schema):
    """A scenario file."""

    seed = fields.Integer(strict=True, load_default=0)
    faults = fields.List(fields.Nested(FaultSchema), required=True)


def told_faults(asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The faults of a checked request or file as rows of JSON, each with its seed."""
    rows: list[dict[str, Any]] = FaultSchema(many=True).dump(asked["faults"])
    return [{"seed": asked["seed"], **row} for row in rows]


def read_scenario(path: Path) -> list[dict[str, Any]]:
    """The faults of a file. Raises InputInvalid."""
    try:
        return told_faults(ScenarioSchema().load(json.loads(path.read_text(encoding="utf-8"))))
    except OSError as wrong:
        raise InputInvalid(str(path), f"cannot be read: {wrong.strerror}") from wrong
    except ValidationError as wrong:
        raise InputInvalid(path.name, str(wrong.messages)) from wrong
    except ValueError as wrong:
        raise InputInvalid(path.name, f"is not JSON: {wrong}") from wrong


def read_fault(number: int, told: Mapping[str, Any], memory: Mapping[str, Any]) -> Fault:
    """A fault from its row. Raises ValidationError."""
    row = FaultSchema().load(told)
    name = FaultName(row["fault"])
    if "call" in row:
        row["from_call"] = row["until_call"] = row["call"]
    if "side" in row:
        row["side"] = Action(row["side"])
    rule = Rule(**{key: row[key] for key in row.keys() & (_RULE - {"fault", "call"})})
    return Fault(number, name, rule, _terms(row, KINDS[name]), told, memory)


def _terms(row: Mapping[str, Any], kind: Kind) -> Terms:
    found = {key: row[key] for key in row.keys() & _TERMS & (kind.needs | kind.takes)}
    if "pieces" in found:
        found["pieces"] = tuple(_piece(each) for each in found["pieces"])
    if "answer" in found:
        found["answer"] = Cancelled(found["answer"])
    if "status" in found:
        found["status"] = OrderStatus(found["status"])
    return Terms(**found)


def _piece(row: Mapping[str, Any]) -> Piece:
    ends = row.get("ends")
    return Piece(**{**row, "ends": None if ends is None else OrderStatus(ends)})
