"""The client on a real wire: what it sends, what it believes, and what it never does twice."""

import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.messages import Action, GatewayMode, MarginLeg, PlacedOrder
from brokers.openalgo_client import OpenAlgoClient
from brokers.openalgo_errors import AnswerUnknown, RefusalCode, WrongModeOutcome
from brokers.openalgo_http import GatewayAddress, GatewayHttp
from brokers.port import Broker
from core.errors import ConfigInvalid, OutcomeUnknown, PortfolioError, Rejected, Retryable
from tests.fixtures.gateway_calls import (
    CALLS,
    GOLD,
    GOLD_SYMBOL,
    KEY,
    ORDER,
    ORDER_CALLS,
    READ_CALLS,
    client_of,
    scripted,
)
from tests.fixtures.hand_clock import HandClock
from tests.fixtures.scripted_gateway import (
    Call,
    Reply,
    ScriptedGateway,
    Trouble,
    error,
    running_gateway,
    success,
)

ACCEPTED = success(orderid="26112231598297", mode="analyze")


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    """A gateway whose script the test sets."""
    with running_gateway(scripted({})) as running:
        yield running


@pytest.fixture
def client(gateway: ScriptedGateway) -> Iterator[OpenAlgoClient]:
    """A client of `gateway`, in analyze mode."""
    with client_of(gateway.url) as made:
        yield made


def test_the_client_is_a_broker(client: OpenAlgoClient) -> None:
    broker: Broker = client
    assert broker is client


def test_an_order_carries_every_field_and_nothing_else(
    gateway: ScriptedGateway, client: OpenAlgoClient
) -> None:
    gateway.script = scripted({"placeorder": ACCEPTED})
    placed = client.place_order(replace(ORDER, price=Decimal("128001")))
    assert placed == PlacedOrder("26112231598297", GatewayMode.ANALYZE)
    (call,) = gateway.called("placeorder")
    assert call.content_type == "application/json"
    assert call.fields == {
        "apikey": KEY,
        "strategy": "PM-7f3a",
        "exchange": "MCX",
        "symbol": "GOLDM04DEC26FUT",
        "action": "BUY",
        "quantity": 2,
        "pricetype": "LIMIT",
        "product": "NRML",
        "price": 128001,
        "trigger_price": 0,
        "disclosed_quantity": 0,
    }


def test_a_modification_names_every_field_of_the_order_as_it_shall_be(
    gateway: ScriptedGateway, client: OpenAlgoClient
) -> None:
    gateway.script = scripted({"modifyorder": success(orderid="7", mode="analyze")})
    client.modify_order("7", ORDER)
    (call,) = gateway.called("modifyorder")
    assert call.fields["orderid"] == "7"
    assert set(call.fields) == {
        *("apikey", "strategy", "exchange", "symbol", "orderid", "action", "quantity"),
        *("pricetype", "product", "price", "trigger_price", "disclosed_quantity"),
    }


def test_margin_is_asked_with_quantities_as_text(
    gateway: ScriptedGateway, client: OpenAlgoClient
) -> None:
    gateway.script = scripted({"margin": success(data={"total_margin_required": 128000.0})})
    assert client.margin([MarginLeg(GOLD, Action.BUY, 1)]).total_inr == 128000
    (call,) = gateway.called("margin")
    assert call.fields["positions"][0]["quantity"] == "1"
    leg = MarginLeg(GOLD, Action.BUY, 1)
    assert client.margin([leg] * 50).total_inr == 128000
    for unasked in ([], [leg] * 51):
        with pytest.raises(Rejected):
            client.margin(unasked)
    assert len(gateway.called("margin")) == 2


@pytest.mark.parametrize("name", ORDER_CALLS)
@pytest.mark.parametrize(
    "outcome", [*Trouble, error(500, "Failed to place order due to internal error")]
)
def test_an_order_call_without_a_clear_answer_is_unknown_and_is_made_once(
    gateway: ScriptedGateway, name: str, outcome: Reply | Trouble
) -> None:
    gateway.script = scripted({name: outcome})
    order_s = 0.1 if outcome is Trouble.SILENCE else 10
    with client_of(gateway.url, order_s=order_s) as client, pytest.raises(OutcomeUnknown):
        ORDER_CALLS[name](client)
    assert len(gateway.called(name)) == 1


