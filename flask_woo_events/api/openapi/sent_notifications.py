"""The notifications that callbacks receive: the ``webhooks`` of the description, and their models.

The objects are WooCommerce's own (``store_objects``); their members may be left out or null, and
extensions of the store add others.
"""

from __future__ import annotations

import functools

from ...db.states import EventType
from ...delivery import cloudevents
from ...events.changes import NAMES
from ...values import operational_kinds
from ...values.cloud_elements import ELEMENT_KEY, HUB_KEY, Format
from ...values.operational_kinds import KINDS
from . import store_objects
from .notification_parts import DATE, NUMBER, TEXT, closed, envelope, message, ref, structured
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
#: Formats whose notifications have the objects in ``raw``.
_WHOLE = (Format.CLOUD_ELEMENTS, Format.EXTENDED)

_HEADERS = {
    "Elements-Webhook-Id": "message.eventId",
    "Elements-Webhook-Signature": "sha256= and the Base64 HMAC-SHA256 of the body",
    "Elements-Webhook-Signature-Previous": "The same with the previous key, after a change",
    "webhook-id": "message.eventId (Standard Webhooks)",
    "webhook-timestamp": "Time of the attempt, in seconds since 1970",
    "webhook-signature": "v1, and the Base64 HMAC-SHA256 of id, timestamp and body",
    "traceparent": "W3C Trace Context of the attempt, if the application collects traces",
}


_EVENT_HEADERS = {
    "Content-Type": cloudevents.CONTENT_TYPE,
    "webhook-id": "The event's id (Standard Webhooks)",
    "webhook-timestamp": _HEADERS["webhook-timestamp"],
    "webhook-signature": _HEADERS["webhook-signature"],
    "traceparent": _HEADERS["traceparent"],
}


@functools.cache
def webhooks() -> dict[str, Schema]:
    """Return the requests to callbacks, by resource and format."""
    found: dict[str, Schema] = {}
    for resource in (*RESOURCES, OTHER):
        about = "Events" if resource == OTHER else f"Events of {resource}"
        for chosen in _WHOLE:
            kind = "strict" if chosen is Format.CLOUD_ELEMENTS else chosen
            model = _body_name(resource, chosen)
            found[_name(resource, chosen)] = _webhook(f"{about}, {kind}", model)
        about = about.replace("Events", "One event", 1)
        found[_name(resource, Format.CLOUDEVENTS)] = _event_webhook(
            f"{about}, CloudEvents", _cloud_event_name(resource)
        )
    found["thin"] = _webhook("Events of any resource, without the objects", "ThinNotification")
    name = operational_kinds.RESOURCE
    for chosen in (*_WHOLE, Format.THIN):
        strict = "strict" if chosen is Format.CLOUD_ELEMENTS else chosen
        model = _operational_name("Notification", chosen)
        found[_name(name, chosen)] = _webhook(f"An operational event, {strict}", model)
    found[_name(name, Format.CLOUDEVENTS)] = _event_webhook(
        "An operational event, CloudEvents", _cloud_event_name(name)
    )
    found = dict(sorted(found.items()))
    found[_TEST] = _webhook("A test notification", "TestNotification")
    found[f"{_TEST}-{Format.CLOUDEVENTS}"] = _event_webhook(
        "A test notification, CloudEvents", "TestCloudEvent"
    )
    for name, one in found.items():
        one["post"]["operationId"] = f"notification_{name.replace('-', '_')}"
    return found


@functools.cache
def schemas() -> dict[str, Schema]:
    """Return the models of these requests by name."""
    found: dict[str, Schema] = {}
    other: Schema = {"type": "object", "description": "An object of another resource"}
    for name in (*sorted(RESOURCES.values()), "Other"):
        shape = store_objects.load().get(name) or {**other, "properties": {}}
        plain, record = _object_name(name), _record_name(name)
        found[plain] = {
            **shape,
            "type": "object",
            "title": plain,
            "additionalProperties": True,
        }
        found[record] = _with_event(plain, record)
    gone = {"type": ["integer", "string"]}
    certain = {"description": "All that is certain of a deleted object"}
    found["DeletedObject"] = (
        closed(id=gone, objectId=TEXT, eventType={"const": EventType.DELETED}) | certain
    )
    found["GoneObject"] = closed(id=gone) | certain
    for chosen in _WHOLE:
        found |= {_event_name(kind, chosen): _event(kind, chosen) for kind in EventType}
    for resource in (*RESOURCES, OTHER):
        for chosen in _WHOLE:
            found |= _body(resource, chosen)
        found |= _cloud_event(resource)
    tests = {"TestNotification": _test(), "TestCloudEvent": _test_cloud_event()}
    return found | _thin() | _operational() | tests


