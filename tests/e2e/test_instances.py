"""Three instances of two workers trade one account behind nginx, whichever of them fails."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from core.db_state_manager.records import LeadershipRow
from tests.fixtures.installation import Installation, eventually
from tests.fixtures.instances import VIEWER_TOKEN, Cluster, open_instances
from tests.fixtures.live_service import BANK, GOLD, OPERATOR_TOKEN, SECRET, until
from tests.fixtures.living_service import exchange_options
from tests.fixtures.nginx import Nginx, nginx_program
from tests.fixtures.paper_process import PaperProcess

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(database_url: str, valkey_url: str, open_folder: Path) -> Iterator[Cluster]:
    nginx_program()
    with ExitStack() as opened:
        found = opened.enter_context(
            open_instances(database_url, valkey_url, open_folder, trusted_proxies=1)
        )
        ports = [each.port for each in found.instances]
        folder = open_folder / "nginx"
        folder.mkdir()
        nginx = opened.enter_context(Nginx(folder, ports))
        found.front = nginx.url
        yield found
        assert SECRET not in nginx.log()


def test_three_instances_are_one_to_those_who_call(cluster: Cluster) -> None:
    """Incident 47: a leader paused for a minute woke and traded beside the new one."""
    # All live, one leads, and they go by the same rules.
    found = until(lambda: _all_alive(cluster))
    assert sum(each["leads"] for each in found["processes"]) == 1
    assert found["configs_agree"]

    # One alert, sent many times at once, is one operation.
    payload = cluster.alert("BASE_ENTRY", GOLD)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: cluster.deliver(payload), range(6)))
    assert len({answer["signal_id"] for answer in answers}) == 1
    assert cluster.end_of(answers[0]["signal_id"]).status == "executed"

    # The switch that one instance was told is seen by all at once.
    cluster.ask("POST", "/emergency/stop", reason="a test")
    for each in cluster.instances:
        states = cluster.ask("GET", "/status", each.web.url)
        assert states["control"] == "REDUCING"
    cluster.ask("POST", "/emergency/resume", reason="a test")

    # A session that one of them began is one with each.
    with requests.Session() as browser:
        answer = browser.post(f"{cluster.front}/session", json={"token": OPERATOR_TOKEN}, timeout=9)
        assert answer.ok
        assert all(browser.get(f"{cluster.front}/status", timeout=9).ok for _ in range(6))

    # Events come through as they happen.
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    with requests.get(f"{cluster.front}/events", headers=headers, stream=True, timeout=60) as news:
        cluster.store.append_outbox("HELLO", None, {"to": "all"})
        lines = news.iter_lines(decode_unicode=True)
        assert any('{"to": "all"}' in line for line in lines if line.startswith("data:"))

    # The leader's instance is frozen: alerts go on, another leads, and waking changes nothing.
    frozen, before = cluster.leader(), cluster.leadership()
    assert before is not None
    frozen.freeze()
    try:
        entered = cluster.deliver(cluster.alert("BASE_ENTRY", BANK))
        assert cluster.end_of(entered["signal_id"]).status == "executed"
        after = until(lambda: _led_after(cluster, before.epoch))
    finally:
        frozen.thaw()
    frozen.web.wait_ready()
    now = cluster.leadership()
    assert now is not None
    assert now.epoch == after.epoch

    # It is killed, with all that it was doing.
    killed = cluster.leader()
    killed.kill()
    until(lambda: _led_after(cluster, after.epoch))
    left = [cluster.deliver(cluster.alert("EXIT", name)) for name in (BANK, GOLD)]
    assert {cluster.end_of(each["signal_id"]).status for each in left} == {"executed"}
    killed.web.start()
    killed.web.wait_ready()
    until(cluster.proof.is_settled)
    cluster.proof.check()
    assert cluster.proof.held() == {}


def test_two_launchers_share_one_account(
    database_url: str, valkey_url: str, open_folder: Path
) -> None:
    with ExitStack() as opened:
        paper = opened.enter_context(PaperProcess(open_folder / "paper", *exchange_options(0.0)))
        shared = {
            "DATABASE_URL": database_url,
            "REDIS_URL": valkey_url,
            "OPENALGO_URL": paper.url,
            "OPENALGO_API_KEY": paper.apikey,
            "OPENALGO_MODE": "analyze",
            "PM_INSTANCES": "2",
            "PM_WEBHOOK_SECRET": SECRET,
            "PM_VIEWER_TOKEN": VIEWER_TOKEN,
            "PM_OPERATOR_TOKEN": OPERATOR_TOKEN,
        }
        first, second = (opened.enter_context(Installation(**shared)) for _ in range(2))
        first.start("--capital", "5000000")
        second.start()

        def processes(one: Installation) -> Any:
            found = answer(one, "/instances")
            alive = [each for each in found["processes"] if each["is_alive"]]
            return found if len(alive) == 4 and any(each["leads"] for each in alive) else None

        found = until(lambda: processes(second))
        assert found["configs_agree"]
        assert answer(first, "/status")["closed_equity"] == "5000000.00"
        assert answer(second, "/status")["closed_equity"] == "5000000.00"
        workers = set(second.processes())
        first.run("stop")

        def leads() -> bool:
            now = answer(second, "/instances")
            return any(each["leads"] and each["pid"] in workers for each in now["processes"])

        assert eventually(leads)


def answer(one: Installation, path: str) -> Any:
    headers = {"Authorization": f"Bearer {VIEWER_TOKEN}"}
    got = requests.get(f"{one.url}{path}", headers=headers, timeout=10)
    assert got.ok, got.text
    return got.json()


def _all_alive(cluster: Cluster) -> Any:
    found = cluster.ask("GET", "/instances")
    alive = [each for each in found["processes"] if each["is_alive"]]
    return found if len(alive) == 6 and any(each["leads"] for each in alive) else None


def _led_after(cluster: Cluster, epoch: int) -> LeadershipRow | None:
    leads = cluster.leadership()
    return leads if leads is not None and leads.epoch > epoch else None
