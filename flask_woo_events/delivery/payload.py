"""The notification as it goes over the wire: envelope, headers and signature."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

import orjson

from ..events.notifications import EventRecord, NotificationRecord
from ..values.cloud_elements import ELEMENT_KEY, HUB_KEY, SENDER
from ..values.crypto import sign_body, standard_headers
from ..values.dates import iso_z, java_date_string


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sender:
    """The instance as its notifications name it."""

    instance_id: int
    name: str
    tags: tuple[str, ...]
    account_id: int
    company_id: int
    user_id: int
    #: Null fields of the raw records are left out (``filter.response.nulls``).
    filter_nulls: bool = True


def build_body(told: NotificationRecord, sender: Sender) -> bytes:
    """The JSON body; the same bytes at every attempt as long as the instance keeps its name.

    Envelope: two captured bodies of Cloud Elements, 2018 and 2020. ``version`` and
    ``changedFields`` in ``events[]`` are ours.
    """
    raw = {
        told.resource: [_raw_record(event, sender.filter_nulls) for event in told.events],
        "pollDate": int(told.poll_date.timestamp() * 1000),
        "objectType": told.resource,
    }
    body = {
        "severity": "medium",
        "createdDate": java_date_string(told.created_at),
        "topic": f"instance-{sender.instance_id}-{ELEMENT_KEY}-events",
        "action": "create",
        "id": str(told.id),
        "message": {
            "elementKey": ELEMENT_KEY,
            "accountId": sender.account_id,
            "eventId": told.event_id,
            "companyId": sender.company_id,
            "instanceId": sender.instance_id,
            "instance_id": sender.instance_id,
            "instanceName": sender.name,
            "instanceTags": list(sender.tags),
            "raw": raw,
            "userId": sender.user_id,
            "events": [_event(event, told) for event in told.events],
        },
        "user": SENDER,
    }
    return orjson.dumps(body)


def _raw_record(event: EventRecord, filter_nulls: bool) -> t.Any:
    record = orjson.loads(event.body)
    if filter_nulls:
        record = without_nulls(record)
    return record | {"objectId": event.object_id, "eventType": event.event_type.value}


def without_nulls(value: t.Any) -> t.Any:
    """The value without members that are null, at any depth."""
    if isinstance(value, dict):
        return {name: without_nulls(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [without_nulls(one) for one in value]
    return value


def _event(event: EventRecord, told: NotificationRecord) -> dict[str, t.Any]:
    shown: dict[str, t.Any] = {
        "date": iso_z(event.date),
        "elementKey": ELEMENT_KEY,
        "pollDate": iso_z(told.poll_date),
        "eventType": event.event_type.value,
        "hubKey": HUB_KEY,
        "objectId": event.object_id,
        "objectType": told.resource,
        "version": event.version,
    }
    if event.changed_fields:
        shown["changedFields"] = list(event.changed_fields)
    return shown


def build_headers(
    body: bytes,
    event_id: str,
    *,
    keys: cabc.Sequence[str],
    extra: cabc.Mapping[str, str],
    now: dt.datetime,
) -> dict[str, str]:
    """The headers of one attempt.

    :param event_id: ``message.eventId``.
    :param keys: signature keys, oldest first; empty: the notification is not signed.
    :param extra: the instance's own headers; they never replace ours.
    :param now: our own clock, for ``webhook-timestamp``.
    """
    headers = dict(extra)
    headers["Content-Type"] = "application/json"
    headers["User-Agent"] = "flask-woo-events"
    headers["Elements-Webhook-Id"] = event_id
    if keys:
        headers["Elements-Webhook-Signature"] = sign_body(body, keys[-1])
        if len(keys) > 1:
            headers["Elements-Webhook-Signature-Previous"] = sign_body(body, keys[-2])
        headers.update(standard_headers(event_id, now, body, keys))
    return headers
