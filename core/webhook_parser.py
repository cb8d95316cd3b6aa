"""An alert is understood whole or refused by the name of each field that is wrong; nothing between.

Whatever arrives, the only error that leaves here is `PayloadInvalid`. A null counts as not given.
Values are read at the top level first (the flat form), then in `indicators`, `conditions` and
`position_status` (the nested one). Numbers are JSON numbers; text and switches are not numbers.
An entry's stop is below its price; further ranges (a sane ATR) are `SignalValidator`'s to judge.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, validates_schema

from core.alert_fields import (
    CountField,
    EpochField,
    PositionField,
    PriceField,
    RatioField,
    SwitchField,
    TextField,
    TimestampField,
    TradedPriceField,
)
from core.errors import Rejected
from core.ist import as_ist
from core.models import EODMonitorSignal, MarketDataSignal, Signal, SignalType, layer_name

Alert = Signal | MarketDataSignal | EODMonitorSignal
FieldErrors = dict[str, list[str]]

CONDITIONS = (
    "rsi_condition",
    "ema_condition",
    "dc_condition",
    "adx_condition",
    "er_condition",
    "st_condition",
    "not_doji",
    "long_entry",
    "long_exit",
)
INDICATORS = ("rsi", "ema", "dc_upper", "adx", "er", "supertrend", "atr", "roc")
_GROUPS = {
    "indicators": (*INDICATORS, "stop"),
    "conditions": CONDITIONS,
    "position_status": ("in_position", "pyramid_count"),
}
_LARGEST_POWER_OF_TEN = 17
_DEEPEST = 6


class PayloadInvalid(Rejected):
    """An alert that cannot be read. `errors` holds, by field, what is wrong with it."""

    def __init__(self, errors: FieldErrors) -> None:
        told = "; ".join(f"{field} {', '.join(found)}" for field, found in errors.items())
        super().__init__("INVALID_PAYLOAD", f"the alert cannot be read: {told}")
        self.errors = errors


def parse_alert_text(body: bytes | str, instruments: Collection[str]) -> Alert:
    """The alert in a request's body, whatever its content type. Raises PayloadInvalid only."""
    try:
        text = body.decode("utf-8-sig") if isinstance(body, bytes) else body
        payload = json.loads(
            text,
            parse_float=_exact,
            parse_int=_exact_integer,
            parse_constant=Decimal,
            object_pairs_hook=_each_key_once,
        )
    except UnicodeDecodeError as error:
        raise PayloadInvalid({"body": ["is not UTF-8 text"]}) from error
    except json.JSONDecodeError as error:
        problem = f"is not JSON: {error.msg} at character {error.pos}"
        raise PayloadInvalid({"body": [problem]}) from error
    except RecursionError as error:
        raise PayloadInvalid({"body": ["is nested too deeply"]}) from error
    return parse_alert(payload, instruments)


def parse_alert(payload: object, instruments: Collection[str]) -> Alert:
    """The alert in a decoded payload, for one of `instruments`. Raises PayloadInvalid only."""
    if not isinstance(payload, dict):
        raise PayloadInvalid({"body": ["must be a JSON object"]})
    _refuse_what_cannot_be_kept(payload)
    kind = _kind(payload.get("type"))
    values, paths = _lifted(payload)
    schema = _SCHEMAS[kind]
    errors: FieldErrors = {}
    loaded: Any = {}
    try:
        loaded = schema.load(values, partial=("timestamp",) if "bar_time" in values else None)
    except ValidationError as error:
        errors = {paths.get(name, name): found for name, found in error.messages_dict.items()}
    if "instrument" not in errors and values["instrument"] not in instruments:
        known = ", ".join(sorted(instruments))
        errors["instrument"] = [f"{values['instrument'][:40]!r} is not one of {known}"]
    if errors:
        raise PayloadInvalid(errors)
    return _alert(kind, loaded)


