"""``/openapi.json``: the description of the API (OpenAPI 3.1), built from its routes."""

from __future__ import annotations

import collections.abc as cabc
import functools
import http
import importlib.metadata
import re
import typing as t

import flask
import pydantic
import pydantic.json_schema
import werkzeug.routing

from ...instances import wc_auth
from ...instances.polled_resources import CONFIGURATION_KEY, PollerBlock
from ...instances.requests import DEFINITIONS, InstanceRequest, key_of
from ...instances.subscription_requests import SubscriptionRequest
from .. import (
    element_responses,
    erasure_responses,
    event_responses,
    reconcile_responses,
    responses,
    subscription_responses,
)
from ..blueprint import NAME
from ..erasures import ErasureRequest
from ..instances import EntryRequest
from . import sent_notifications
from .instance_operations import OPERATIONS, PATH_PARAMETERS
from .operation import Operation, Parameter, Schema, Shape

_PARAMETER = re.compile(r"<(?:[^<>:]*:)?(\w+)>")
_COMPONENTS = "#/components/schemas/{model}"
_MODELS: tuple[type[pydantic.BaseModel], ...] = tuple(
    model
    for module in (
        responses,
        element_responses,
        erasure_responses,
        event_responses,
        reconcile_responses,
        subscription_responses,
    )
    for model in vars(module).values()
    if isinstance(model, type) and issubclass(model, pydantic.BaseModel)
    if model is not responses.ApiResponse
)
_ABOUT = """\
Sends every created, updated and deleted object of a WooCommerce store to your callback as a signed
event. Each call needs a user's secret together with the organization's secret or the token of an
instance; a call can send both."""
_SECURITY = {
    "organization": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "User <USER_SECRET>, Organization <ORGANIZATION_SECRET>, and perhaps "
        "Element <INSTANCE_TOKEN> for the instance of a path without an id",
    },
    "element": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "User <USER_SECRET>, Element <INSTANCE_TOKEN>",
    },
}
_REASONS = {
    400: "The body or a parameter is wrong, or the store refused the request",
    401: "Authorization is missing or wrong, or the token's instance was deleted",
    403: "The instance is disabled, its keys lack the permission at the store, or the call is not "
    "about the token's instance",
    404: "It does not exist in the caller's organization, or a list is empty",
    405: "The resource does not support this method",
    406: "The header Accept excludes JSON",
    409: "It exists already, another request changed it at the same time, or a stored secret "
    "cannot be decrypted",
    413: "The body is too large",
    415: "The body is a form, or has another type and is not JSON",
    429: "The store received too many requests, or too many of ours wait for stores, receivers or "
    "events",
    502: "The store cannot be reached, or its answer is not one of WooCommerce",
    503: "The database is unreachable; Retry-After is the time to wait",
}
_HEADERS = {
    "Elements-Returned-Count": ("Number of rows on this page", "integer"),
    "Elements-Total-Count": ("Number of rows on all pages, with returnTotalCount", "integer"),
    "Elements-Next-Page-Token": (
        "The value of nextPage for the next page; absent on the last page",
        "string",
    ),
}


def register(blueprint: flask.Blueprint) -> None:
    """Add the route."""
    blueprint.add_url_rule("/openapi.json", view_func=openapi, methods=["GET"])


def openapi() -> flask.Response:
    """Answer the description of the API."""
    return flask.jsonify(describe_app(flask.current_app))


def describe_app(app: flask.Flask) -> Schema:
    """Return the description of an application's API."""
    blueprint = app.blueprints[NAME]
    prefix = blueprint.url_prefix or ""
    rules = [
        rule
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith(f"{blueprint.name}.")
        and not rule.endpoint.endswith("._unknown")
        # The pages for shop owners and their callback are not part of the API.
        and not rule.rule.startswith(f"{prefix}{wc_auth.PATH}")
    ]
    return describe(keys_of(rules, prefix), prefix)


def keys_of(rules: cabc.Iterable[werkzeug.routing.Rule], prefix: str) -> list[str]:
    """Return method and path of each route: ``GET /instances/{instance_id}``."""
    return [
        f"{method} {path}"
        for rule in rules
        for path in (_PARAMETER.sub(r"{\1}", rule.rule.removeprefix(prefix)),)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def describe(keys: cabc.Iterable[str], prefix: str) -> Schema:
    """Return the description of routes.

    :param keys: method and path of each.
    :raises KeyError: one is missing in ``OPERATIONS``.
    """
    paths: dict[str, Schema] = {}
    for key in keys:
        method, path = key.split(" ", 1)
        paths.setdefault(path, {})[method.lower()] = _operation(key, OPERATIONS[key])
    tags = dict.fromkeys(one.tag for one in OPERATIONS.values())
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Flask-Woo-Events",
            "version": importlib.metadata.version("flask-woo-events"),
            "description": _ABOUT,
        },
        "servers": [{"url": prefix or "/"}],
        "tags": [{"name": tag} for tag in (*tags, sent_notifications.TAG)],
        "paths": dict(sorted(paths.items())),
        "webhooks": sent_notifications.webhooks(),
        "components": {
            "schemas": {
                **_schemas(),
                **sent_notifications.schemas(),
                "Feed": sent_notifications.feed(),
            },
            "securitySchemes": _SECURITY,
        },
    }


