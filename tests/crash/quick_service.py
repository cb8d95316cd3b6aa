"""The service of `live.wsgi`, with the pace of a test."""

from dataclasses import replace
from functools import partial

from flask import Flask

from live import service, wsgi
from live.engine_threads import Pace

PACE = Pace(
    lease_s=1.2,
    poll_s=0.1,
    sweep_s=0.2,
    first_recovery_s=5.0,
    last_work_s=5.0,
    # Outlasts a machine that stands still between a worker's last look and its send.
    resolve_window_s=4.0,
    checks_pre_open=False,
)


def create(lease_s: float = PACE.lease_s, resolve_window_s: float = PACE.resolve_window_s) -> Flask:
    """What gunicorn calls in each worker; nobody takes over from it before `lease_s`."""
    pace = replace(PACE, lease_s=lease_s, resolve_window_s=resolve_window_s)
    wsgi.build = partial(service.build, pace=pace)  # type: ignore[attr-defined]
    return wsgi.create()
