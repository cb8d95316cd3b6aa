"""Every payload there is and many that must not be, against the whole service and its logs."""

import json
import logging
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from live.api.webhook import SECRET_HEADER
from tests.fixtures.alert_payloads import (
    BASE_ENTRY,
    EOD_MONITOR,
    EXIT,
    MARKET_DATA,
    PYRAMID,
    flat,
    nested,
)
from tests.fixtures.live_service import GOLD, OPERATOR_TOKEN, SECRET, Desk, open_desk

MARK = "a-mark-in-every-body"
GOOD = (BASE_ENTRY, PYRAMID, EXIT, EOD_MONITOR, MARKET_DATA)
ENTRY = json.dumps(BASE_ENTRY | {"note": MARK})


def changed(**fields: object) -> str:
    return json.dumps(BASE_ENTRY | {"note": MARK} | fields)


ANY_FIELD: set[str] = set()

# What is posted, and the fields that the answer names.
BAD: dict[str, tuple[str | bytes, set[str]]] = {
    "NaN": (ENTRY.replace("2.5", "NaN"), {"roc"}),
    "Infinity": (ENTRY.replace("0.82", "Infinity"), {"er"}),
    "-Infinity": (ENTRY.replace("350", "-Infinity"), {"atr"}),
    "NaN in a group": (json.dumps(nested(BASE_ENTRY)).replace("2.5", "NaN"), {"indicators.roc"}),
    "a huge number": (ENTRY.replace("52000", "9" * 400), {"price"}),
    "a huge exponent": (ENTRY.replace("52000", "1e400"), {"price"}),
    "a list": (f"[{ENTRY}]", {"body"}),
    "a bare word": ("true", {"body"}),
    "a null type": (changed(type=None), {"type"}),
    "an unknown type": (changed(type="SHORT_ENTRY"), {"type"}),
    "a type in a list": (changed(type=["EXIT"]), {"type"}),
    "a number as instrument": (changed(instrument=7), {"instrument"}),
    "an unknown instrument": (changed(instrument="SILVER_MICRO"), {"instrument"}),
    "numbers as text": (changed(price="52000", er="0.82"), {"price", "er"}),
    "a switch as number": (changed(stop=True), {"stop"}),
    "an object as price": (changed(price={}), {"price"}),
    "a stop above its price": (changed(stop=52_500), {"stop"}),
    "a stop at its price": (changed(stop=52_000), {"stop"}),
    "an entry of ALL": (changed(position="ALL"), {"position"}),
    "an entry of no layer": (changed(position="Long_7"), {"position"}),
    "a price of zero": (changed(price=0, stop=0), {"price"}),
    "a time that is none": (changed(timestamp="yesterday"), {"timestamp"}),
    "deep nesting": (changed(deep=json.loads("[" * 60 + "]" * 60)), ANY_FIELD),
    "very deep nesting": ("[" * 30_000, {"body"}),
    "broken UTF-8": (ENTRY.encode() + b"\xff", {"body"}),
    "an empty body": ("", {"body"}),
    "truncated": (ENTRY[:-20], {"body"}),
    "two documents": (ENTRY + ENTRY, {"body"}),
    "a key twice": (ENTRY[:-1] + ', "stop": 1}', {"stop"}),
    "fields missing": (json.dumps({"type": "BASE_ENTRY", "instrument": GOLD, "note": MARK}), {
        "price", "stop", "atr", "er", "supertrend", "position", "timestamp"}),
}  # fmt: skip


def post(desk: Desk, body: str | bytes, **options: Any) -> TestResponse:
    headers = {SECRET_HEADER: SECRET} | options.pop("headers", {})
    return desk.client.post("/webhook", data=body, headers=headers, **options)


def test_every_payload_is_taken_flat_and_nested(database_url: str, open_folder: Path) -> None:
    with open_desk(database_url, open_folder) as desk:
        now = desk.clock.now()
        answers = []
        for payload in GOOD:
            for place, form in enumerate((flat, nested)):
                body = form(payload) | {"timestamp": _second(now, place)}
                response = post(desk, json.dumps(body))
                assert response.status_code in (200, 202), response.get_data(as_text=True)
                answers.append(response.get_json())
        for each in answers:
            desk.end_of(each["signal_id"])
        assert len({each["signal_id"] for each in answers}) == 10
        rows = desk.store.signals(100)
        assert {str(row.status) for row in rows} <= {"executed", "blocked", "failed", "expired"}


def _second(now: datetime, place: int) -> str:
    return now.replace(microsecond=place).isoformat()


def test_no_bad_payload_is_stored_nor_shown_in_the_log(
    database_url: str, open_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Incidents 7, 8 and 59: what cannot be read is told by its field, and leaks nothing."""
    caplog.set_level(logging.DEBUG)
    with open_desk(database_url, open_folder) as desk:
        for name, (body, fields) in BAD.items():
            response = post(desk, body)
            answer = response.get_json()
            assert (response.status_code, answer["code"]) == (400, "INVALID_PAYLOAD"), name
            assert all(answer["errors"].values()), name
            assert fields in (set(answer["errors"]), ANY_FIELD), (name, answer)
            assert answer["status"] == "rejected", name
        assert post(desk, ENTRY.ljust(1024 * 1024)).status_code == 413
        assert post(desk, ENTRY, headers={SECRET_HEADER: "not this one"}).status_code == 403
        assert desk.client.post("/webhook", data=ENTRY).status_code == 401
        assert desk.client.post(f"/webhook/{SECRET[:-1]}", data=ENTRY).status_code == 403
        assert (desk.store.signals(10), desk.sent()) == ([], [])
        assert post(desk, ENTRY, content_type="image/png").status_code in (200, 202)
        assert len(desk.store.signals(10)) == 1
        apikey = desk.paper.apikey
    written = caplog.text + "".join(map(repr, (record.__dict__ for record in caplog.records)))
    for secret in (SECRET, SECRET[:-1], OPERATOR_TOKEN, apikey, "not this one", MARK):
        assert secret not in written
