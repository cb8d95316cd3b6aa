"""Alerts as TradingView and people write them: understood whole, or refused field by field."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Rejected
from core.ist import IST
from core.models import EODMonitorSignal, MarketDataSignal, Signal, SignalType
from core.webhook_parser import (
    Alert,
    PayloadInvalid,
    fingerprint,
    parse_alert,
    parse_alert_text,
)
from tests.fixtures.alert_payloads import BASE_ENTRY, EOD_MONITOR, EXIT, MARKET_DATA, PYRAMID

INSTRUMENTS = frozenset({"BANK_NIFTY", "GOLD_MINI"})
BAR_OPEN = datetime(2025, 11, 28, 10, 30, tzinfo=IST)
BAR_OPEN_MS = int(BAR_OPEN.timestamp()) * 1000

CONDITIONS: dict[str, bool] = EOD_MONITOR["conditions"]
INDICATORS: dict[str, float] = EOD_MONITOR["indicators"]
EVERY_TYPE = [BASE_ENTRY, PYRAMID, EXIT, MARKET_DATA, EOD_MONITOR]


def parsed(payload: object) -> Alert:
    return parse_alert(payload, INSTRUMENTS)


def signal_of(payload: dict[str, Any]) -> Signal:
    alert = parsed(payload)
    assert isinstance(alert, Signal)
    return alert


def errors_of(payload: object) -> dict[str, list[str]]:
    with pytest.raises(PayloadInvalid) as refused:
        parsed(payload)
    return refused.value.errors


def errors_of_text(body: bytes | str) -> dict[str, list[str]]:
    with pytest.raises(PayloadInvalid) as refused:
        parse_alert_text(body, INSTRUMENTS)
    return refused.value.errors


def without(payload: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if name not in names}


def test_a_flat_base_entry_is_read() -> None:
    assert signal_of(BASE_ENTRY) == Signal(
        type=SignalType.BASE_ENTRY,
        instrument="BANK_NIFTY",
        layer=1,
        price=Decimal(52000),
        stop=Decimal(51650),
        atr=Decimal(350),
        er=0.82,
        supertrend=Decimal(51650),
        bar_time=BAR_OPEN,
        roc=2.5,
        suggested_lots=5,
    )


def test_a_flat_exit_with_a_stop_of_zero_is_read() -> None:
    alert = signal_of(EXIT)
    assert (alert.type, alert.layer, alert.reason) == (SignalType.EXIT, None, "TOM_BASSO_STOP")
    assert alert.stop == 0


def test_an_exit_needs_no_indicators() -> None:
    alert = signal_of(without(EXIT, "stop", "atr", "er", "supertrend", "lots"))
    assert alert.price == 78000


def test_market_data_is_read() -> None:
    assert parsed(MARKET_DATA) == MarketDataSignal(
        "GOLD_MINI",
        Decimal(138000),
        Decimal(900),
        Decimal(136500),
        datetime(2025, 12, 29, 14, tzinfo=IST),
    )


def test_an_end_of_day_monitor_is_read() -> None:
    alert = parsed(EOD_MONITOR)
    assert isinstance(alert, EODMonitorSignal)
    assert alert.conditions == CONDITIONS
    assert alert.indicators == INDICATORS
    assert (alert.in_position, alert.pyramid_count) == (False, 0)


def test_a_nested_entry_reads_like_a_flat_one() -> None:
    moved = ("atr", "er", "supertrend", "roc", "stop")
    nested = without(BASE_ENTRY, *moved) | {
        "indicators": {name: BASE_ENTRY[name] for name in moved},
        "conditions": CONDITIONS,
        "position_status": {"in_position": True, "pyramid_count": 0, "position": "Long_6"},
    }
    assert parsed(nested) == parsed(BASE_ENTRY)


def test_a_flat_end_of_day_monitor_reads_like_a_nested_one() -> None:
    groups = ("conditions", "indicators", "position_status")
    flat = without(EOD_MONITOR, *groups)
    for group in groups:
        flat |= EOD_MONITOR[group]
    assert parsed(flat) == parsed(EOD_MONITOR)


def test_the_top_level_wins_over_a_group() -> None:
    assert signal_of(BASE_ENTRY | {"indicators": {"atr": 1}}).atr == 350


@pytest.mark.parametrize("payload", EVERY_TYPE, ids=lambda payload: payload["type"])
def test_the_type_is_read_in_any_case(payload: dict[str, Any]) -> None:
    assert parsed(payload | {"type": payload["type"].lower()}) == parsed(payload)


@pytest.mark.parametrize("payload", EVERY_TYPE, ids=lambda payload: payload["type"])
def test_unknown_fields_are_ignored(payload: dict[str, Any]) -> None:
    extra = {"note": "x", "sizing": {"lots": [1, None, {"deep": True}]}}
    assert parsed(payload | extra) == parsed(payload)


@pytest.mark.parametrize("payload", EVERY_TYPE, ids=lambda payload: payload["type"])
def test_text_and_decoded_payload_read_the_same(payload: dict[str, Any]) -> None:
    body = json.dumps(payload)
    assert parse_alert_text(body, INSTRUMENTS) == parsed(payload)
    assert parse_alert_text(b"\xef\xbb\xbf" + body.encode(), INSTRUMENTS) == parsed(payload)


@pytest.mark.parametrize("position", [f"Long_{layer}" for layer in range(1, 7)])
def test_every_layer_has_its_position(position: str) -> None:
    layer = int(position[-1])
    assert signal_of(PYRAMID | {"position": position}).layer == layer
    assert signal_of(EXIT | {"position": position}).layer == layer


@pytest.mark.parametrize("position", ["Long_0", "Long_7", "long_1", "Short_1", "", 1, ["Long_1"]])
def test_any_other_position_is_refused(position: object) -> None:
    assert errors_of(EXIT | {"position": position}) == {
        "position": ["must be ALL or Long_1 to Long_6"]
    }


def test_an_entry_for_all_positions_is_refused() -> None:
    assert errors_of(BASE_ENTRY | {"position": "ALL"}) == {"position": ["must be Long_1 to Long_6"]}


@pytest.mark.parametrize(
    ("payload", "names"),
    [
        (BASE_ENTRY, ["instrument", "price", "position", "stop", "atr", "er", "supertrend"]),
        (PYRAMID, ["instrument", "price", "position", "stop", "atr", "er", "supertrend"]),
        (EXIT, ["instrument", "price", "position", "reason"]),
        (MARKET_DATA, ["instrument", "price", "atr", "supertrend"]),
        (EOD_MONITOR, ["instrument", "price", *CONDITIONS, "er", "supertrend", "atr"]),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_an_empty_alert_is_told_every_field_it_needs(
    payload: dict[str, Any], names: list[str]
) -> None:
    errors = errors_of({"type": payload["type"]})
    assert errors == {name: ["is required"] for name in [*names, "timestamp"]}


def test_a_null_counts_as_not_given() -> None:
    assert signal_of(BASE_ENTRY | {"roc": None, "lots": None, "seq": None}).roc is None
    assert errors_of(BASE_ENTRY | {"stop": None}) == {"stop": ["is required"]}
    assert signal_of(EXIT | {"supertrend": None}).supertrend == 0


def test_an_exit_without_a_reason_is_refused() -> None:
    assert errors_of(EXIT | {"reason": " "}) == {"reason": ["must be text, not empty"]}


def test_a_long_reason_is_cut_rather_than_costing_the_exit() -> None:
    assert signal_of(EXIT | {"reason": "x" * 5000}).reason == "x" * 200


@pytest.mark.parametrize(
    ("given_time", "understood"),
    [
        ("2025-11-28T10:30:00", BAR_OPEN),
        ("2025-11-28 10:30", BAR_OPEN),
        ("2025-11-28T10:30:00+05:30", BAR_OPEN),
        ("2025-11-28T05:00:00Z", BAR_OPEN),
        ("2025-11-28T00:00:00-05:00", BAR_OPEN),
    ],
)
def test_a_naive_time_is_indian_and_an_offset_is_converted(
    given_time: str, understood: datetime
) -> None:
    """Chart time, UTC and server time were mixed once, and an exit came from the future."""
    alert = signal_of(EXIT | {"timestamp": given_time})
    assert alert.bar_time == understood
    assert alert.bar_time.tzinfo is IST


@pytest.mark.parametrize("years", [-10, 10])
def test_an_exit_is_never_refused_for_its_age(years: int) -> None:
    """An exit was refused as 16,186 s in the future; its age is nobody's business here."""
    alert = signal_of(EXIT | {"timestamp": f"{2025 + years}-11-28T10:30:00"})
    assert alert.bar_time.year == 2025 + years