def fingerprint(alert: Alert) -> str:
    """What makes two deliveries the same alert: its own content, never its arrival.

    Instrument, type, position and bar time; for the end-of-day monitor, which reports many times
    in one bar, its sequence number stands in the position's place, or without one the time at
    which it was sent in the bar's.
    """
    moment = alert.bar_time
    match alert:
        case Signal():
            kind, which = alert.type, layer_name(alert.layer)
        case MarketDataSignal():
            kind, which = SignalType.MARKET_DATA, "-"
        case EODMonitorSignal():
            kind, which = SignalType.EOD_MONITOR, "-" if alert.seq is None else str(alert.seq)
            if alert.seq is None and alert.sent_at is not None:
                moment = alert.sent_at
    return "/".join((alert.instrument, kind, which, as_ist(moment).isoformat()))


def kind_of(alert: Alert) -> SignalType:
    """What an alert asks for."""
    match alert:
        case Signal():
            return alert.type
        case MarketDataSignal():
            return SignalType.MARKET_DATA
        case EODMonitorSignal():
            return SignalType.EOD_MONITOR


def _exact(literal: str) -> Decimal:
    try:
        return Decimal(literal)
    except InvalidOperation:  # an exponent past what a Decimal holds
        return Decimal("Infinity")


def _exact_integer(literal: str) -> int | Decimal:
    """Long digits stay a Decimal: an int of thousands of digits cannot even be printed."""
    return int(literal) if len(literal) <= _LARGEST_POWER_OF_TEN else _exact(literal)


def _each_key_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        times = Counter(name for name, _ in pairs)
        raise PayloadInvalid(
            {ascii(name)[1:-1]: ["is given twice"] for name, count in times.items() if count > 1}
        )
    return found


def _refuse_what_cannot_be_kept(payload: dict[Any, Any]) -> None:
    """Refuse what a journal cannot store or a comparison cannot judge, ignored fields included."""
    errors: FieldErrors = {}
    waiting: list[tuple[str, object, int]] = [("", payload, 0)]
    while waiting:
        path, value, depth = waiting.pop()
        problem = "is nested too deeply" if depth > _DEEPEST else _problem(value)
        if problem:
            errors[ascii(path)[1:-1] or "body"] = [problem]
        elif isinstance(value, dict):
            waiting += [
                (f"{path}.{name}" if path else name, inner, depth + 1)
                for name, inner in value.items()
            ]
        elif isinstance(value, list):
            waiting += [(f"{path}[{place}]", inner, depth + 1) for place, inner in enumerate(value)]
    if errors:
        raise PayloadInvalid(errors)


def _problem(value: object) -> str | None:
    match value:
        case None | bool():
            return None
        case str():
            return None if _is_storable(value) else "holds characters that cannot be stored"
        case int() | float() | Decimal():
            number = Decimal(value)
            if not number.is_finite():
                return "must be a finite number, not NaN or Infinity"
            return "is out of range" if number.adjusted() > _LARGEST_POWER_OF_TEN else None
        case dict():
            names_fit = all(isinstance(name, str) and _is_storable(name) for name in value)
            return None if names_fit else "holds a name that cannot be stored"
        case list():
            return None
        case _:
            return "is not JSON"


def _is_storable(text: str) -> bool:
    """PostgreSQL's text takes neither NUL nor half a surrogate pair."""
    return "\x00" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _kind(value: object) -> SignalType:
    if isinstance(value, str) and value.strip().upper() in SignalType.__members__:
        return SignalType[value.strip().upper()]
    known = ", ".join(SignalType)
    problem = "is required" if value is None else "is not known"
    raise PayloadInvalid({"type": [f"{problem}; it is one of {known}"]})


