"""What the command line says of an answer that is none: what was asked may have been done."""

from collections.abc import Callable, Iterator
from contextlib import closing
from socket import create_server, socket
from threading import Thread

import pytest

from core.errors import InputInvalid, OutcomeUnknown, Retryable
from live.access import Role
from live.api_client import NotRunning, ServiceClient
from live.launcher.children import LOOPBACK
from tests.fixtures.own_port import OwnPort

TOKENS = {role: "a token" for role in Role}
HALF = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 85\r\n\r\n"


@pytest.fixture
def cut_off() -> Iterator[ServiceClient]:
    """A service that dies in the middle of its one answer."""

    def answer(listening: socket) -> None:
        with listening.accept()[0] as caller:
            caller.recv(65_536)
            caller.sendall(HALF)

    with create_server((LOOPBACK, 0)) as listening:
        dies = Thread(target=answer, args=(listening,), daemon=True)
        dies.start()
        yield ServiceClient(f"http://{LOOPBACK}:{listening.getsockname()[1]}", TOKENS)
        dies.join(60)


CHANGES: dict[str, Callable[[ServiceClient], object]] = {
    "an alert": lambda client: client.send_alert(b"{}"),
    "a word of the operator": lambda client: client.post("/emergency/close-all", reason="enough"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_whose_answer_breaks_off_may_have_been_made(
    cut_off: ServiceClient, change: Callable[[ServiceClient], object]
) -> None:
    with pytest.raises(OutcomeUnknown, match="may have been done"):
        change(cut_off)


def test_a_look_whose_answer_breaks_off_may_be_taken_again(cut_off: ServiceClient) -> None:
    with pytest.raises(Retryable, match="try again"):
        cut_off.get("/status")


def test_where_nobody_listens_nothing_runs() -> None:
    with closing(OwnPort()) as port, pytest.raises(NotRunning):
        ServiceClient(f"http://{LOOPBACK}:{port.number}", TOKENS).send_alert(b"{}")


@pytest.mark.parametrize("url", ["127.0.0.1", "ftp://127.0.0.1", "http://", "http://:port"])
def test_what_is_no_address_is_told_so(url: str) -> None:
    with pytest.raises(InputInvalid, match="no address of a service"):
        ServiceClient(url, TOKENS).send_alert(b"{}")