def feed() -> Schema:
    """Return the model of an answer of a feed, with events in any format."""
    resources = (*RESOURCES, OTHER)
    names = [_body_name(resource, chosen) for resource in resources for chosen in _WHOLE]
    names += [*map(_cloud_event_name, resources), "ThinNotification"]
    about = "Each as a notification of its own, or as a CloudEvent"
    return closed(
        events={
            "type": "array",
            "items": {"anyOf": [ref(name) for name in names]},
            "description": about,
        },
        cursor=TEXT | {"description": "For the next request"},
        truncated={
            "type": "boolean",
            "description": "Retention has deleted events after the cursor of the request",
        },
        more={"type": "boolean", "description": "More events may be there already"},
    )


def _name(resource: str, chosen: Format) -> str:
    return resource if chosen is Format.CLOUD_ELEMENTS else f"{resource}-{chosen}"


def _body_name(resource: str, chosen: Format) -> str:
    extended = "Extended" if chosen is Format.EXTENDED else ""
    return f"{extended}{resource.capitalize()}Notification"


def _cloud_event_name(resource: str) -> str:
    return f"{resource.capitalize()}CloudEvent"


def _event_name(kind: EventType, chosen: Format) -> str:
    if chosen is Format.THIN and kind is EventType.UPDATED:
        return "ThinUpdatedEvent"
    extended = "" if chosen is Format.CLOUD_ELEMENTS else "Extended"
    return f"{extended}{kind.capitalize()}Event"


def _object_name(kind: str) -> str:
    """Return the model of an object as the store shows it."""
    return f"Store{kind}"


def _record_name(kind: str) -> str:
    """Return the model of an object in ``raw``."""
    return "OtherObject" if kind == "Other" else kind


def _webhook(
    about: str,
    model: str,
    headers: dict[str, str] = _HEADERS,
    media: str = "application/json",
) -> Schema:
    return {
        "post": {
            "summary": about,
            "tags": [TAG],
            "security": [],
            "parameters": [
                {"name": header, "in": "header", "description": text, "schema": TEXT}
                for header, text in headers.items()
            ],
            "requestBody": {"required": True, "content": {media: {"schema": ref(model)}}},
            "responses": {
                "2XX": {"description": "Accepted"},
                "default": {"description": "Failed; it is sent again"},
            },
        }
    }


def _event_webhook(about: str, model: str) -> Schema:
    return _webhook(about, model, _EVENT_HEADERS, cloudevents.CONTENT_TYPE.partition(";")[0])


def _with_event(plain: str, name: str) -> Schema:
    """Return a record of ``raw``: an object of the store that is there."""
    kinds = [EventType.CREATED, EventType.UPDATED]
    added = {"objectId": TEXT, "eventType": {"type": "string", "enum": kinds}}
    return {
        "allOf": [ref(plain)],
        "type": "object",
        "title": name,
        "properties": added,
        "required": list(added),
        "additionalProperties": True,
    }


def _event(kind: EventType, chosen: Format) -> Schema:
    shape = closed(
        date=DATE | {"description": "Date of the change"},
        elementKey={"const": ELEMENT_KEY},
        pollDate=DATE | {"description": "When the poll began"},
        eventType={"const": kind},
        hubKey={"const": HUB_KEY},
        objectId=TEXT,
        objectType=TEXT,
    )
    if chosen is not Format.CLOUD_ELEMENTS:
        shape["properties"]["version"] = NUMBER | {"minimum": 1}
        shape["required"] = [*shape["required"], "version"]
        if kind is EventType.UPDATED:
            members = change_members()
            # Thin events have nothing of the shop's data.
            shown = ("changedFields", "names") if chosen is Format.THIN else members
            shape["properties"] |= {name: members[name] for name in shown}
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
        "changedFields": {"type": "array", "items": TEXT},
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
    record = {"anyOf": [ref(RESOURCES.get(resource, "OtherObject")), ref("DeletedObject")]}
    records = {"type": "array", "items": record}
    raw = closed(
        pollDate=NUMBER | {"description": "Milliseconds since 1970"},
        objectType={"const": resource},
        **{resource: records},
    )
    if resource == OTHER:
        del raw["properties"][OTHER]
        raw |= {"required": ["pollDate", "objectType"], "additionalProperties": records}
        raw["properties"]["objectType"] = TEXT
    part = name.removesuffix("Notification")
    return {
        name: envelope(ref(f"{part}Message"), "medium", "create"),
        f"{part}Message": message(raw=ref(f"{part}Raw"), events=_events(chosen)),
        f"{part}Raw": raw,
    }


def _events(chosen: Format) -> Schema:
    kinds = {kind: ref(_event_name(kind, chosen)) for kind in EventType}
    event = {
        "oneOf": list(kinds.values()),
        "discriminator": {
            "propertyName": "eventType",
            "mapping": {kind.value: ref["$ref"] for kind, ref in kinds.items()},
        },
    }
    return {"type": "array", "items": event, "minItems": 1, "maxItems": 20}


def _thin() -> dict[str, Schema]:
    """Return the models of a notification without the objects."""
    raw = closed(pollDate=NUMBER | {"description": "Milliseconds since 1970"}, objectType=TEXT)
    updated = EventType.UPDATED
    return {
        _event_name(updated, Format.THIN): _event(updated, Format.THIN),
        "ThinNotification": envelope(ref("ThinMessage"), "medium", "create"),
        "ThinMessage": message(raw=ref("ThinRaw"), events=_events(Format.THIN)),
        "ThinRaw": raw,
    }


