"""What a monitor reads, for viewers only, wherever they call from; and what is counted of alerts.

The loopback address opens nothing: whoever comes through a tunnel or a proxy on this machine seems
to come from there, and the account's equity is among the figures. Registered after the webhook's
room, it times and counts every alert's answer, also those that were refused.
"""

import json
from http import HTTPStatus

from flask import Blueprint, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST
from werkzeug.exceptions import HTTPException

from core.db_state_manager import DatabaseStateManager
from core.models import SignalType
from live.access import Access, Role
from live.account_gauges import AccountGauges
from live.metrics import alert_answered, exposition, webhook_began

_ALERTS = "webhook"
_UNTRUSTED = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
)


def metrics_blueprint(store: DatabaseStateManager, access: Access) -> Blueprint:
    """GET /metrics, with a viewer's or operator's token as bearer."""
    blueprint = Blueprint("metrics", __name__)
    gauges = AccountGauges(store)

    @blueprint.get("/metrics")
    def metrics() -> Response:
        given = request.authorization
        access.demand(given.token if given and given.type == "bearer" else None, Role.VIEWER)
        return Response(exposition(gauges), content_type=CONTENT_TYPE_LATEST)

    @blueprint.before_app_request
    def begin() -> None:
        if request.blueprint == _ALERTS:
            g.alert_answered = webhook_began()

    @blueprint.after_app_request
    def end(response: Response) -> Response:
        if request.blueprint == _ALERTS and "alert_answered" in g:
            g.alert_answered()
            untrusted = response.status_code in _UNTRUSTED
            answer = (response.get_json(silent=True) or {}).get("status", "error")
            alert_answered(None if untrusted else _type_asked(), answer)
        return response

    return blueprint


def _type_asked() -> SignalType | None:
    """The type that the alert in the request names; None where it cannot be told."""
    try:
        return SignalType(json.loads(request.get_data())["type"].upper())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, HTTPException):
        return None
