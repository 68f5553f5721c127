"""``/elements``: the one element that there is, what it can do and what it asks for."""

from __future__ import annotations

import typing as t

import flask
import orjson

from ..db.models import EventType
from ..errors import NotFoundError
from ..instances.polled_resources import CONFIGURATION_KEY, default_configuration
from ..instances.requests import DEFINITIONS, Definition
from ..values.cloud_elements import ELEMENT_ID, ELEMENT_KEY, ELEMENT_NAMES, HUB_KEY
from ..woocommerce import endpoints
from .request import caller, flag
from .serializers import ELEMENT

Answer = tuple[dict[str, t.Any], int] | flask.Response

#: Resources of which WooCommerce's webhooks tell.
HOOKED = endpoints.DEFAULT_RESOURCES


def register(blueprint: flask.Blueprint) -> None:
    """Add the routes."""
    add = blueprint.add_url_rule
    add("/elements", view_func=list_elements, methods=["GET"])
    add("/elements/metadata", view_func=list_metadata, methods=["GET"])
    add("/elements/<element>", view_func=get_element, methods=["GET"])
    add("/elements/<element>/metadata", view_func=get_metadata, methods=["GET"])
    add("/elements/<element>/configuration", view_func=get_definitions, methods=["GET"])


def list_elements() -> Answer:
    """List the elements; there is one."""
    caller()
    return flask.jsonify([described()])


def get_element(element: str) -> Answer:
    """Show an element by its key or id."""
    _known(element)
    return described(), 200


def list_metadata() -> Answer:
    """List what each element can do."""
    caller()
    return flask.jsonify([metadata(expand=flag("expand"))])


def get_metadata(element: str) -> Answer:
    """Tell what an element can do: events, paging, objects."""
    _known(element)
    return metadata(expand=flag("expand")), 200


def get_definitions(element: str) -> Answer:
    """List the keys that an instance's configuration may have, with their defaults."""
    _known(element)
    return flask.jsonify(definitions())


def _known(element: str) -> None:
    """Refuse another element than ours; who calls comes before that."""
    caller()
    if element not in ELEMENT_NAMES:
        raise NotFoundError(f"No element found; the only one here is {ELEMENT_KEY}")


def described() -> dict[str, t.Any]:
    """The element with its configuration."""
    return ELEMENT | {"configuration": definitions()}


def definitions() -> list[dict[str, t.Any]]:
    """The definitions of the configuration's keys (element export of 2020)."""
    return [
        _definition(number, key, definition)
        for number, (key, definition) in enumerate(DEFINITIONS.items(), ELEMENT_ID * 1000 + 1)
    ]


def _definition(number: int, key: str, definition: Definition) -> dict[str, t.Any]:
    default = definition.default
    if key == CONFIGURATION_KEY:
        default = orjson.dumps(default_configuration()).decode()
    return {
        "id": number,
        "name": definition.name,
        "key": key,
        "description": definition.description,
        "defaultValue": default,
        "resellerConfig": False,
        "companyConfig": False,
        "active": True,
        "internal": False,
        "groupControl": False,
        "isPrivate": False,
        "displayOrder": definition.order,
        "type": definition.type,
        "hideFromConsole": definition.hidden,
        "required": definition.required,
    }


def metadata(*, expand: bool) -> dict[str, t.Any]:
    """What the element can do.

    :param expand: tell of each object, instead of naming it.
    """
    types = [one.value for one in EventType]
    polled = {
        name: {"eventTypes": types, "pollUrl": f"/hubs/{HUB_KEY}/{name}"}
        for name in endpoints.names()
    }
    return {
        "id": ELEMENT_ID,
        "key": ELEMENT_KEY,
        "name": ELEMENT["name"],
        "description": ELEMENT["description"],
        "hub": HUB_KEY,
        "beta": False,
        "authentication": ELEMENT["authentication"],
        "endpoint": {"type": "rest"},
        "normalizedPaging": {"supported": True},
        "bulk": {"upload": False, "download": False},
        "events": {
            "supported": True,
            "methods": ["polling", "webhook"],
            "polling": polled,
            "webhook": {name: {"eventTypes": types} for name in HOOKED},
        },
        "objects": [_object(name, types) for name in polled] if expand else list(polled),
    }


def _object(name: str, types: list[str]) -> dict[str, t.Any]:
    return {
        "name": name,
        "vendorName": endpoints.named(name).path,
        "type": "vendor",
        "eventsEnabled": True,
        "eventCreatedSupported": True,
        "eventUpdatedSupported": True,
        "eventDeletedSupported": True,
        "vendorEventTypes": types if name in HOOKED else [],
    }