def test_the_bar_time_wins_over_the_timestamp() -> None:
    """Order and age are judged by the bar, not by when an alert or its replay was sent."""
    late = BASE_ENTRY | {"bar_time": BAR_OPEN_MS, "timestamp": "2025-12-05T11:00:00"}
    assert signal_of(late).bar_time == BAR_OPEN
    assert signal_of(without(late, "timestamp")).bar_time == BAR_OPEN
    assert signal_of(late | {"bar_time": None}).bar_time.month == 12


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("timestamp", "2025-11-28", "must be an ISO 8601 time"),
        ("timestamp", "28/11/2025 10:30", "must be an ISO 8601 time"),
        ("timestamp", "{{time}}", "must be an ISO 8601 time"),
        ("timestamp", 1764306000000, "must be an ISO 8601 time"),
        ("timestamp", "0001-01-01T00:00:00+14:00", "is out of range"),
        ("timestamp", "9999-12-31T23:59:59-12:00", "is out of range"),
        ("bar_time", 0, "is out of range"),
        ("bar_time", -1, "must not be negative"),
        ("bar_time", BAR_OPEN_MS // 1000, "is out of range"),
        ("bar_time", BAR_OPEN_MS * 1000, "is out of range"),
        ("bar_time", BAR_OPEN_MS + 0.5, "must be a whole number"),
        ("bar_time", "2025-11-28T10:30:00", "must be a number, without quotes"),
        ("bar_time", True, "must be a number, without quotes"),
        ("price", 0, "must be above 0"),
        ("price", 0.00001, "must be above 0"),
        ("price", -1, "must not be negative"),
        ("price", "52000", "must be a number, without quotes"),
        ("price", True, "must be a number, without quotes"),
        ("price", [52000], "must be a number, without quotes"),
        ("price", {"value": 52000}, "must be a number, without quotes"),
        ("price", 10**9, "is out of range"),
        ("price", 10**400, "is out of range"),
        ("atr", -0.5, "must not be negative"),
        ("er", False, "must be a number, without quotes"),
        ("roc", "2.5", "must be a number, without quotes"),
        ("lots", 1.5, "must be a whole number"),
        ("lots", "5", "must be a number, without quotes"),
        ("seq", -1, "must not be negative"),
        ("reason", 5, "must be text, not empty"),
        ("reason", "stop\x00", "holds characters that cannot be stored"),
        ("reason", "stop\ud800", "holds characters that cannot be stored"),
    ],
)
def test_a_wrong_value_is_refused_by_its_field(name: str, value: object, problem: str) -> None:
    errors = errors_of(BASE_ENTRY | {name: value})
    assert list(errors) == [name]
    assert errors[name][0].startswith(problem)


