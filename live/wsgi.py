"""What gunicorn calls in each worker, after the fork: build the service, start it, end it."""

import os
import signal
from types import FrameType
from urllib.parse import urlsplit

from flask import Flask
from psycopg2.extensions import parse_dsn

from live.environment import environment
from live.logs import configure_logging
from live.metrics import process_began
from live.redaction import register_secret
from live.service import Service, build
from live.settings import ServiceSettings, service_settings

_RUNNING: list[Service] = []


def create() -> Flask:
    """The application of this worker, whose engine runs. Raises ConfigInvalid."""
    settings = service_settings(environment())
    _hide_secrets(settings)
    configure_logging(settings.home, "service", stderr_json=True)
    process_began()
    service = build(settings)
    _RUNNING.append(service)
    _stop_early(service)
    service.start()
    return service.app


def _hide_secrets(settings: ServiceSettings) -> None:
    """Whatever a line of the log would quote."""
    password = parse_dsn(settings.database_url).get("password")
    redis = None if settings.redis_url is None else urlsplit(settings.redis_url).password
    ours = (settings.gateway.api_key, *settings.secrets.values(), settings.heartbeat_url)
    for secret in (*ours, password, redis):
        if secret:
            register_secret(secret)


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
