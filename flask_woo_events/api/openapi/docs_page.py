"""``/docs``: the description of the API as a page without scripts or assets of other hosts."""

from __future__ import annotations

import base64
import collections.abc as cabc
import dataclasses
import hashlib
import importlib.resources
import typing as t

import flask

from .document import describe_app
from .operation import Schema

_TEMPLATES = importlib.resources.files("flask_woo_events.api") / "templates" / "woo_events"


@dataclasses.dataclass(frozen=True)
class _Call:
    """One operation as the page shows it."""

    method: str
    path: str
    operation: Schema
    body: str
    answer: str


@dataclasses.dataclass(frozen=True)
class _Member:
    """One member of a model."""

    name: str
    type: str
    required: bool
    text: str


def register(blueprint: flask.Blueprint) -> None:
    """Add the route."""
    blueprint.add_url_rule("/docs", view_func=docs, methods=["GET"])


def docs() -> flask.Response:
    """Show the description of the API."""
    style = _TEMPLATES.joinpath("docs.css").read_text(encoding="utf-8")
    described = describe_app(flask.current_app)
    page = flask.render_template(
        "woo_events/docs.html",
        api=described,
        groups=_groups(described),
        models={name: _members(one) for name, one in described["components"]["schemas"].items()},
        type_of=_type,
        style=style,
    )
    response = flask.Response(page, mimetype="text/html")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _groups(described: Schema) -> dict[str, list[_Call]]:
    groups: dict[str, list[_Call]] = {tag["name"]: [] for tag in described["tags"]}
    for path, calls in (described["paths"] | described["webhooks"]).items():
        for method, operation in calls.items():
            body = operation.get("requestBody", {}).get("content", {})
            answer = operation["responses"].get("200", {}).get("content", {})
            call = _Call(method.upper(), path, operation, _media_types(body), _media_types(answer))
            groups[operation["tags"][0]].append(call)
    return {tag: calls for tag, calls in groups.items() if calls}


def _media_types(content: cabc.Mapping[str, t.Any]) -> str:
    return " or ".join(_type(media["schema"]) for media in content.values())


def _members(schema: Schema) -> list[_Member]:
    required = schema.get("required", ())
    inherited = [
        _Member("...", f"all of {_type(one)}", True, "") for one in schema.get("allOf", ())
    ]
    return inherited + [
        _Member(name, _type(one), name in required, one.get("description", ""))
        for name, one in schema.get("properties", {}).items()
    ]


def _type(schema: Schema) -> str:
    """Return the type of a schema in words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(_type(one) for one in schema[key]))
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return str(kind)