def test_all_wrong_fields_are_named_at_once_and_nested_ones_by_their_path() -> None:
    wrong = without(EOD_MONITOR, "price") | {
        "instrument": "SILVER",
        "conditions": CONDITIONS | {"long_entry": 1},
        "indicators": without(INDICATORS, "atr") | {"er": "high"},
        "position_status": {"in_position": "no", "pyramid_count": -1},
    }
    assert set(errors_of(wrong)) == {
        *("price", "instrument", "conditions.long_entry", "indicators.er", "atr"),
        *("position_status.in_position", "position_status.pyramid_count"),
    }


@pytest.mark.parametrize("group", ["conditions", "indicators", "position_status"])
@pytest.mark.parametrize("value", [[], "x", 1, True])
def test_a_group_that_is_not_an_object_is_refused(group: str, value: object) -> None:
    assert errors_of(BASE_ENTRY | {group: value}) == {group: ["must be an object"]}


def test_an_unknown_instrument_is_refused_with_the_known_ones() -> None:
    assert errors_of(BASE_ENTRY | {"instrument": "SILVER_MINI"}) == {
        "instrument": ["'SILVER_MINI' is not one of BANK_NIFTY, GOLD_MINI"]
    }


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("name", ["price", "stop", "atr", "er", "supertrend", "roc", "lots"])
def test_a_bare_nan_in_the_json_is_refused_by_its_field(name: str, literal: str) -> None:
    """Pine's str.tostring(na) writes NaN, which passes every `<= 0` check it meets."""
    body = json.dumps(BASE_ENTRY | {name: "HERE"}).replace('"HERE"', literal)
    errors = errors_of_text(body)
    assert errors == {name: ["must be a finite number, not NaN or Infinity"]}


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), Decimal("NaN"), Decimal("-Infinity")]
)
def test_a_decoded_nan_is_refused_too_even_where_nobody_reads_it(value: object) -> None:
    assert list(errors_of(EXIT | {"sizing": {"kelly": [value]}})) == ["sizing.kelly[0]"]
    assert list(errors_of(EOD_MONITOR | {"indicators": {"rsi": value}})) == ["indicators.rsi"]


