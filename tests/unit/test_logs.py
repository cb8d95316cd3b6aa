"""Lines that tell which alert they belong to, from all processes, and never in the way."""

import contextvars
import json
import logging
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from flask import Flask, g

from live.log_file import SharedFileHandler, lost_lines
from live.logs import configure_logging, correlate_requests, correlated

LOG = logging.getLogger("live.of_this_test")
WRITER = """
import logging, sys
from pathlib import Path
from live.log_file import SharedFileHandler
handler = SharedFileHandler(Path(sys.argv[1]), largest_bytes=2000, kept=200)
for number in range(300):
    text = f"{sys.argv[2]} {number} {'x' * 40}"
    handler.emit(logging.LogRecord("w", logging.INFO, "", 0, text, None, None))
"""


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Put back what `configure_logging` changes for the whole process."""
    root, errors = logging.getLogger(), logging.getLogger("gunicorn.error")
    kept = root.handlers[:], root.level, sys.excepthook, threading.excepthook
    yield
    for handler in [item for item in root.handlers if item not in kept[0]]:
        root.removeHandler(handler)
        handler.close()
    root.handlers[:], sys.excepthook, threading.excepthook = kept[0], kept[2], kept[3]
    root.setLevel(kept[1])
    errors.filters.clear()
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(folder: Path, name: str = "web") -> list[dict[str, Any]]:
    text = (folder / "logs" / f"{name}.log").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("test", logging.INFO, "", 0, text, None, None)


def test_a_line_tells_time_level_place_and_ids(tmp_path: Path) -> None:
    configure_logging(tmp_path, "web")
    with correlated(signal_id=7), correlated(instrument="GOLD_MINI"):
        LOG.info("%d lots", 5, extra={"limiter": "risk"})
    LOG.warning("after")
    inside, after = lines(tmp_path)
    told = {"level": "info", "event": "5 lots", "signal_id": 7, "instrument": "GOLD_MINI"}
    told |= {"limiter": "risk", "process": "web", "logger": LOG.name}
    assert told.items() <= inside.items()
    assert datetime.fromisoformat(inside["time"]).utcoffset() == timedelta(hours=5, minutes=30)
    assert "signal_id" not in after


def test_structlog_goes_the_same_way(tmp_path: Path) -> None:
    configure_logging(tmp_path, "web")
    with correlated(signal_id=8):
        structlog.get_logger("native").info("%d lots", 3, apikey="abcdef")
    (line,) = lines(tmp_path)
    assert {"event": "3 lots", "apikey": "(removed)", "signal_id": 8}.items() <= line.items()


def test_configuring_twice_writes_each_line_once(tmp_path: Path) -> None:
    configure_logging(tmp_path, "first")
    configure_logging(tmp_path, "web")
    LOG.info("once")
    assert [line["event"] for line in lines(tmp_path)] == ["once"]
    assert not (tmp_path / "logs" / "first.log").exists()


def test_an_error_is_told_with_its_trace_and_without_its_secrets(tmp_path: Path) -> None:
    configure_logging(tmp_path, "web")
    try:
        raise ValueError('answered {"apikey": "abcdef123"}')
    except ValueError:
        LOG.exception("failed")
    (line,) = lines(tmp_path)
    assert "ValueError" in line["exception"]
    assert "abcdef123" not in json.dumps(line)


def test_each_thread_carries_its_own_signal(tmp_path: Path) -> None:
    configure_logging(tmp_path, "web")
    barrier = threading.Barrier(4)

    def work(number: int) -> None:
        with correlated(signal_id=number):
            barrier.wait(timeout=60)
            LOG.info("of %d", number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    found = lines(tmp_path)
    assert len(found) == 4
    assert all(line["event"] == f"of {line['signal_id']}" for line in found)


def test_a_copied_context_carries_the_signal_into_another_thread(tmp_path: Path) -> None:
    configure_logging(tmp_path, "web")
    with correlated(signal_id=5), ThreadPoolExecutor(1) as pool:
        pool.submit(contextvars.copy_context().run, LOG.info, "carried").result()
        pool.submit(LOG.info, "alone").result()
    assert [line.get("signal_id") for line in lines(tmp_path)] == [5, None]


def test_a_request_carries_its_id_and_nothing_of_the_one_before(tmp_path: Path) -> None:
    configure_logging(tmp_path, "web")
    app, numbers = Flask("test"), iter(("r1", "r2"))

    @app.before_request
    def number() -> None:
        g.request_id = next(numbers)

    correlate_requests(app)

    @app.get("/<int:signal_id>")
    def view(signal_id: int) -> str:
        LOG.info("asked")
        if signal_id == 1:
            structlog.contextvars.bind_contextvars(signal_id=signal_id)
            LOG.info("bound")
        return ""

    client = app.test_client()
    client.get("/1")
    client.get("/2")
    told = [(line["request_id"], line.get("signal_id")) for line in lines(tmp_path)]
    assert told == [("r1", None), ("r1", 1), ("r2", None)]


def test_a_server_tells_no_path_of_a_request(tmp_path: Path) -> None:
    configure_logging(tmp_path, "web")
    errors = logging.getLogger("gunicorn.error")
    errors.error("Error handling request %s %s", "GET", "/some/path-of-it")
    errors.warning("Invalid request from ip=1.2.3.4: 'GARBAGE path-of-it'")
    logging.getLogger("gunicorn.access").info("GET /some/path-of-it")
    logging.getLogger("werkzeug").info("GET /some/path-of-it")
    errors.info("Booting worker with pid: 5")
    found = [line["event"] for line in lines(tmp_path)]
    assert found == ["Error handling request", "Invalid request", "Booting worker with pid: 5"]


def test_a_thread_that_dies_is_logged(tmp_path: Path) -> None:
    configure_logging(tmp_path, "web")
    thread = threading.Thread(target=lambda: [][0], name="worker-1")
    thread.start()
    thread.join()
    (line,) = lines(tmp_path)
    assert (line["level"], "worker-1" in line["event"]) == ("critical", True)


def test_on_a_terminal_nobody_can_forge_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging(None, "web")
    LOG.info("refused\n2026-01-01 [info] all is well")
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_with_a_file_stderr_shows_only_what_is_wrong(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    configure_logging(tmp_path, "web", stderr_json=True)
    LOG.info("all is well")
    LOG.warning("look at this")
    (line,) = capfd.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "look at this"
    assert len(lines(tmp_path)) == 2


@pytest.mark.parametrize("text", ["%d lots", "lone \ud800 surrogate"])
def test_a_line_that_cannot_be_made_fails_nothing(tmp_path: Path, text: str) -> None:
    logging.getLogger().handlers.clear()  # pytest's own raises what it cannot format
    configure_logging(tmp_path, "web")
    LOG.info(text, *(["many"] if "%" in text else []))
    LOG.info("goes on")
    assert lines(tmp_path)[-1]["event"] == "goes on"


@pytest.mark.parametrize("path", ["/dev/full", "/dev/null/none/web.log"])
def test_a_full_disk_and_a_missing_folder_lose_the_line_and_nothing_else(path: str) -> None:
    handler, before = SharedFileHandler(Path(path)), lost_lines()
    handler.emit(record("lost"))
    handler.close()
    assert lost_lines() == before + 1


def test_logging_goes_on_where_no_folder_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    before = lost_lines()
    configure_logging(tmp_path, "web")
    LOG.info("to stderr only")
    assert lost_lines() == before + 1


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    handler = SharedFileHandler(path)
    handler.emit(record("one"))
    path.rename(tmp_path / "elsewhere")
    handler.emit(record("two"))
    handler.close()
    assert path.read_text() == "two\n"


def test_files_are_bounded_in_size_and_number_and_for_their_owner_only(tmp_path: Path) -> None:
    handler = SharedFileHandler(tmp_path / "web.log", largest_bytes=1000, kept=2)
    for number in range(400):
        handler.emit(record(f"line {number:03}"))
    handler.close()
    files = sorted(path for path in tmp_path.iterdir() if path.suffix != ".lock")
    assert [path.name for path in files] == ["web.log", "web.log.1", "web.log.2"]
    assert all(path.stat().st_size <= 1000 for path in files)
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert files[0].read_text().endswith("line 399\n")


def test_processes_that_rotate_one_file_lose_and_tear_no_line(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name])
        for name in ("a", "b", "c")
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    found = Counter[str]()
    for file in tmp_path.glob("web.log*"):
        found.update(line.rsplit(" ", 1)[0] for line in file.read_text().splitlines())
    assert found == Counter(f"{name} {number}" for name in "abc" for number in range(300))
