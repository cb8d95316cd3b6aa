"""No secret stands in what is logged, whatever it is wrapped in."""

import json
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.redaction import REMOVED, redact, redact_text, register_secret

SECRET = "q7Zk2Lm9Xw4Rt8"  # noqa: S105 - of this test only
KNOWN = "pa/ss w0rd\"and'more\\"

NASTY = [
    f"POST /webhook/{SECRET} HTTP/1.1",
    f"http://127.0.0.1:5002/webhook/{SECRET}?x=1",
    f"%2Fwebhook%2F{SECRET}",
    f'{{"apikey": "{SECRET}", "symbol": "GOLDM"}}',
    f"{{'apikey': '{SECRET}'}}",
    json.dumps(json.dumps({"apikey": SECRET})),
    json.dumps(json.dumps(json.dumps({"secret": SECRET}))),
    f'{{"apikey":"{SECRET}',
    f"apikey={SECRET}&symbol=GOLDM",
    f"api_key: {SECRET}",
    f"OPENALGO_API_KEY={SECRET}",
    f"?access_token={SECRET}#top",
    f"X-Webhook-Token: {SECRET}",
    f"('Authorization', 'Bearer {SECRET}')",
    f"Authorization: Bearer {SECRET}",
    f"authorization=Basic {SECRET}==",
    f"got bearer {SECRET} from a caller",
    f"Set-Cookie: pm={SECRET}; Path=/",
    f"Cookie: a=b; pm={SECRET}",
    f"postgresql://pm:{SECRET}@127.0.0.1:5432/pm",
    f"redis://:{SECRET}@localhost/0",
    f"https://pm:a@b:{SECRET}@host/x",
    f"host=/tmp user=pm password={SECRET} dbname=pm",
    f"password='with a space and {SECRET}'",
    f'could not read "{{\\"secret\\": \\"{SECRET}\\"}}"',
    f'"secret" : "a\\"{SECRET}"',
]


@pytest.mark.parametrize("text", NASTY)
def test_a_secret_is_removed_by_the_name_it_goes_under(text: str) -> None:
    cleaned = redact_text(text)
    assert SECRET not in cleaned
    assert REMOVED in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "BANK_NIFTY: 5 lots bought at 52000.00, limited by risk",
        "no token was given",
        "Listening at: http://127.0.0.1:5002 (7401)",
        "GET /signals/17 took 3 ms",
        "a@b.in wrote: stop at 51650",
    ],
)
def test_what_is_no_secret_stays_as_it_was(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "text",
    [f"<{KNOWN}>", f"/x/{quote(KNOWN)}", f"?x={quote(KNOWN, safe='')}", json.dumps([KNOWN])],
)
def test_a_known_secret_is_removed_in_every_form(text: str) -> None:
    register_secret(KNOWN)
    assert redact_text(text).count(REMOVED) == 1
    assert "w0rd" not in redact_text(text)


def test_of_two_known_secrets_the_longer_is_removed_whole() -> None:
    register_secret("Hj4kPq")
    register_secret("Hj4kPqRs7t")
    assert redact_text("a Hj4kPqRs7t b") == f"a {REMOVED} b"


def test_a_very_short_secret_does_not_blot_out_words() -> None:
    register_secret("lot")
    assert redact_text("5 lots") == "5 lots"


def test_secrets_are_removed_at_any_depth() -> None:
    class Words:
        def __str__(self) -> str:
            return f"token={SECRET}"

    value = {
        "headers": [("Authorization", f"Bearer {SECRET}")],
        "body": {"ApiKey": {"inner": SECRET}, "list": [{"db_password": SECRET}]},
        "thing": Words(),
        "bytes": f"secret={SECRET}".encode(),
        "set": {f"/webhook/{SECRET}"},
        f"/webhook/{SECRET}": 1,
        "deep": {"a": {"b": {"c": {"d": {"e": {"token": SECRET}}}}}},
    }
    assert SECRET not in json.dumps(redact(value))


def test_values_stay_what_json_can_hold() -> None:
    value = {"lots": 5, "er": 0.8, "nan": float("nan"), "none": None, "token": None, "ok": True}
    assert redact(value) == value | {"nan": "nan"}


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_surroundings_bring_a_known_secret_back(before: str, after: str) -> None:
    register_secret(SECRET)
    assert SECRET not in redact_text(f"{before}{SECRET}{after}")


@pytest.mark.parametrize(
    "piece",
    ["a", "://:", "token", '"token', "apikey\\", "token:", "'", "cookie", "/webhook/", "://a:b"],
)
def test_a_text_made_to_be_slow_is_not(piece: str) -> None:
    text = piece * (64 * 1024 // len(piece))
    began_s = time.thread_time()
    redact_text(text)
    assert time.thread_time() - began_s < 1.0