@pytest.mark.parametrize("payload", [[], [BASE_ENTRY], None, "BASE_ENTRY", 5, 1.5, True])
def test_a_payload_that_is_not_an_object_is_refused(payload: object) -> None:
    """A JSON list once made the handler answer 500."""
    assert errors_of(payload) == {"body": ["must be a JSON object"]}
    assert errors_of_text(json.dumps(payload)) == {"body": ["must be a JSON object"]}


@pytest.mark.parametrize("kind", [None, 5, True, "", "BUY", ["EXIT"], {"type": "EXIT"}])
def test_a_type_that_is_missing_or_unknown_is_refused(kind: object) -> None:
    """A null type once made the handler answer 500."""
    errors = errors_of(EXIT | {"type": kind})
    assert list(errors) == ["type"]
    assert "BASE_ENTRY, PYRAMID, EXIT, EOD_MONITOR, MARKET_DATA" in errors["type"][0]


@pytest.mark.parametrize("instrument", [5, True, 1.5, ["BANK_NIFTY"], {"name": "BANK_NIFTY"}, ""])
def test_an_instrument_that_is_not_text_is_refused(instrument: object) -> None:
    """A number as instrument once made the handler answer 500."""
    assert errors_of(EXIT | {"instrument": instrument})["instrument"] == ["must be text, not empty"]


def test_an_end_of_day_monitor_needs_no_position_status() -> None:
    """An indicator knows no position; the monitor once crashed on the missing block."""
    for bare in (without(EOD_MONITOR, "position_status"), EOD_MONITOR | {"position_status": None}):
        alert = parsed(bare)
        assert isinstance(alert, EODMonitorSignal)
        assert (alert.in_position, alert.pyramid_count) == (None, None)


def test_indicators_that_are_still_warming_up_may_be_null() -> None:
    alert = parsed(EOD_MONITOR | {"indicators": INDICATORS | {"rsi": None, "roc": None}})
    assert isinstance(alert, EODMonitorSignal)
    assert (alert.indicators["rsi"], alert.indicators["roc"]) == (None, None)


