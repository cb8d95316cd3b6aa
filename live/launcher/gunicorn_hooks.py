"""What gunicorn is told beyond its command line: what is shared by workers, and how one ends.

The service's modules are imported before the workers are forked, which costs nothing twice and
brings a dead worker back at once; nothing is opened there.
"""

from importlib import import_module
from typing import Any

from prometheus_client.multiprocess import mark_process_dead

_SERVICE = "live.wsgi"


def on_starting(server: Any) -> None:
    """In gunicorn's master, before the first worker."""
    import_module(_SERVICE)


def worker_exit(server: Any, worker: Any) -> None:
    """In a worker, after its last answer."""
    import_module(_SERVICE).worker_exit(server, worker)


def child_exit(server: Any, worker: Any) -> None:
    """In gunicorn's master, after a worker ended."""
    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
