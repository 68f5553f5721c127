"""The notifications that callbacks receive: the ``webhooks`` of the description, and their models.

The objects are WooCommerce's own (``store_objects``); their members may be left out or null, and
extensions of the store add others.
"""

from __future__ import annotations

import functools
import typing as t

from ...db.states import EventType
from ...events.changes import NAMES
from ...values.cloud_elements import ELEMENT_KEY, HUB_KEY, SENDER, Format
from . import store_objects
from .operation import Schema

#: The model of a resource's objects, by the resource's usual name.
RESOURCES = {
    "customers": "Customer",
    "discounts": "Coupon",
    "orders": "Order",
    "products": "Product",
}
#: Stands for any other resource.
OTHER = "other"
TAG = "callbacks"
_TEST = "test"

_DATE: Schema = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}
_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "integer"}
_HEADERS = {
    "Elements-Webhook-Id": "message.eventId",
    "Elements-Webhook-Signature": "sha256= and the Base64 HMAC-SHA256 of the body",
    "Elements-Webhook-Signature-Previous": "The same with the previous key, after a change",
    "webhook-id": "message.eventId (Standard Webhooks)",
    "webhook-timestamp": "Time of the attempt, in seconds since 1970",
    "webhook-signature": "v1, and the Base64 HMAC-SHA256 of id, timestamp and body",
}


@functools.cache
def webhooks() -> dict[str, Schema]:
    """Return the requests to callbacks, by resource and format."""
    bodies = {
        _name(resource, chosen): _body_name(resource, chosen)
        for chosen in Format
        for resource in (*RESOURCES, OTHER)
    }
    return {name: _webhook(name, model) for name, model in sorted(bodies.items())} | {
        _TEST: _webhook(_TEST, "TestNotification")
    }


@functools.cache
def schemas() -> dict[str, Schema]:
    """Return the models of these requests by name."""
    found = {
        name: _with_event(store_objects.load()[name], name) for name in sorted(RESOURCES.values())
    }
    found["OtherObject"] = _with_event(
        {"type": "object", "properties": {}, "description": "An object of another resource"},
        "OtherObject",
    )
    found["DeletedObject"] = _closed(
        id={"type": ["integer", "string"]},
        objectId=_TEXT,
        eventType={"const": EventType.DELETED},
    ) | {"description": "All that is certain of a deleted object"}
    for chosen in Format:
        found |= {_event_name(kind, chosen): _event(kind, chosen) for kind in EventType}
        for resource in (*RESOURCES, OTHER):
            found |= _body(resource, chosen)
    return found | {"TestNotification": _test()}


def _name(resource: str, chosen: Format) -> str:
    return resource if chosen is Format.CLOUD_ELEMENTS else f"{resource}-{chosen}"


def _body_name(resource: str, chosen: Format) -> str:
    extended = "Extended" if chosen is Format.EXTENDED else ""
    return f"{extended}{resource.capitalize()}Notification"


def _event_name(kind: EventType, chosen: Format) -> str:
    extended = "Extended" if chosen is Format.EXTENDED else ""
    return f"{extended}{kind.capitalize()}Event"


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _closed(**members: Schema) -> Schema:
    """Return an object that has these members and no others."""
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def _webhook(name: str, model: str) -> Schema:
    resource, _, form = name.partition("-")
    about = "Events" if resource == OTHER else f"Events of {resource}"
    return {
        "post": {
            "operationId": f"notification_{name.replace('-', '_')}",
            "summary": "A test notification" if name == _TEST else f"{about}, {form or 'strict'}",
            "tags": [TAG],
            "security": [],
            "parameters": [
                {"name": header, "in": "header", "description": text, "schema": _TEXT}
                for header, text in _HEADERS.items()
            ],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _ref(model)}},
            },
            "responses": {
                "2XX": {"description": "Accepted"},
                "default": {"description": "Failed; it is sent again"},
            },
        }
    }


