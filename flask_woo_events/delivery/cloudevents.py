"""CloudEvents: one event as CloudEvents 1.0 in structured JSON."""

from __future__ import annotations

import datetime as dt
import typing as t
import urllib.parse

import orjson

from ..events.notifications import EventRecord, NotificationRecord
from ..values.dates import iso_z
from .payload import Sender, change_members, without_nulls

#: ``Content-Type`` of a request (CloudEvents 1.0.2, HTTP binding, 3.2).
CONTENT_TYPE = "application/cloudevents+json; charset=UTF-8"
#: The beginning of each ``type``.
TYPE_PREFIX = "woocommerce"


def event_id(notification: NotificationRecord, event: EventRecord) -> str:
    """Return the ``id``, which is the same at every attempt, also after a division.

    It is sent as ``webhook-id``, too, which must not hold a dot (Standard Webhooks 1.0.0).
    """
    text = f"{notification.resource}/{event.object_id}/{event.version}"
    if event.only_for is not None:
        # Sent again, so that its receiver must not take it for a repetition.
        text += f"/{event.id}"
    return f"{notification.instance_id}/{urllib.parse.quote(text).replace('.', '%2E')}"


def source(instance_id: int) -> str:
    """Return the ``source``: the path of the instance in the API."""
    return f"/elements/api-v2/instances/{instance_id}"


def build_body(notification: NotificationRecord, event: EventRecord, sender: Sender) -> bytes:
    """Return the JSON of one event.

    Attributes: CloudEvents 1.0.2; ``objectversion`` is an extension.
    """
    data: dict[str, t.Any] = {
        "objectType": notification.resource,
        "objectId": event.object_id,
        "eventType": notification.type_of(event),
        "version": event.version,
        "pollDate": iso_z(notification.poll_date),
        "instanceId": sender.instance_id,
        "instanceName": sender.name,
        "instanceTags": list(sender.tags),
    }
    if event.changed_fields:
        data["changedFields"] = list(event.changed_fields)
    data |= change_members(event, notification.resource)
    record = orjson.loads(event.body)
    data["object"] = without_nulls(record) if sender.filter_nulls else record
    kind = f"{TYPE_PREFIX}.{notification.resource}.{notification.type_of(event).lower()}"
    return _structured(
        event_id(notification, event),
        kind,
        source(notification.instance_id),
        event.date,
        data,
        subject=f"{notification.resource}/{event.object_id}",
        objectversion=event.version,
    )


def build_test_body(event_id: str, sender: Sender, now: dt.datetime) -> bytes:
    """Return the JSON of a test notification, recognized by its ``type``."""
    data = {"instanceId": sender.instance_id, "instanceName": sender.name, "test": True}
    return _structured(event_id, f"{TYPE_PREFIX}.test", source(sender.instance_id), now, data)


def _structured(
    event_id: str,
    kind: str,
    source: str,
    date: dt.datetime,
    data: dict[str, t.Any],
    **more: t.Any,
) -> bytes:
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": event_id,
            "source": source,
            "type": kind,
            "time": iso_z(date),
            "datacontenttype": "application/json",
            **more,
            "data": data,
        }
    )
