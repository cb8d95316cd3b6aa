"""What a whole request leaves in the log: enough to find it, and nothing secret."""

import json
import logging
import sys
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
import structlog

from core.db_state_manager import DatabaseStateManager
from live.access import Role
from live.clock import SystemClock
from live.log_file import CountingHandler, SharedFileHandler
from live.logs import configure_logging
from tests.fixtures.alert_payloads import BASE_ENTRY
from tests.fixtures.database import MAKER
from tests.fixtures.web import TOKENS, web_on

DATABASE_PASSWORD = "Vb6Nm3Qw9Er1Ty4U"  # noqa: S105 - of no database


@pytest.fixture
def log_folder(tmp_path: Path) -> Iterator[Path]:
    hooks = sys.excepthook, threading.excepthook
    root = logging.getLogger()
    level = root.level
    configure_logging(tmp_path, "service", logging.DEBUG)
    yield tmp_path / "logs"
    for handler in root.handlers[:]:
        if isinstance(handler, CountingHandler | SharedFileHandler):
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/webhook", HTTPStatus.SERVICE_UNAVAILABLE),
        (f"/webhook/{TOKENS[Role.WEBHOOK]}", HTTPStatus.SERVICE_UNAVAILABLE),
        ("/webhook/Zq8Xw5", HTTPStatus.FORBIDDEN),
    ],
)
def test_an_alert_that_fails_leaves_its_request_and_no_secret(
    log_folder: Path, path: str, status: HTTPStatus
) -> None:
    dsn = f"host=127.0.0.1 port=9 dbname=pm user=pm password={DATABASE_PASSWORD}"
    store = DatabaseStateManager(dsn, 2, SystemClock(), MAKER.stops)
    body = json.dumps({**BASE_ENTRY, "secret": TOKENS[Role.WEBHOOK]})
    response = web_on(store).client().post(path, data=body)
    logged = (log_folder / "service.log").read_text() if any(log_folder.iterdir()) else ""
    assert response.status_code == status
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        assert response.get_json()["request_id"] in logged
    for secret in (*TOKENS.values(), DATABASE_PASSWORD, "Zq8Xw5"):
        assert secret not in logged
        assert secret not in response.text
