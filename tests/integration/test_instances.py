"""Who runs and who leads can be asked; instances that go by different rules are told of."""

from pathlib import Path
from typing import Any

from live.config_mark import config_mark
from live.config_watch import CONFIGS_DIFFER, ConfigWatch
from tests.fixtures.database import database
from tests.fixtures.hand_clock import HandClock
from tests.fixtures.live_service import default_config, open_desk, until


def test_the_process_that_leads_says_so(database_url: str, open_folder: Path) -> None:
    with open_desk(database_url, open_folder) as desk:

        def leads() -> Any:
            found = desk.operate("GET", "/instances")
            return found if any(each["leads"] for each in found["processes"]) else None

        found = until(leads)
        (process,) = found["processes"]
        assert found["leader"] == process["instance_id"]
        assert found["epoch"] == desk.service.leadership.epoch()
        assert (process["is_alive"], found["configs_agree"]) == (True, True)
        assert process["config_hash"] == config_mark(default_config(), is_test=False)
        until(lambda: desk.client.get("/ready").status_code == 200)


def test_whether_it_leads_makes_no_process_less_ready(database_url: str, open_folder: Path) -> None:
    """Incident 42: Redis was down at start and every signal was answered "not leader"."""
    with open_desk(database_url, open_folder, "redis://127.0.0.1:1/0") as desk:
        until(lambda: desk.client.get("/ready").status_code == 200)
        assert desk.client.get("/health").get_json()["status"] == "degraded"
        other = desk.store.begin_leadership("elsewhere")
        assert desk.client.get("/ready").status_code == 200
        assert desk.alert("BASE_ENTRY", "GOLD_MINI").status == "executed"
        until(lambda: (desk.service.leadership.epoch() or 0) > other)


def test_other_rules_have_another_mark_and_the_same_in_another_order_have_not() -> None:
    one = default_config(pyramid={"max_adds": 3}, portfolio={"max_risk_pct": 10})
    same = default_config(portfolio={"max_risk_pct": 10}, pyramid={"max_adds": 3})
    marks = [config_mark(each, is_test=False) for each in (one, default_config())]
    assert marks[0] == config_mark(same, is_test=False)
    assert len({*marks, config_mark(one, is_test=True)}) == 3


def test_instances_that_go_by_different_rules_are_told_of_once_a_day(database_url: str) -> None:
    store, clock = database(database_url), HandClock()
    watch = ConfigWatch(store, clock)

    def told() -> list[Any]:
        return [event.payload for event in store.events_after(0, 99)
                if event.kind == CONFIGS_DIFFER]  # fmt: skip

    clock.moment = store._clock.now()
    store.heartbeat("one", "a", 1, "0.1.0", "1111")
    store.heartbeat("two", "b", 1, "0.1.0", "1111")
    watch.run()
    assert told() == []
    store.heartbeat("three", "c", 1, "0.1.0", "2222")
    for _ in range(2):
        watch.run()
    (found,) = told()
    assert found["processes"] == {"1111": ["one", "two"], "2222": ["three"]}
    store.close()
