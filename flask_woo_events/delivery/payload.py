"""The HTTP request of a notification: envelope, headers and signature."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

import orjson

from ..events.notifications import EventRecord, NotificationRecord
from ..values.cloud_elements import ELEMENT_KEY, HUB_KEY, SENDER, Format
from ..values.crypto import sign_body, standard_headers
from ..values.dates import iso_z, java_date_string


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sender:
    """An instance as its notifications name it."""

    instance_id: int
    name: str
    tags: tuple[str, ...]
    account_id: int
    company_id: int
    user_id: int
    #: Null fields of the raw records are left out (``filter.response.nulls``).
    filter_nulls: bool = True
    format: Format = Format.EXTENDED

    @property
    def extended(self) -> bool:
        """Events have ``version``, ``changes`` and others that Cloud Elements did not send."""
        return self.format is not Format.CLOUD_ELEMENTS


def build_body(notification: NotificationRecord, sender: Sender) -> bytes:
    """Return the JSON body; the same bytes at every attempt while the instance keeps its name.

    Envelope: two captured bodies of Cloud Elements, 2018 and 2020.

    :param sender: its format is none of ``cloudevents``, which have a body for each event.
    """
    raw: dict[str, t.Any] = {
        notification.resource: [
            _raw_record(event, notification, sender.filter_nulls) for event in notification.events
        ],
        "pollDate": int(notification.poll_date.timestamp() * 1000),
        "objectType": notification.resource,
    }
    if sender.format is Format.THIN and notification.kind is None:
        del raw[notification.resource]
    events = [_event(event, notification, sender.format) for event in notification.events]
    message = _message(sender, notification.event_id, raw, events)
    return _envelope("medium", notification.created_at, "create", notification.id, message)


def build_test_body(event_id: str, sender: Sender, now: dt.datetime) -> bytes:
    """Return the body of a test notification, which has no events.

    A receiver recognizes it by its severity ``low`` and its action ``test``.
    """
    message = _message(sender, event_id, {}, [])
    if sender.extended:
        message["test"] = True
    return _envelope("low", now, "test", 0, message)


def _message(
    sender: Sender, event_id: str, raw: dict[str, t.Any], events: list[dict[str, t.Any]]
) -> dict[str, t.Any]:
    return {
        "elementKey": ELEMENT_KEY,
        "accountId": sender.account_id,
        "eventId": event_id,
        "companyId": sender.company_id,
        "instanceId": sender.instance_id,
        "instance_id": sender.instance_id,
        "instanceName": sender.name,
        "instanceTags": list(sender.tags),
        "raw": raw,
        "userId": sender.user_id,
        "events": events,
    }


def _envelope(
    severity: str,
    created_at: dt.datetime,
    action: str,
    number: int,
    message: cabc.Mapping[str, t.Any],
) -> bytes:
    return orjson.dumps(
        {
            "severity": severity,
            "createdDate": java_date_string(created_at),
            "topic": f"instance-{message['instanceId']}-{ELEMENT_KEY}-events",
            "action": action,
            "id": str(number),
            "message": message,
            "user": SENDER,
        }
    )


def _raw_record(event: EventRecord, notification: NotificationRecord, filter_nulls: bool) -> t.Any:
    record = orjson.loads(event.body)
    if filter_nulls:
        record = without_nulls(record)
    return record | {"objectId": event.object_id, "eventType": notification.type_of(event)}


def without_nulls(value: t.Any) -> t.Any:
    """Return the value without members that are null, at any depth."""
    if isinstance(value, dict):
        return {name: without_nulls(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [without_nulls(one) for one in value]
    return value


def _event(
    event: EventRecord, notification: NotificationRecord, chosen: Format
) -> dict[str, t.Any]:
    shown: dict[str, t.Any] = {
        "date": iso_z(event.date),
        "elementKey": ELEMENT_KEY,
        "pollDate": iso_z(notification.poll_date),
        "eventType": notification.type_of(event),
        "hubKey": HUB_KEY,
        "objectId": event.object_id,
        "objectType": notification.resource,
    }
    if chosen is not Format.CLOUD_ELEMENTS:
        shown["version"] = event.version
        if event.changed_fields:
            shown["changedFields"] = list(event.changed_fields)
        members = change_members(event, notification.resource)
        if chosen is Format.THIN:
            # Nothing of the shop's data.
            members = {name: members[name] for name in members if name == "names"}
        shown |= members
    return shown


def change_members(event: EventRecord, resource: str) -> dict[str, t.Any]:
    """Return what an UPDATED event says of its changes, as far as it is known.

    :return: ``names``, ``changes``, and ``truncated`` if not all of these had room. Nulls in
        ``changes`` stay: without ``before`` the value was added.
    """
    members: dict[str, t.Any] = {}
    if names := event.names(resource):
        members["names"] = list(names)
    if event.changes is not None:
        members["changes"] = event.changes.values
        if event.changes.truncated:
            members["truncated"] = True
    return members


def build_headers(
    body: bytes,
    event_id: str,
    *,
    keys: cabc.Sequence[str],
    extra: cabc.Mapping[str, str],
    now: dt.datetime,
    content_type: str = "application/json",
) -> dict[str, str]:
    """Return the headers of one attempt.

    :param event_id: ``message.eventId``, or the id of a CloudEvent.
    :param keys: signature keys, oldest first; empty: the notification is not signed.
    :param extra: the instance's own headers; they never replace the package's.
    :param now: our own clock, for ``webhook-timestamp``.
    """
    headers = dict(extra)
    headers["Content-Type"] = content_type
    headers["User-Agent"] = "flask-woo-events"
    headers["Elements-Webhook-Id"] = event_id
    if keys:
        headers["Elements-Webhook-Signature"] = sign_body(body, keys[-1])
        if len(keys) > 1:
            headers["Elements-Webhook-Signature-Previous"] = sign_body(body, keys[-2])
        headers.update(standard_headers(event_id, now, body, keys))
    return headers