@pytest.mark.parametrize("name", ORDER_CALLS)
def test_the_gateways_own_limit_is_not_retried_here_but_may_be(
    gateway: ScriptedGateway, client: OpenAlgoClient, name: str
) -> None:
    gateway.script = scripted({name: Reply(429, {"message": "10 per 1 second"})})
    with pytest.raises(Retryable):
        ORDER_CALLS[name](client)
    assert len(gateway.called(name)) == 1


@pytest.mark.parametrize("name", CALLS)
def test_a_refused_connection_sent_nothing(name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with client_of(url) as client, pytest.raises(Retryable):
            CALLS[name](client)


def test_an_order_to_a_gateway_that_has_just_gone_is_known_not_to_be_sent() -> None:
    with running_gateway(scripted({})) as gateway, client_of(gateway.url) as client:
        client.symbol(GOLD)
        gateway.stop()
        with pytest.raises(Retryable, match="placeorder: no connection"):
            client.place_order(ORDER)


@pytest.mark.parametrize("trouble", [Trouble.DROP, Trouble.CUT, Trouble.GARBAGE])
def test_a_read_is_asked_a_second_time_when_the_connection_breaks(
    gateway: ScriptedGateway, client: OpenAlgoClient, trouble: Trouble
) -> None:
    pong = success(data={"broker": "zerodha"})
    replies: Iterator[Reply | Trouble] = iter([trouble, pong, trouble, trouble])
    gateway.script = lambda _: next(replies)
    assert client.ping() == "zerodha"
    with pytest.raises(Retryable):
        client.ping()
    assert len(gateway.called("ping")) == 4


def test_a_read_that_is_not_answered_in_time_is_given_back_at_once(
    gateway: ScriptedGateway,
) -> None:
    gateway.script = lambda _: Trouble.SILENCE
    with client_of(gateway.url, read_s=0.1) as client, pytest.raises(Retryable):
        client.positionbook()
    assert len(gateway.calls) == 1


def test_reads_keep_their_connection_and_each_order_has_its_own(
    gateway: ScriptedGateway, client: OpenAlgoClient
) -> None:
    gateway.script = scripted({"ping": success(data={"broker": "x"}), "placeorder": ACCEPTED})
    for _ in range(2):
        client.ping()
        client.place_order(ORDER)
    reads = {call.connection for call in gateway.calls if call.endpoint != "placeorder"}
    orders = {call.connection for call in gateway.called("placeorder")}
    assert (len(reads), len(orders), len(reads & orders)) == (1, 2, 0)


@pytest.mark.parametrize("location", ["/elsewhere", "http://[bad", "http://h\u00e9:\u00ff"])
def test_a_redirect_is_not_followed_and_tells_nothing(
    gateway: ScriptedGateway, client: OpenAlgoClient, location: str
) -> None:
    moved = Reply(307, {"status": "success", "orderid": "7"}, f"Location: {location}")
    gateway.script = scripted({"placeorder": moved, "funds": moved})
    with pytest.raises(OutcomeUnknown):
        client.place_order(ORDER)
    with pytest.raises(Retryable):
        client.funds()
    assert {call.endpoint for call in gateway.calls} == {"symbol", "placeorder", "funds"}


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (
            success(mode="semi_auto", pending_order_id=1, message="Order queued"),
            RefusalCode.SEMI_AUTO,
        ),
        (success(mode="analyze", message="Positions Already Matched."), RefusalCode.NOT_PLACED),
        (success(), RefusalCode.NOT_PLACED),
    ],
)
def test_a_success_without_an_order_id_placed_nothing(
    gateway: ScriptedGateway, client: OpenAlgoClient, reply: Reply, code: RefusalCode
) -> None:
    gateway.script = scripted({"placeorder": reply})
    with pytest.raises(Rejected) as refused:
        client.place_order(ORDER)
    assert refused.value.code == code


@pytest.mark.parametrize("order_id", [None, "", {}, True, "a\nb", 1.5, "7" * 101])
def test_a_success_with_an_unreadable_order_id_is_unknown(
    gateway: ScriptedGateway, client: OpenAlgoClient, order_id: object
) -> None:
    gateway.script = scripted({"placeorder": success(orderid=order_id, mode="analyze")})
    with pytest.raises(OutcomeUnknown):
        client.place_order(ORDER)


