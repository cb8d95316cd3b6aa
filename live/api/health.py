"""Two questions of a watcher: does the process answer, and may alerts be sent to it.

Neither answer says anything of the account, of addresses or of secrets.
"""

from collections.abc import Callable
from http import HTTPStatus

from flask import Response, jsonify
from marshmallow import Schema, fields
from psycopg2.errors import UndefinedTable
from redis import Redis
from redis.exceptions import RedisError

from core.db_state_manager import DatabaseStateManager
from core.errors import OutcomeUnknown, Retryable
from core.migrations import read_migrations
from live.api.rest import Room

# What the schema was made of.
APPLIED = "SELECT version, sha256 FROM schema_migrations ORDER BY version"


class Condition(Schema):
    """How it is, and where it is not well, why."""

    status = fields.String(required=True)
    reason = fields.String()


class Health(Condition):
    """How the process is. `order_stream`: whether the gateway tells it of orders by itself."""

    order_stream = fields.String()


def health_room(
    store: DatabaseStateManager,
    is_recovered: Callable[[], bool],
    redis: Redis | None,
    stream_state: Callable[[], str | None],
) -> Room:
    """GET /health and /ready. Without Redis all goes on, with the database alone.

    A stream that is closed makes nothing degraded: orders are polled, as with an open one.
    """
    room = Room("health", __name__, description="Does it run, and may alerts be sent to it")

    @room.get_from("/health", Health)
    @room.told(security=[])
    def health() -> Response:
        """The process answers; degraded where it does without Redis."""
        missing, stream = _redis_problem(redis), stream_state()
        told = {"status": "degraded", "reason": missing} if missing else {"status": "ok"}
        return jsonify(told if stream is None else {**told, "order_stream": stream})

    @room.get_from("/ready", Condition)
    @room.also_answers(503, Condition)
    @room.told(security=[])
    def ready() -> tuple[Response, int]:
        """The database is there with this program's schema, and what was begun is looked after."""
        problem = _problem(store)
        if problem is None and not is_recovered():
            problem = "what was left behind is being looked at, or nothing can be written"
        if problem is None:
            return jsonify(status="ready"), HTTPStatus.OK
        return jsonify(status="not ready", reason=problem), HTTPStatus.SERVICE_UNAVAILABLE

    return room


def _redis_problem(redis: Redis | None) -> str | None:
    if redis is None:
        return "there is no Redis: the database does its work"
    try:
        redis.ping()
    except (RedisError, OSError):
        return "Redis does not answer: the database does its work"
    return None


def _problem(store: DatabaseStateManager) -> str | None:
    expected = [(migration.version, migration.sha256) for migration in read_migrations()]
    try:
        applied = store.rows(APPLIED)
    except (Retryable, OutcomeUnknown):
        return "the database cannot be reached"
    except UndefinedTable:
        return "the database has no schema yet"
    return None if applied == expected else "the database's schema is not this program's"
