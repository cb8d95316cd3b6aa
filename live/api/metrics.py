"""What a monitor reads: for viewers only, wherever they call from.

The loopback address opens nothing: whoever comes through a tunnel or a proxy on this machine seems
to come from there, and the account's equity is among the figures.
"""

from flask import Blueprint, Response, request
from prometheus_client import CONTENT_TYPE_LATEST

from core.db_state_manager import DatabaseStateManager
from live.access import Access, Role
from live.account_gauges import AccountGauges
from live.metrics import exposition


def metrics_blueprint(store: DatabaseStateManager, access: Access) -> Blueprint:
    """GET /metrics, with a viewer's or operator's token as bearer."""
    blueprint = Blueprint("metrics", __name__)
    gauges = AccountGauges(store)

    @blueprint.get("/metrics")
    def metrics() -> Response:
        given = request.authorization
        access.demand(given.token if given and given.type == "bearer" else None, Role.VIEWER)
        return Response(exposition(gauges), content_type=CONTENT_TYPE_LATEST)

    return blueprint
