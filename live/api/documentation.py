"""A page to read /openapi.json by, whole in itself: no scripts, nothing from elsewhere."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, make_response, render_template_string

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ spec.info.title }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c2430; background: #fff }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #cbd3dd }
summary { cursor: pointer; padding: .3rem 0 }
code, pre { font: 13px/1.5 ui-monospace, monospace }
pre { background: #f3f5f8; padding: .7rem; overflow-x: auto }
b { display: inline-block; width: 4.5rem; color: #22577a }
td, th { text-align: left; padding: .1rem 1rem .1rem 0; vertical-align: top }
@media (prefers-color-scheme: dark) {
  body { color: #dbe2ea; background: #14181e } pre { background: #1e242c } b { color: #7fb7da } }
</style>
<h1>{{ spec.info.title }}</h1>
<p>{{ spec.info.description }} The same for programs: <a href="/openapi.json">/openapi.json</a>.</p>
{% for tag in spec.tags %}
<h2>{{ tag.name }}</h2>
<p>{{ tag.description }}</p>
{% for call in calls if tag.name in call.operation.tags %}
<details>
<summary><b>{{ call.method }}</b> <code>{{ call.path }}</code>
  {{ call.operation.summary }}</summary>
{% if call.operation.description %}<p>{{ call.operation.description }}</p>{% endif %}
{% if call.parameters %}
<table>{% for item in call.parameters %}
<tr><td><code>{{ item.name }}</code><td>{{ item.in }}<td>{{ "required" if item.required }}
<td><code>{{ item.schema | tojson }}</code>
{% endfor %}</table>
{% endif %}
{% if call.operation.requestBody %}
<pre>{{ call.operation.requestBody | tojson(indent=2) }}</pre>
{% endif %}
<pre>{{ call.operation.responses | tojson(indent=2) }}</pre>
</details>
{% endfor %}
{% endfor %}
<h2>Schemas</h2>
{% for name, schema in spec.components.schemas.items() %}
<details id="{{ name }}"><summary><code>{{ name }}</code></summary>
<pre>{{ schema | tojson(indent=2) }}</pre></details>
{% endfor %}
"""
_METHODS = ("get", "post", "put", "delete")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def documentation_blueprint(describe: Callable[[], Mapping[str, Any]]) -> Blueprint:
    """GET /docs. `describe` gives the OpenAPI description."""
    blueprint = Blueprint("documentation", __name__)

    @blueprint.get("/docs")
    def page() -> Response:
        spec = describe()
        calls = [
            {
                "method": method.upper(),
                "path": path,
                "operation": operations[method],
                "parameters": [
                    *operations.get("parameters", ()),
                    *operations[method].get("parameters", ()),
                ],
            }
            for path, operations in spec["paths"].items()
            for method in _METHODS
            if method in operations
        ]
        response = make_response(render_template_string(_PAGE, spec=spec, calls=calls))
        response.headers["Content-Security-Policy"] = _POLICY
        return response

    return blueprint
