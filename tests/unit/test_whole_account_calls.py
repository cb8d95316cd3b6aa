"""No code path uses the gateway's calls that act on the whole account, and on others' positions."""

import ast
from pathlib import Path

from brokers.openalgo_client import OpenAlgoClient
from brokers.port import Broker

ROOT = Path(__file__).resolve().parents[2]
WHOLE_ACCOUNT = ("closeposition", "cancelallorder", "placesmartorder")


def texts_of_the_program() -> list[tuple[Path, str]]:
    """Every string of the program itself; the paper exchange has these calls, as a gateway does."""
    files = [path for room in ("core", "live", "brokers") for path in (ROOT / room).rglob("*.py")]
    own = [path for path in files if "paper_exchange" not in path.parts]
    return [
        (path, node.value)
        for path in own
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def test_nothing_closes_the_whole_account() -> None:
    """Incident 31: closeposition closed what other strategies held."""
    texts = texts_of_the_program()
    assert any(text == "placeorder" for _, text in texts)
    assert [
        (path.name, text) for path, text in texts if any(call in text for call in WHOLE_ACCOUNT)
    ] == []
    methods = {name for kind in (Broker, OpenAlgoClient) for name in dir(kind)}
    named = ("close_position", "close_positions", "cancel_all", "cancel_all_orders", "smart_order")
    assert methods.isdisjoint(named)