@pytest.mark.parametrize("name", ["modifyorder", "cancelorder"])
@pytest.mark.parametrize("body", [{}, {"orderid": "8"}, {"orderid": None}])
def test_a_change_that_does_not_name_our_order_is_unknown(
    gateway: ScriptedGateway, client: OpenAlgoClient, name: str, body: dict[str, Any]
) -> None:
    gateway.script = scripted({name: success(mode="analyze", **body)})
    with pytest.raises(OutcomeUnknown):
        ORDER_CALLS[name](client)


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        (GatewayMode.LIVE, {"mode": "analyze"}),
        (GatewayMode.ANALYZE, {}),
        (GatewayMode.ANALYZE, {"mode": "live"}),
        (GatewayMode.ANALYZE, {"mode": ["analyze"]}),
    ],
)
@pytest.mark.parametrize("name", ORDER_CALLS)
def test_an_order_handled_in_the_other_mode_is_unknown_and_keeps_its_id(
    gateway: ScriptedGateway, mode: GatewayMode, told: dict[str, Any], name: str
) -> None:
    gateway.script = scripted({name: success(orderid="7", **told)})
    with client_of(gateway.url, mode) as client, pytest.raises(WrongModeOutcome) as raised:
        ORDER_CALLS[name](client)
    assert raised.value.order_id == "7"


@pytest.mark.parametrize(
    ("mode", "told"), [(GatewayMode.LIVE, {"mode": "analyze"}), (GatewayMode.ANALYZE, {})]
)
@pytest.mark.parametrize("name", ["positionbook", "tradebook", "orderbook", "funds", "orderstatus"])
def test_the_books_of_the_other_mode_are_not_read_as_ours(
    gateway: ScriptedGateway, mode: GatewayMode, told: dict[str, Any], name: str
) -> None:
    gateway.script = scripted({name: success(data=[], **told)})
    with client_of(gateway.url, mode) as client, pytest.raises(Rejected) as refused:
        READ_CALLS[name](client)
    assert refused.value.code == RefusalCode.WRONG_MODE


@pytest.mark.parametrize("mode", GatewayMode)
def test_the_mode_is_asserted_against_the_gateways_switch(
    gateway: ScriptedGateway, mode: GatewayMode
) -> None:
    gateway.script = scripted(
        {"analyzer": success(data={"analyze_mode": False, "mode": "live", "total_logs": 5})}
    )
    with client_of(gateway.url, mode) as client:
        if mode is GatewayMode.LIVE:
            client.assert_mode()
        else:
            with pytest.raises(Rejected, match="mode live, configured is analyze"):
                client.assert_mode()


@pytest.mark.parametrize(
    ("expiry", "code"),
    [
        (success(data=["29-DEC-26"]), RefusalCode.SESSION_DEAD),
        (success(data=[]), RefusalCode.SESSION_DEAD),
        (error(403, "Invalid openalgo apikey"), RefusalCode.BAD_KEY),
        (error(500, "Internal error"), RefusalCode.FORBIDDEN),
        (Trouble.DROP, RefusalCode.FORBIDDEN),
        (Reply(429, {"message": "50 per 1 second"}), RefusalCode.FORBIDDEN),
    ],
)
@pytest.mark.parametrize("name", ["funds", "placeorder"])
def test_a_403_is_told_apart_by_the_call_that_looks_at_the_key_alone(
    gateway: ScriptedGateway,
    client: OpenAlgoClient,
    expiry: Reply | Trouble,
    code: RefusalCode,
    name: str,
) -> None:
    gateway.script = scripted({name: error(403, "Invalid openalgo apikey"), "expiry": expiry})
    with pytest.raises(Rejected) as refused:
        CALLS[name](client)
    assert refused.value.code == code


def test_the_call_that_looks_at_the_key_alone_needs_no_second_one(
    gateway: ScriptedGateway, client: OpenAlgoClient
) -> None:
    gateway.script = scripted({"expiry": error(403, "Invalid openalgo apikey")})
    with pytest.raises(Rejected) as refused:
        READ_CALLS["expiry"](client)
    assert refused.value.code == RefusalCode.BAD_KEY
    assert len(gateway.calls) == 1