def _cloud_event(resource: str) -> dict[str, Schema]:
    """Return the models of one event of a resource as CloudEvents 1.0, and of its data."""
    plain = _object_name(RESOURCES.get(resource, "Other"))
    kinds = [kind.value for kind in EventType]
    named = TEXT if resource == OTHER else {"const": resource}
    data = closed(
        objectType=named,
        objectId=TEXT,
        eventType={"type": "string", "enum": kinds},
        version=NUMBER | {"minimum": 1},
        pollDate=DATE | {"description": "When the poll began"},
        instanceId=NUMBER,
        instanceName=TEXT,
        instanceTags={"type": "array", "items": TEXT},
        object={"anyOf": [ref("GoneObject"), ref(plain)]},
    )
    data["properties"] |= change_members()
    prefix = f"{cloudevents.TYPE_PREFIX}.{resource}"
    kind = (
        TEXT
        if resource == OTHER
        else {"type": "string", "enum": [f"{prefix}.{one.lower()}" for one in kinds]}
    )
    name = f"{resource.capitalize()}EventData"
    members = {"subject": TEXT, "objectversion": NUMBER | {"minimum": 1}}
    return {
        _cloud_event_name(resource): structured(kind, ref(name), **members),
        name: data,
    }


def _operational_name(part: str, chosen: Format) -> str:
    # With the record, a thin notification is as an extended one.
    extended = "" if chosen is Format.CLOUD_ELEMENTS else "Extended"
    return f"{extended}Operational{part}"


def _operational() -> dict[str, Schema]:
    """Return the models of operational events in all formats."""
    resource, kinds = operational_kinds.RESOURCE, {"type": "string", "enum": list(KINDS)}
    shown, only = {"objectId": TEXT, "eventType": kinds}, {"minItems": 1, "maxItems": 1}
    count = closed(
        resource=TEXT,
        count=NUMBER | {"minimum": 0},
        digest=TEXT | {"pattern": "^[0-9a-f]{64}$"},
        lastNotificationId=TEXT | {"description": "id of the last notification that it counts"},
        date=DATE | {"description": "The greatest modified date of an object"},
        pollDate=DATE | {"description": "When the last complete poll began"},
    )
    count["required"] = ["resource", "count", "digest"]
    members: dict[str, Schema] = {
        "kind": kinds,
        "problemId": TEXT | {"description": "The same at a begin and its end"},
        "since": DATE,
        "text": TEXT,
        "costs": TEXT | {"description": "What is late or missing while it lasts"},
        "ends": TEXT | {"description": "What ends it"},
        "command": TEXT | {"description": "A command that helps"},
        "resource": TEXT,
        "subscriptionId": NUMBER,
        "notificationId": TEXT,
        "resources": {"type": "array", "items": count, "description": "Of a checkpoint"},
    }
    record = closed(**members) | {"required": ["kind", "problemId", "text"]}
    in_raw = closed(**members, **shown) | {"required": ["kind", "problemId", "text", *shown]}
    found = {"OperationalRecord": record, "OperationalRawRecord": in_raw}
    found["OperationalRaw"] = closed(
        pollDate=NUMBER | {"description": "Milliseconds since 1970"},
        objectType={"const": resource},
        **{resource: {"type": "array", "items": ref("OperationalRawRecord"), **only}},
    )
    for chosen in _WHOLE:
        event = _event(EventType.CREATED, chosen)
        event["properties"] |= {"eventType": kinds, "objectType": {"const": resource}}
        event_name = _operational_name("Event", chosen)
        message_name = _operational_name("Message", chosen)
        events = {"type": "array", "items": ref(event_name), **only}
        found[event_name] = event
        found[message_name] = message(raw=ref("OperationalRaw"), events=events)
        found[_operational_name("Notification", chosen)] = envelope(
            ref(message_name), "medium", "create"
        )
    return found | _operational_cloud_event(kinds)


def _operational_cloud_event(kinds: Schema) -> dict[str, Schema]:
    resource = operational_kinds.RESOURCE
    [(name, event), (data_name, data)] = _cloud_event(resource).items()
    shown = {name: data["properties"][name] for name in data["required"]}
    shown |= {"eventType": kinds, "object": ref("OperationalRecord")}
    types = [f"{cloudevents.TYPE_PREFIX}.{resource}.{kind}" for kind in KINDS]
    event["properties"]["type"] = {"type": "string", "enum": types}
    return {name: event, data_name: closed(**shown)}


def _test_cloud_event() -> Schema:
    data = closed(instanceId=NUMBER, instanceName=TEXT, test={"const": True})
    return structured({"const": f"{cloudevents.TYPE_PREFIX}.test"}, data)


def _test() -> Schema:
    empty = message(
        raw={"type": "object", "maxProperties": 0},
        events={"type": "array", "maxItems": 0, "items": {}},
    )
    empty["properties"]["test"] = {"const": True, "description": "Only in extended"}
    return envelope(empty, "low", "test")
