"""What gunicorn is told beyond its command line: what to do when a worker ends.

gunicorn's master reads this file too and needs nothing of the service, so that comes in later.
"""

from importlib import import_module
from typing import Any

from prometheus_client.multiprocess import mark_process_dead


def worker_exit(server: Any, worker: Any) -> None:
    """In a worker, after its last answer."""
    import_module("live.wsgi").worker_exit(server, worker)


def child_exit(server: Any, worker: Any) -> None:
    """In gunicorn's master, after a worker ended."""
    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