def test_a_hand_made_pyramid_is_told_both_fields_it_lacks() -> None:
    """A PYRAMID typed by hand had neither timestamp nor supertrend; both are named at once."""
    assert errors_of(without(PYRAMID, "timestamp", "supertrend")) == {
        "timestamp": ["is required"],
        "supertrend": ["is required"],
    }


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "is not JSON"),
        (b"BANK_NIFTY buy", "is not JSON"),
        (b"{'type': 'EXIT'}", "is not JSON"),
        (b'{"type":"EXIT"', "is not JSON"),
        (b"\xff\xfe{\x00}\x00", "is not UTF-8 text"),
        (b"[" * 200_000, "is nested too deeply"),
        (b'{"a":' * 200_000, "is nested too deeply"),
    ],
)
def test_a_body_that_is_not_json_is_refused(body: bytes, problem: str) -> None:
    (told,) = errors_of_text(body)["body"]
    assert told.startswith(problem)


@pytest.mark.parametrize("value", [BAR_OPEN, b"x", (1, 2), {1: 2}, {"\ud800": 1}])
def test_what_is_not_json_is_refused_even_where_nobody_reads_it(value: object) -> None:
    assert list(errors_of(EXIT | {"note": value})) == ["note"]


def test_a_payload_nested_past_any_use_is_refused() -> None:
    nested: dict[str, object] = {}
    for _ in range(5000):
        nested = {"a": nested}
    assert errors_of(EXIT | {"note": nested}) == {"note.a.a.a.a.a.a": ["is nested too deeply"]}


def test_a_key_given_twice_is_refused_wherever_it_stands() -> None:
    body = json.dumps(EXIT)[:-1] + ',"price":1,"indicators":{"atr":1}}'
    assert errors_of_text(body) == {"price": ["is given twice"]}
    inner = json.dumps(without(EXIT, "atr"))[:-1] + ',"indicators":{"atr":1,"atr":2}}'
    assert errors_of_text(inner) == {"atr": ["is given twice"]}


@pytest.mark.parametrize("digits", ["9" * 30, "9" * 6000, "1e400", "1e99999999999999999999"])
@pytest.mark.parametrize("name", ["price", "seq", "unread"])
def test_a_huge_number_is_refused_by_its_field(name: str, digits: str) -> None:
    body = json.dumps(BASE_ENTRY | {name: "HERE"}).replace('"HERE"', digits)
    assert list(errors_of_text(body)) == [name]


def test_prices_are_exact_at_four_decimals_without_binary_dust() -> None:
    body = json.dumps(BASE_ENTRY).replace("52000", "52649.700000000004")
    dusty = parse_alert_text(body, INSTRUMENTS)
    assert dusty.price == Decimal("52649.7")
    assert signal_of(BASE_ENTRY | {"price": 0.1 + 0.2, "stop": 0.1}).price == Decimal("0.3")
    assert str(signal_of(BASE_ENTRY | {"price": 78000.05}).price) == "78000.05"


@pytest.mark.parametrize("stop", [52000, 52000.0, 60000])
@pytest.mark.parametrize("alert", [BASE_ENTRY, PYRAMID], ids=["BASE_ENTRY", "PYRAMID"])
def test_an_entry_whose_stop_is_not_below_its_price_names_the_stop(
    alert: dict[str, Any], stop: float
) -> None:
    assert errors_of(alert | {"stop": stop}) == {"stop": ["must be below price 52000"]}


def test_a_whole_number_may_be_written_with_a_point() -> None:
    alert = signal_of(BASE_ENTRY | {"lots": 5.0, "seq": 17.0, "bar_time": float(BAR_OPEN_MS)})
    assert (alert.suggested_lots, alert.seq, alert.bar_time) == (5, 17, BAR_OPEN)