def _operation(key: str, operation: Operation) -> Schema:
    path = key.split(" ", 1)[1]
    described: Schema = {
        "operationId": re.sub(r"\W+", "_", key).strip("_").lower(),
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [
            *(_path_parameter(name) for name in re.findall(r"\{(\w+)\}", path)),
            *(_parameter(one) for one in operation.query),
        ],
        "responses": _responses(operation),
        "security": _security(operation),
    }
    if operation.body is not None:
        content = {operation.body_media: {"schema": _schema(operation.body)}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    named: dict[str, tuple[str, ...]] = {
        "none": (),
        "account": ("organization",),
        "user": ("organization", "element"),
        "token": ("element",),
    }
    return [{name: []} for name in named[operation.authorization]]


def _path_parameter(name: str) -> Schema:
    text, schema = PATH_PARAMETERS[name]
    return {"name": name, "in": "path", "required": True, "description": text, "schema": schema}


def _parameter(one: Parameter) -> Schema:
    return {
        "name": one.name,
        "in": one.place,
        "required": one.required,
        "description": one.text,
        "schema": one.schema,
    }


def _responses(operation: Operation) -> Schema:
    good: Schema = {"description": http.HTTPStatus.OK.phrase}
    if operation.answer is not None:
        good["content"] = {operation.media: {"schema": _schema(operation.answer)}}
    if operation.headers:
        good["headers"] = {
            name: {"description": _HEADERS[name][0], "schema": {"type": _HEADERS[name][1]}}
            for name in operation.headers
        }
    refusals = {"none": (), "account": (401, 403, 406)}.get(operation.authorization, (401, 406))
    errors = {*operation.errors, *refusals}
    content = {"application/json": {"schema": _schema(responses.ErrorResponse)}}
    return {"200": good} | {
        str(status): {"description": _REASONS[status], "content": content}
        for status in sorted(errors)
    }


def _schema(shape: Shape) -> Schema:
    if isinstance(shape, dict):
        return shape
    if isinstance(shape, list):
        return {"type": "array", "items": _schema(shape[0])}
    return {"$ref": _COMPONENTS.format(model=shape.__name__.removesuffix(responses.SUFFIX))}


class _Generator(pydantic.json_schema.GenerateJsonSchema):
    """Describes ``XResponse`` as ``X``, and members that are always there as required."""

    def normalize_name(self, name: str) -> str:
        """Return the name of a model in the description."""
        return super().normalize_name(name.removesuffix(responses.SUFFIX))

    def field_is_required(self, field: t.Any, total: bool) -> bool:
        """Return whether an answer always has a member: all but those with the default None."""
        return field["schema"].get("default", ...) is not None


@functools.cache
def _schemas() -> Schema:
    """Return the models of bodies and answers by name."""
    requests = (InstanceRequest, EntryRequest, PollerBlock, SubscriptionRequest, ErasureRequest)
    _refs, read = pydantic.json_schema.models_json_schema(
        [(model, "validation") for model in requests], ref_template=_COMPONENTS
    )
    _refs, sent = pydantic.json_schema.models_json_schema(
        [(model, "serialization") for model in _MODELS],
        ref_template=_COMPONENTS,
        schema_generator=_Generator,
    )
    schemas: Schema = read["$defs"] | sent["$defs"]
    schemas["Configuration"] = _configuration()
    schemas["InstanceRequest"]["properties"]["configuration"] = {
        "$ref": _COMPONENTS.format(model="Configuration")
    }
    return schemas


def _configuration() -> Schema:
    """Return the schema of an instance's configuration; every value can be sent as text."""
    kinds: dict[str, Schema] = {
        "BOOLEAN": {"type": ["boolean", "string"]},
        CONFIGURATION_KEY: {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "additionalProperties": {"$ref": _COMPONENTS.format(model="PollerBlock")},
                },
            ]
        },
        key_of("refresh_minutes"): {"type": ["integer", "string"]},
        key_of("reconcile_minutes"): {"type": ["integer", "string"]},
        key_of("callback_headers"): {"type": ["object", "string"]},
        key_of("store_headers"): {"type": ["object", "string"]},
    }
    return {
        "type": "object",
        "description": "Keys of an instance's configuration; other keys are stored as they are",
        "properties": {
            key: {
                **kinds.get(key, kinds.get(one.type, {"type": "string"})),
                "title": one.name,
                "description": one.description,
                **({"default": one.default} if one.default else {}),
            }
            for key, one in DEFINITIONS.items()
        },
        "additionalProperties": True,
    }
