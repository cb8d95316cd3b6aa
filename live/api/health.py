"""Two questions of a watcher: does the process answer, and may alerts be sent to it.

Neither answer says anything of the account, of addresses or of secrets.
"""

from http import HTTPStatus

from flask import Blueprint, Response, jsonify
from psycopg2.errors import UndefinedTable

from core.db_state_manager import DatabaseStateManager
from core.errors import OutcomeUnknown, Retryable
from core.migrations import read_migrations

# What the schema was made of.
APPLIED = "SELECT version, sha256 FROM schema_migrations ORDER BY version"


def health_blueprint(store: DatabaseStateManager) -> Blueprint:
    """GET /health and /ready."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/health")
    def health() -> Response:
        return jsonify(status="ok")

    @blueprint.get("/ready")
    def ready() -> tuple[Response, int]:
        problem = _problem(store)
        if problem is None:
            return jsonify(status="ready"), HTTPStatus.OK
        return jsonify(status="not ready", reason=problem), HTTPStatus.SERVICE_UNAVAILABLE

    return blueprint


def _problem(store: DatabaseStateManager) -> str | None:
    expected = [(migration.version, migration.sha256) for migration in read_migrations()]
    try:
        applied = store.rows(APPLIED)
    except (Retryable, OutcomeUnknown):
        return "the database cannot be reached"
    except UndefinedTable:
        return "the database has no schema yet"
    return None if applied == expected else "the database's schema is not this program's"
