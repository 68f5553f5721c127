"""What the models of all notifications consist of: members, messages, envelopes and CloudEvents."""

from __future__ import annotations

import typing as t

from ...values.cloud_elements import ELEMENT_KEY, SENDER
from .operation import Schema

DATE: Schema = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer"}


def ref(name: str) -> Schema:
    """Return a reference to a model."""
    return {"$ref": f"#/components/schemas/{name}"}


def closed(**members: Schema) -> Schema:
    """Return an object that has these members and no others."""
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def structured(kind: Schema, data: Schema, **more: Schema) -> Schema:
    """Return a CloudEvent in the structured mode."""
    return closed(
        specversion={"const": "1.0"},
        id=TEXT | {"description": "The same at every attempt"},
        source=TEXT | {"description": "Path of the instance in the API"},
        type=kind,
        time=DATE | {"description": "Date of the change"},
        datacontenttype={"const": "application/json"},
        **more,
        data=data,
    )


def message(raw: Schema, events: Schema) -> Schema:
    """Return the message of a notification."""
    return closed(
        elementKey={"const": ELEMENT_KEY},
        accountId=NUMBER,
        eventId=TEXT | {"minLength": 20, "maxLength": 20},
        companyId=NUMBER,
        instanceId=NUMBER,
        instance_id=NUMBER,
        instanceName=TEXT,
        instanceTags={"type": "array", "items": TEXT},
        raw=raw,
        userId=NUMBER,
        events=events,
    )


def envelope(body: Schema, severity: str, action: str) -> Schema:
    """Return a notification around a message."""
    shape: dict[str, t.Any] = {
        "severity": {"const": severity},
        "createdDate": TEXT,
        "topic": TEXT,
        "action": {"const": action},
        "id": TEXT | {"pattern": "^[0-9]+$"},
        "message": body,
        "user": {"const": SENDER},
    }
    return closed(**shape)