def test_a_proxy_of_the_environment_is_not_asked(
    gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    gateway.script = scripted({"ping": success(data={"broker": "zerodha"})})
    with client_of(gateway.url) as client:
        assert client.ping() == "zerodha"


def test_an_order_that_finds_no_connection_in_time_was_not_sent() -> None:
    with ExitStack() as sockets:
        full = sockets.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        address = GatewayAddress(f"http://127.0.0.1:{full.getsockname()[1]}", KEY, 0.2, 10, 10)
        wire = GatewayHttp(address)
        with pytest.raises(Retryable, match="no connection"):
            wire.order("placeorder", {})
        wire.close()


def test_a_number_that_is_none_hurts_only_who_reads_it(
    gateway: ScriptedGateway, client: OpenAlgoClient
) -> None:
    quote = b'{"status":"success","data":{"ltp":%s,"bid":1,"ask":2,"high":2,"low":1,"oi":%s}}'
    gateway.script = scripted({"quotes": Reply(200, quote % (b"1.5", b"NaN"))})
    assert client.quote(GOLD).ltp == Decimal("1.5")
    gateway.script = scripted({"quotes": Reply(200, quote % (b"NaN", b"1"))})
    with pytest.raises(AnswerUnknown, match="ltp"):
        client.quote(GOLD)


def test_a_contract_is_read_once_a_day_or_when_told_to_forget(
    gateway: ScriptedGateway,
) -> None:
    clock = HandClock()
    gateway.script = scripted({"placeorder": ACCEPTED})
    with client_of(gateway.url, clock=clock) as client:
        client.place_order(ORDER)
        client.place_order(ORDER)
        assert len(gateway.called("symbol")) == 1
        client.forget_symbols()
        client.place_order(ORDER)
        assert len(gateway.called("symbol")) == 2
        clock.moment += timedelta(days=1)
        client.place_order(ORDER)
        assert len(gateway.called("symbol")) == 3


def test_an_order_against_the_contract_is_never_sent(
    gateway: ScriptedGateway, client: OpenAlgoClient
) -> None:
    gateway.script = scripted({"symbol": success(data={**GOLD_SYMBOL, "lotsize": 100})})
    for call in (client.place_order, lambda order: client.modify_order("7", order)):
        with pytest.raises(Rejected) as refused:
            call(ORDER)
        assert refused.value.code == "BAD_QUANTITY"
    assert {call.endpoint for call in gateway.calls} == {"symbol"}


def test_orders_modifies_and_cancels_share_five_calls_a_second(
    gateway: ScriptedGateway,
) -> None:
    clock = HandClock()
    sent_at: list[float] = []

    def accept(call: Call) -> Reply:
        if call.endpoint == "symbol":
            return success(data=GOLD_SYMBOL)
        sent_at.append(clock.monotonic())
        return success(orderid="7", mode="analyze")

    gateway.script = accept
    with client_of(gateway.url, clock=clock) as client:
        for _ in range(4):
            for call in ORDER_CALLS.values():
                call(client)
    assert sent_at == [0.0] * 5 + [1.0] * 5 + [2.0] * 2


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:5000", "ftp://x", "http://", "http://u:p@h", "http://h:x"]
)
def test_an_address_that_is_none_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        GatewayAddress(url, KEY)
    assert "u:p" not in str(refused.value)
    with pytest.raises(ConfigInvalid, match=r"openalgo\.api_key"):
        GatewayAddress("http://127.0.0.1:5000", " ")


@pytest.mark.parametrize("name", ["placeorder", "funds", "cancelorder"])
@pytest.mark.parametrize(
    "reply",
    [
        *(trouble for trouble in Trouble if trouble is not Trouble.SILENCE),
        error(500, f"Failed for {KEY}"),
        error(400, {"apikey": [f"{KEY} is not known"]}),
        Reply(403, f"Access Denied: {KEY}".encode()),
        Reply(200, f"<html>{KEY}</html>".encode()),
        success(mode=KEY, orderid="7"),
        success(data={KEY: KEY}),
    ],
)
def test_the_key_is_in_no_error_no_log_and_no_representation(
    gateway: ScriptedGateway,
    client: OpenAlgoClient,
    caplog: pytest.LogCaptureFixture,
    name: str,
    reply: Reply | Trouble,
) -> None:
    caplog.set_level(logging.DEBUG)
    gateway.script = scripted({name: reply})
    with pytest.raises(PortfolioError) as raised:
        CALLS[name](client)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None or isinstance(raised.value.__context__, PortfolioError)
    shown = [str(raised.value), repr(raised.value), repr(client), repr(client._http), caplog.text]
    shown.append(repr(GatewayAddress("http://127.0.0.1:5000", KEY)))
    assert not [text for text in shown if KEY in text]