def test_the_error_is_a_rejection_with_a_stable_code_and_a_sentence() -> None:
    with pytest.raises(PayloadInvalid) as refused:
        parsed(without(PYRAMID, "timestamp", "supertrend"))
    assert isinstance(refused.value, Rejected)
    assert refused.value.code == "INVALID_PAYLOAD"
    assert str(refused.value) == (
        "the alert cannot be read: timestamp is required; supertrend is required"
    )


def test_a_fingerprint_is_made_of_the_alerts_own_content() -> None:
    assert fingerprint(parsed(EXIT)) == "GOLD_MINI/EXIT/ALL/2025-11-28T15:00:00+05:30"
    again = EXIT | {"timestamp": "2025-11-28T09:30:00Z", "price": 1, "lots": 9, "reason": "other"}
    assert fingerprint(parsed(again)) == fingerprint(parsed(EXIT))


@pytest.mark.parametrize(
    "other",
    [
        EXIT | {"instrument": "BANK_NIFTY"},
        EXIT | {"position": "Long_1"},
        EXIT | {"timestamp": "2025-11-28T15:00:01"},
        EXIT | {"type": "MARKET_DATA"},
    ],
)
def test_another_instrument_type_position_or_bar_is_another_alert(other: dict[str, Any]) -> None:
    assert fingerprint(parsed(other)) != fingerprint(parsed(EXIT))


def test_the_monitors_of_one_bar_are_told_apart_by_their_sequence() -> None:
    first = EOD_MONITOR | {"bar_time": BAR_OPEN_MS, "seq": 41}
    assert fingerprint(parsed(first)) == fingerprint(parsed(first | {"price": 52010}))
    assert fingerprint(parsed(first)) != fingerprint(parsed(first | {"seq": 42}))


def test_a_fingerprint_does_not_depend_on_the_zone_a_time_is_kept_in() -> None:
    alert = parsed(MARKET_DATA)
    assert isinstance(alert, MarketDataSignal)
    elsewhere = MarketDataSignal(
        alert.instrument,
        alert.price,
        alert.atr,
        alert.supertrend,
        alert.bar_time.astimezone(UTC),
    )
    assert fingerprint(elsewhere) == fingerprint(alert)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["EXIT", "BANK_NIFTY", "Long_1", "ALL", "2025-11-28T10:30:00", 10**30])
)
FIELD_NAMES = st.sampled_from(sorted({name for payload in EVERY_TYPE for name in payload}))
NAMES = FIELD_NAMES | st.sampled_from(sorted(INDICATORS | CONDITIONS)) | st.text(max_size=6)
JSON_LIKE = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=12,
)
CHANGED = st.builds(
    lambda payload, changes: payload | changes,
    st.sampled_from(EVERY_TYPE),
    st.dictionaries(NAMES, JSON_LIKE, max_size=3),
)


@given(JSON_LIKE | CHANGED)
def test_no_payload_fails_in_any_other_way(payload: object) -> None:
    with suppress(PayloadInvalid):
        fingerprint(parsed(payload))


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_no_body_fails_in_any_other_way(body: bytes | str) -> None:
    with suppress(PayloadInvalid):
        parse_alert_text(body, INSTRUMENTS)


@given(CHANGED, st.integers(0, 400), st.binary(max_size=3))
def test_no_damaged_alert_fails_in_any_other_way(
    payload: dict[str, Any], place: int, noise: bytes
) -> None:
    body = json.dumps(payload).encode()
    with suppress(PayloadInvalid):
        parse_alert_text(body[:place] + noise + body[place + 1 :], INSTRUMENTS)


@given(CHANGED)
def test_what_is_accepted_is_finite_aware_and_known(payload: dict[str, Any]) -> None:
    with suppress(PayloadInvalid):
        alert = parsed(payload)
        assert alert.price.is_finite()
        assert alert.price > 0
        assert alert.instrument in INSTRUMENTS
        assert alert.bar_time.tzinfo is IST
        if isinstance(alert, Signal):
            assert alert.layer in range(1, 7) or alert.type is SignalType.EXIT
            assert min(alert.stop, alert.atr, alert.supertrend) >= 0
