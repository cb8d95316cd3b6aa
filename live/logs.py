"""Every line is one JSON object that says which alert it belongs to, and holds no secret.

`configure_logging` puts standard logging and structlog through one chain: the ids of the context
(`with correlated(signal_id=7)`), the time with its offset, tracebacks as text, redaction. Lines go
to `<folder>/logs/<process name>.log`, shared by all processes of that name, and to stderr. A line
that cannot be written is counted (`lost_lines`) and never fails what it tells about.
"""

import logging
import sys
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import structlog
from flask import Flask, g
from structlog.contextvars import bind_contextvars, bound_contextvars, clear_contextvars
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor

from core.ist import IST
from live.log_file import CountingHandler, SharedFileHandler
from live.redaction import redact

LOGS_FOLDER = "logs"

_LOG = logging.getLogger(__name__)
_OPEN_FOLDER = 0o711
_QUIET_LIBRARIES = ("urllib3", "werkzeug", "asyncio")
_OWN_HANDLERS = (CountingHandler, SharedFileHandler)
_CHAIN: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.stdlib.PositionalArgumentsFormatter(),
)
_FIRST_FIELDS = ("level", "logger", "event")


def configure_logging(
    folder: Path | None,
    process_name: str,
    level: int | str = logging.INFO,
    *,
    stderr_json: bool = False,
) -> None:
    """Send all log lines of this process where they belong; a second call replaces the first.

    `folder` is the state folder (PM_HOME); None for stderr only. With a folder, stderr shows only
    warnings and worse: whatever catches it is not rotated. Readable there unless `stderr_json`.
    In a worker, call it after the fork.
    """
    rendered = structlog.processors.JSONRenderer(default=str)
    stderr_renderers = (rendered,) if stderr_json else (_on_one_line, _readable())
    stderr = CountingHandler(sys.stderr)
    stderr.setFormatter(_formatter(process_name, *stderr_renderers))
    handlers: list[logging.Handler] = [stderr]
    if folder is not None:
        file = SharedFileHandler(_logs_folder(folder) / f"{process_name}.log")
        file.setFormatter(_formatter(process_name, rendered))
        handlers.append(file)
        stderr.setLevel(logging.WARNING)
    _install(handlers, level)
    structlog.configure(
        processors=[*_CHAIN, ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


@contextmanager
def correlated(**ids: object) -> Iterator[None]:
    """Let every line of this block (and thread) carry these ids; blocks may stand in another.

    Another thread starts without them: let it run in `contextvars.copy_context()`.
    """
    with bound_contextvars(**ids):
        yield


def correlate_requests(app: Flask) -> None:
    """Let the lines of a request carry `g.request_id`, which has to be set before."""

    @app.before_request
    def begin() -> None:
        clear_contextvars()
        bind_contextvars(request_id=g.get("request_id"))

    @app.teardown_request
    def end(_error: BaseException | None) -> None:
        clear_contextvars()


def _logs_folder(home: Path) -> Path:
    folder = home / LOGS_FOLDER
    try:
        folder.mkdir(mode=_OPEN_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        sys.stderr.write(f"no log files: {folder}: {error.strerror}\n")
    return folder


def _readable() -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), timestamp_key="time", sort_keys=False
    )


def _formatter(process_name: str, *renderers: Processor) -> ProcessorFormatter:
    def name_process(_logger: Any, _method: str, event: EventDict) -> EventDict:
        record: logging.LogRecord = event["_record"]
        created = datetime.fromtimestamp(record.created, IST)
        first = {name: event.get(name) for name in _FIRST_FIELDS}
        where = {"process": process_name, "pid": record.process, "thread": record.threadName}
        return {"time": created.isoformat(timespec="milliseconds"), **first, **event, **where}

    return ProcessorFormatter(
        foreign_pre_chain=_CHAIN,
        processors=[
            name_process,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            ProcessorFormatter.remove_processors_meta,
            _redacted,
            *renderers,
        ],
    )


def _redacted(_logger: Any, _method: str, event: EventDict) -> EventDict:
    return cast(MutableMapping[str, Any], redact(event))


def _on_one_line(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """On a terminal, a line break in what somebody sent must not look like another line."""
    return {**event, "event": str(event["event"]).replace("\r", "\\r").replace("\n", "\\n")}


def _install(handlers: list[logging.Handler], level: int | str) -> None:
    root = logging.getLogger()
    for former in [item for item in root.handlers if isinstance(item, _OWN_HANDLERS)]:
        root.removeHandler(former)
        former.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    for name in _QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    _take_over_gunicorn()


def _take_over_gunicorn() -> None:
    """Its lines go our way, and tell no request's path: a webhook's secret may stand in it."""
    access, errors = logging.getLogger("gunicorn.access"), logging.getLogger("gunicorn.error")
    for logger in (access, errors):
        logger.handlers.clear()
    access.disabled = True
    errors.propagate = True
    errors.setLevel(logging.INFO)
    errors.addFilter(_without_request)


def _without_request(record: logging.LogRecord) -> bool:
    """Strip a request's address, and its unreadable first line, of a server's message."""
    message = str(record.msg)
    if message.startswith("Error handling request"):
        record.msg, record.args = "Error handling request", None
    elif message.startswith("Invalid request"):
        record.msg, record.args = "Invalid request", None
    return True


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        _LOG.critical("the process ends by an error", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(told: threading.ExceptHookArgs) -> None:
    if told.exc_value is not None and not issubclass(told.exc_type, SystemExit):
        name = told.thread.name if told.thread else "unknown"
        _LOG.critical("thread %s ended by an error", name, exc_info=told.exc_value)