def _lifted(payload: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """All given values by bare name, and for those from a group the path they were found at."""
    values = {name: value for name, value in payload.items() if value is not None}
    paths: dict[str, str] = {}
    for group, names in _GROUPS.items():
        inner = values.get(group, {})
        if not isinstance(inner, dict):
            raise PayloadInvalid({group: ["must be an object"]})
        for name in names:
            if name not in values and inner.get(name) is not None:
                values[name] = inner[name]
                paths[name] = f"{group}.{name}"
    return values, paths


class _AlertSchema(Schema):
    """What every alert carries; unknown fields are left alone."""

    class Meta:
        unknown = EXCLUDE

    instrument = TextField(required=True)
    price = TradedPriceField(required=True)
    timestamp = TimestampField(required=True)
    bar_time = EpochField()
    seq = CountField(load_default=None)


class _EntrySchema(_AlertSchema):
    position = PositionField(all_allowed=False)
    stop = PriceField(required=True)
    atr = PriceField(required=True)
    er = RatioField(required=True)
    supertrend = PriceField(required=True)
    roc = RatioField(load_default=None)
    lots = CountField(load_default=None)
    reason = TextField(load_default="")

    @validates_schema(skip_on_field_errors=True)
    def _stop_is_below_price(self, data: Mapping[str, Any], **_: Any) -> None:
        if data["stop"] >= data["price"]:
            raise ValidationError(f"must be below price {data['price']}", "stop")


class _ExitSchema(_AlertSchema):
    position = PositionField(all_allowed=True)
    stop = PriceField(load_default=Decimal(0))
    atr = PriceField(load_default=Decimal(0))
    er = RatioField(load_default=0.0)
    supertrend = PriceField(load_default=Decimal(0))
    roc = RatioField(load_default=None)
    lots = CountField(load_default=None)
    reason = TextField(required=True)


class _MarketDataSchema(_AlertSchema):
    atr = PriceField(required=True)
    supertrend = PriceField(required=True)


class _EODMonitorSchema(_AlertSchema):
    """The nine conditions, and the three indicators that an order at the close is made from."""

    rsi_condition = SwitchField(required=True)
    ema_condition = SwitchField(required=True)
    dc_condition = SwitchField(required=True)
    adx_condition = SwitchField(required=True)
    er_condition = SwitchField(required=True)
    st_condition = SwitchField(required=True)
    not_doji = SwitchField(required=True)
    long_entry = SwitchField(required=True)
    long_exit = SwitchField(required=True)
    rsi = RatioField(load_default=None)
    ema = RatioField(load_default=None)
    dc_upper = RatioField(load_default=None)
    adx = RatioField(load_default=None)
    er = RatioField(required=True)
    supertrend = RatioField(required=True)
    atr = RatioField(required=True)
    roc = RatioField(load_default=None)
    in_position = SwitchField(load_default=None)
    pyramid_count = CountField(load_default=None)


_SCHEMAS: dict[SignalType, Schema] = {
    SignalType.BASE_ENTRY: _EntrySchema(),
    SignalType.PYRAMID: _EntrySchema(),
    SignalType.EXIT: _ExitSchema(),
    SignalType.EOD_MONITOR: _EODMonitorSchema(),
    SignalType.MARKET_DATA: _MarketDataSchema(),
}


def _alert(kind: SignalType, loaded: Mapping[str, Any]) -> Alert:
    bar_time: datetime = loaded.get("bar_time") or loaded["timestamp"]
    instrument, price, seq = loaded["instrument"], loaded["price"], loaded["seq"]
    if kind is SignalType.MARKET_DATA:
        return MarketDataSignal(
            instrument, price, loaded["atr"], loaded["supertrend"], bar_time, seq
        )
    if kind is SignalType.EOD_MONITOR:
        return EODMonitorSignal(
            instrument=instrument,
            price=price,
            conditions={name: loaded[name] for name in CONDITIONS},
            indicators={name: loaded[name] for name in INDICATORS},
            bar_time=bar_time,
            in_position=loaded["in_position"],
            pyramid_count=loaded["pyramid_count"],
            seq=seq,
            sent_at=loaded.get("timestamp"),
        )
    return Signal(
        type=kind,
        instrument=instrument,
        layer=loaded["position"],
        price=price,
        stop=loaded["stop"],
        atr=loaded["atr"],
        er=loaded["er"],
        supertrend=loaded["supertrend"],
        bar_time=bar_time,
        roc=loaded["roc"],
        seq=seq,
        suggested_lots=loaded["lots"],
        reason=loaded["reason"],
    )
