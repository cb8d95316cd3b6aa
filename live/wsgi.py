"""What gunicorn calls in each worker, after the fork: build the service, start it, end it."""

import os
import signal
from types import FrameType

from flask import Flask

from live.environment import environment
from live.logs import configure_logging
from live.service import Service, build
from live.settings import service_settings

_RUNNING: list[Service] = []


def create() -> Flask:
    """The application of this worker, whose engine runs. Raises ConfigInvalid."""
    settings = service_settings(environment())
    configure_logging(settings.home, "service", stderr_json=True)
    service = build(settings)
    _RUNNING.append(service)
    _stop_early(service)
    service.start()
    return service.app


def worker_exit(_server: object, _worker: object) -> None:
    """Called by gunicorn when a worker has answered its last request."""
    while _RUNNING:
        _RUNNING.pop().stop()


def _stop_early(service: Service) -> None:
    """When told to end, claim nothing more and end the streams, before the last requests do."""
    former = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        service.stopping.set()
        if callable(former):
            former(number, frame)
        else:
            os._exit(0)

    signal.signal(signal.SIGTERM, stop)
