"""The web application: its rooms put together, every request numbered, and let in by the guard."""

from collections.abc import Sequence
from ipaddress import ip_network

from flask import Flask, Response, g
from flask_smorest import Api  # type: ignore[import-untyped]
from werkzeug.middleware.proxy_fix import ProxyFix

from core.errors import ConfigInvalid
from live.api.broker import broker_room
from live.api.capital import capital_room
from live.api.close_all import close_all_room
from live.api.documentation import documentation_blueprint
from live.api.emergency import emergency_room
from live.api.eod import eod_room
from live.api.events import events_room
from live.api.guard import COOKIE, Guard
from live.api.health import health_room
from live.api.holidays import holidays_room
from live.api.instances import instances_room
from live.api.metrics import metrics_blueprint
from live.api.operations import operations_room
from live.api.orders_resolve import orders_room
from live.api.portfolio import portfolio_room
from live.api.refusals import tell_errors
from live.api.rest import Refusal
from live.api.rollover import rollover_room
from live.api.session import session_room
from live.api.signals import signals_room
from live.api.strategies import strategies_room
from live.api.sync import sync_room
from live.api.webhook import SECRET_HEADER, AlertDesk, Network, polling, webhook_room
from live.call_limits import CallLimits
from live.duplicates import DuplicateDetector
from live.ids import new_id
from live.logs import correlate_requests
from live.sessions import Sessions
from live.web_parts import WebParts

LARGEST_BODY_BYTES = 64 * 1024

_DESCRIPTION = (
    "Alerts come in at /webhook; everything else takes a viewer's token to read and an operator's "
    "to change something. Money and prices are strings with all their digits, times ISO 8601."
)


class _Description(Api):  # type: ignore[misc]
    """The OpenAPI description. Errors are told by `refusals` alone."""

    ERROR_SCHEMA = Refusal

    def _register_error_handlers(self) -> None:
        pass


def read_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Addresses or networks such as 52.89.214.238 and 10.0.0.0/8. Raises ConfigInvalid."""
    found = []
    for place, text in enumerate(texts):
        try:
            found.append(ip_network(text))
        except ValueError as error:
            raise ConfigInvalid(
                f"webhook_sources[{place}]", text, "an address, or a network such as 10.0.0.0/8"
            ) from error
    return tuple(found)


def create_app(parts: WebParts) -> Flask:
    """The application over `parts`; it opens nothing until it is called."""
    settings = parts.settings
    app = Flask("portfolio_manager", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY_BYTES
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.strict_slashes = app.url_map.merge_slashes = False
    if proxies := settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies)  # type: ignore[method-assign]
    sessions = Sessions(parts.access, parts.clock, settings.session_s)
    guard = Guard(parts.access, sessions, CallLimits(parts.clock, settings.calls_per_s))
    _number_requests(app)
    correlate_requests(app)
    app.before_request(guard.admit)
    tell_errors(app)
    api = _described(app)
    for room in (
        webhook_room(_alert_desk(parts)),
        health_room(parts.store, parts.is_recovered, parts.redis, parts.stream_state),
        session_room(parts.access, sessions, guard, settings.session_s),
        portfolio_room(parts),
        signals_room(parts),
        capital_room(parts),
        strategies_room(parts),
        emergency_room(parts),
        holidays_room(parts),
        operations_room(parts),
        instances_room(parts),
        eod_room(parts),
        events_room(parts),
    ):
        api.register_blueprint(room)
    if parts.close_all is not None:
        api.register_blueprint(close_all_room(parts, parts.close_all))
    if parts.rollover is not None:
        api.register_blueprint(rollover_room(parts, parts.rollover))
    if parts.broker_desk is not None:
        for make in (broker_room, sync_room, orders_room):
            api.register_blueprint(make(parts, parts.broker_desk))
    app.register_blueprint(metrics_blueprint(parts.reads, parts.access))
    app.register_blueprint(documentation_blueprint(api.spec.to_dict))
    return app


def _described(app: Flask) -> _Description:
    app.config |= {
        "API_TITLE": "Portfolio Manager",
        "API_VERSION": "1",
        "OPENAPI_VERSION": "3.0.3",
        "OPENAPI_URL_PREFIX": "/",
        "OPENAPI_JSON_PATH": "openapi.json",
    }
    api = _Description(
        app,
        spec_kwargs={
            "info": {"description": _DESCRIPTION},
            "security": [{"bearer": []}, {"session": []}],
        },
    )
    schemes = api.spec.components
    schemes.security_scheme("bearer", {"type": "http", "scheme": "bearer"})
    schemes.security_scheme("secret", {"type": "apiKey", "in": "header", "name": SECRET_HEADER})
    schemes.security_scheme("session", {"type": "apiKey", "in": "cookie", "name": COOKIE})
    return api


def _alert_desk(parts: WebParts) -> AlertDesk:
    store, clock, settings = parts.store, parts.clock, parts.settings
    return AlertDesk(
        store,
        parts.access,
        parts.instruments,
        clock,
        DuplicateDetector(store, parts.redis, clock),
        parts.waiter or polling(store, clock, settings.outcome_wait_s),
        settings.webhook_sources,
    )


def _number_requests(app: Flask) -> None:
    @app.before_request
    def number_request() -> None:
        g.request_id = new_id()

    @app.after_request
    def name_request(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.setdefault("Cache-Control", "no-store")
        return response
