"""Figures of all processes come together, whoever is asked; those of the dead that count remain."""

import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from core.db_state_manager.states import SignalStatus
from core.errors import OutcomeUnknown
from core.models import SignalType
from live import metrics
from live.launcher.home import Home
from live.metrics import FOLDER_VARIABLE

REPOSITORY = Path(__file__).resolve().parents[2]
WORKER = """
import os
from core.db_state_manager.states import SignalStatus
from core.models import SignalType
from live import metrics
metrics.process_began()
metrics.alert_answered(SignalType.EXIT, "executed")
metrics.alert_answered(None, "rejected")
metrics.webhook_began()()
metrics.signal_finished(SignalType.EXIT, SignalStatus.EXECUTED, "EXIT")
with metrics.order_call("place"):
    pass
metrics.order_sent_after(0.03)
print(os.getpid())
"""
READER = """
import sys
from types import SimpleNamespace
from live import metrics
from live.launcher.gunicorn_hooks import child_exit
for pid in sys.argv[1:]:
    child_exit(None, SimpleNamespace(pid=int(pid)))
sys.stdout.buffer.write(metrics.exposition())
"""

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def emptied(home: Path) -> Path:
    Home(home).empty_metrics()
    return Home(home).metrics


def run(folder: Path, script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=REPOSITORY,
        env={FOLDER_VARIABLE: str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_two_processes_are_summed_and_the_dead_do_not_count_as_living(tmp_path: Path) -> None:
    folder = emptied(tmp_path)
    first, second = run(folder, WORKER).strip(), run(folder, WORKER).strip()
    found = samples(run(folder, READER, first))
    assert value(found, "pm_alerts_total", type="EXIT", answer="executed") == 2
    assert value(found, "pm_alerts_total", type="UNREADABLE", answer="rejected") == 2
    ended = {"type": "EXIT", "status": "executed", "code": "EXIT"}
    assert value(found, "pm_signals_finished_total", **ended) == 2
    assert value(found, "pm_webhook_seconds_count") == 2
    assert value(found, "pm_webhook_seconds_bucket", le="5.0") == 2
    assert value(found, "pm_alert_to_order_seconds_bucket", le="0.025") == 0
    assert value(found, "pm_alert_to_order_seconds_bucket", le="0.05") == 2
    assert value(found, "pm_order_calls_total", call="place", result="ok") == 2
    assert value(found, "pm_order_call_seconds_count", call="place") == 2
    assert value(found, "pm_alert_to_order_seconds_count") == 2
    assert value(found, "pm_processes") == 1
    assert value(samples(run(folder, READER, first, second)), "pm_log_lines_lost") == 0


def test_the_room_of_a_process_is_taken_when_it_begins(tmp_path: Path) -> None:
    folder = emptied(tmp_path)
    run(folder, WORKER)
    files = list(folder.glob("*.db"))
    assert {file.name.split("_")[0] for file in files} == {"counter", "gauge", "histogram"}
    assert all(file.stat().st_blocks * 512 >= 512 * 1024 for file in files)


def test_a_new_start_forgets_the_figures_of_the_last(tmp_path: Path) -> None:
    folder = emptied(tmp_path)
    run(folder, WORKER)
    emptied(tmp_path)
    assert list(folder.iterdir()) == []


def test_one_process_alone_needs_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    metrics.process_began()
    before = samples(metrics.exposition().decode())
    metrics.signal_finished(SignalType.PYRAMID, SignalStatus.BLOCKED, "GATE_CLOSED")
    with pytest.raises(OutcomeUnknown), metrics.order_call("cancel"):
        raise OutcomeUnknown("no answer")
    found = samples(metrics.exposition().decode())
    told = {"type": "PYRAMID", "status": "blocked", "code": "GATE_CLOSED"}
    asked = ("pm_order_calls_total", {"call": "cancel", "result": "OutcomeUnknown"})
    taken = ("pm_order_call_seconds_count", {"call": "cancel"})
    for name, labels in (("pm_signals_finished_total", told), asked, taken):
        key = name, frozenset(labels.items())
        assert found[key] - before.get(key, 0.0) == 1, name
    assert value(found, "pm_processes") == 1
