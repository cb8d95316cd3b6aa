"""One way to write an endpoint: what it takes, what it answers, and the view in between.

Arguments that cannot be read are refused with their fields before the view is called. The
documentation at /openapi.json follows from the same lines.
"""

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar, cast

from flask import Request
from flask_smorest import Blueprint  # type: ignore[import-untyped]
from marshmallow import Schema, ValidationError, fields
from webargs import core
from webargs.flaskparser import FlaskParser, is_json_request
from werkzeug.exceptions import UnsupportedMediaType

from live.api.refusals import ArgumentsInvalid

View = TypeVar("View", bound=Callable[..., object])


class Refusal(Schema):
    """The answer to whatever could not be done."""

    status = fields.String(required=True)
    code = fields.String(required=True)
    reason = fields.String(required=True)
    request_id = fields.String(required=True)
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()))


class _Parser(FlaskParser):
    DEFAULT_VALIDATION_STATUS = 400
    DEFAULT_UNKNOWN_BY_LOCATION = {"json": "raise", "query": "raise"}  # noqa: RUF012

    def _raw_load_json(self, req: Request) -> Any:
        body = req.get_data(cache=True)
        if body and not is_json_request(req):
            raise UnsupportedMediaType("the body must be application/json")
        try:
            return core.parse_json(body) if body else core.missing
        except RecursionError as error:
            raise ArgumentsInvalid({"body": ["is nested too deeply"]}) from error
        except ValueError as error:
            raise ArgumentsInvalid({"body": ["is not JSON"]}) from error

    def handle_error(self, error: ValidationError, *args: Any, **more: Any) -> NoReturn:
        told: Any = error.messages
        by_field = next(iter(told.values()))
        raise ArgumentsInvalid(_by_field(by_field))


class Room(Blueprint):  # type: ignore[misc]
    """Endpoints that belong together, under one name in the documentation."""

    ARGUMENTS_PARSER = _Parser()

    def on(
        self,
        method: str,
        rule: str,
        answer: type[Schema] | None,
        *,
        query: type[Schema] | None = None,
        body: type[Schema] | None = None,
        status: int = 200,
    ) -> Callable[[View], View]:
        """A view of `rule`; its arguments are the fields of `query` and `body`, by name."""

        def endpoint(view: View) -> View:
            made = self.response(status, answer)(view)
            if body is not None:
                made = self.arguments(body, location="json", as_kwargs=True)(made)
            if query is not None:
                made = self.arguments(query, location="query", as_kwargs=True)(made)
            self.route(rule, methods=[method])(made)
            return view

        return endpoint

    def get_from(
        self, rule: str, answer: type[Schema] | None, query: type[Schema] | None = None
    ) -> Callable[[View], View]:
        """A view that only reads."""
        return self.on("GET", rule, answer, query=query)

    def also_answers(
        self, status: int, answer: type[Schema] | None, **more: object
    ) -> Callable[[View], View]:
        """Another answer of the view, for the documentation."""
        return cast(Callable[[View], View], self.alt_response(status, schema=answer, **more))

    def told(self, **words: object) -> Callable[[View], View]:
        """What else the documentation says of the view, in OpenAPI's words."""
        return cast(Callable[[View], View], self.doc(**words))


def _by_field(messages: Any, path: str = "") -> dict[str, list[str]]:
    """Messages nested as the arguments are, as lists by dotted field."""
    if isinstance(messages, dict):
        found: dict[str, list[str]] = {}
        for name, inner in messages.items():
            here = "body" if name == "_schema" else str(name)
            found |= _by_field(inner, f"{path}.{here}" if path else here)
        return found
    told = messages if isinstance(messages, list) else [messages]
    return {path or "body": [str(item) for item in told]}