def _with_event(shape: Schema, name: str) -> Schema:
    """Return a record of ``raw``: an object of the store that is there."""
    kinds = [EventType.CREATED, EventType.UPDATED]
    added = {"objectId": _TEXT, "eventType": {"type": "string", "enum": kinds}}
    return {
        **shape,
        "type": "object",
        "title": name,
        "properties": {**shape["properties"], **added},
        "required": list(added),
        "additionalProperties": True,
    }


def _event(kind: EventType, chosen: Format) -> Schema:
    shape = _closed(
        date=_DATE | {"description": "Date of the change"},
        elementKey={"const": ELEMENT_KEY},
        pollDate=_DATE | {"description": "When the poll began"},
        eventType={"const": kind},
        hubKey={"const": HUB_KEY},
        objectId=_TEXT,
        objectType=_TEXT,
    )
    if chosen is Format.EXTENDED:
        shape["properties"]["version"] = _NUMBER | {"minimum": 1}
        shape["required"] = [*shape["required"], "version"]
        if kind is EventType.UPDATED:
            shape["properties"] |= change_members()
    return shape


def change_members() -> dict[str, Schema]:
    """Return the members that say what an UPDATED event changed."""
    value = {
        "type": "object",
        "properties": {"before": {}, "after": {}},
        "additionalProperties": False,
        "description": "One of both: added or removed; none: too long",
    }
    return {
        "changedFields": {"type": "array", "items": _TEXT},
        "names": {
            "type": "array",
            "items": {"type": "string", "enum": list(NAMES)},
            "minItems": 1,
            "description": "Names of the changes",
        },
        "changes": {
            "type": "object",
            "additionalProperties": value,
            "description": "What changed, by path, such as line_items[12].quantity",
        },
        "truncated": {"const": True, "description": "Some changes are too long"},
    }


def _body(resource: str, chosen: Format) -> dict[str, Schema]:
    name = _body_name(resource, chosen)
    record = {"anyOf": [_ref(RESOURCES.get(resource, "OtherObject")), _ref("DeletedObject")]}
    records = {"type": "array", "items": record}
    raw = _closed(
        pollDate=_NUMBER | {"description": "Milliseconds since 1970"},
        objectType={"const": resource},
        **{resource: records},
    )
    if resource == OTHER:
        del raw["properties"][OTHER]
        raw |= {"required": ["pollDate", "objectType"], "additionalProperties": records}
        raw["properties"]["objectType"] = _TEXT
    kinds = {kind: _ref(_event_name(kind, chosen)) for kind in EventType}
    event = {
        "oneOf": list(kinds.values()),
        "discriminator": {
            "propertyName": "eventType",
            "mapping": {kind.value: ref["$ref"] for kind, ref in kinds.items()},
        },
    }
    part = name.removesuffix("Notification")
    message = _message(
        raw=_ref(f"{part}Raw"),
        events={"type": "array", "items": event, "minItems": 1, "maxItems": 20},
    )
    return {
        name: _envelope(_ref(f"{part}Message"), "medium", "create"),
        f"{part}Message": message,
        f"{part}Raw": raw,
    }


def _message(raw: Schema, events: Schema) -> Schema:
    return _closed(
        elementKey={"const": ELEMENT_KEY},
        accountId=_NUMBER,
        eventId=_TEXT | {"minLength": 20, "maxLength": 20},
        companyId=_NUMBER,
        instanceId=_NUMBER,
        instance_id=_NUMBER,
        instanceName=_TEXT,
        instanceTags={"type": "array", "items": _TEXT},
        raw=raw,
        userId=_NUMBER,
        events=events,
    )


def _test() -> Schema:
    message = _message(
        raw={"type": "object", "maxProperties": 0},
        events={"type": "array", "maxItems": 0, "items": {}},
    )
    message["properties"]["test"] = {"const": True, "description": "Only in extended"}
    return _envelope(message, "low", "test")


def _envelope(message: Schema, severity: str, action: str) -> Schema:
    shape: dict[str, t.Any] = {
        "severity": {"const": severity},
        "createdDate": _TEXT,
        "topic": _TEXT,
        "action": {"const": action},
        "id": _TEXT | {"pattern": "^[0-9]+$"},
        "message": message,
        "user": {"const": SENDER},
    }
    return _closed(**shape)
