"""The outbox: events, their notifications, and the subscriptions that each of these goes to."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import itertools
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from .. import tracing
from ..db import epochs
from ..db.database import Work, announce
from ..db.models import Notification, StoredEvent, Subscription
from ..db.states import STORE_CHANNELS, Channel, EventType
from ..handlers import Route
from ..values.event_choice import EventChoice
from . import changes as event_changes
from . import delivery_states, division, subscription_options
from .changes import Changes
from .delivery_order import in_parts
from .notifications import CONFIGURED as CONFIGURED
from .notifications import target_of

#: Events in one notification (Cloud Elements: 10 for polling, 20 for webhooks).
POLLING_BATCH = 10
WEBHOOK_BATCH = 20
#: A change with an older date than this before the poll, or one of more than so many changes that
#: are read together and create nothing, is delivered after those that happen meanwhile.
RECENT, FEW = dt.timedelta(hours=1), 20


class Origin(t.Protocol):
    """Where events come from: one resource of one instance."""

    @property
    def poller_id(self) -> int: ...
    @property
    def instance_id(self) -> int: ...
    @property
    def resource(self) -> str: ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How events become notifications."""

    #: Our own clock.
    now: dt.datetime
    batch_size: int = POLLING_BATCH
    #: Handlers of the application.
    routes: tuple[Route, ...] = ()
    #: The trace contexts of what named objects, by their ids.
    traces: cabc.Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One event that the ledger found."""

    object_id: str
    event_type: EventType
    version: int
    date: dt.datetime
    source: str
    body: bytes
    changed_fields: tuple[str, ...]
    #: For UPDATED, the values that changed, if they are known.
    changes: Changes | None = None
    #: The only subscription that gets it, or ``CONFIGURED``; ``None``: all.
    only_for: int | None = None

    def is_wanted(self, resource: str, chosen: EventChoice) -> bool:
        """Return whether a subscription chooses the event."""
        fields = self.changed_fields
        return event_changes.is_chosen(chosen, resource, self.event_type, fields, self.changes)


def post(
    session: orm.Session,
    origin: Origin,
    changes: cabc.Sequence[Change],
    poll_date: dt.datetime,
    rules: Rules,
) -> dict[str, int]:
    """Write events, their notifications and deliveries; return each object's notification id.

    Flushes, never commits.
    """
    if not changes:
        return {}
    batches = _in_batches(changes, rules.batch_size)
    epoch = epochs.current(session)
    notifications = [
        Notification(
            instance_id=origin.instance_id,
            poller_id=origin.poller_id,
            event_id=epochs.new_event_id(epoch),
            resource=origin.resource,
            poll_date=poll_date,
            size=len(batch),
            trace=tracing.of_events(rules.traces.get(one.object_id) for one in batch),
            created_at=rules.now,
        )
        for batch in batches
    ]
    session.add_all(notifications)
    session.flush()
    recorded: dict[str, int] = {}
    rows: list[dict[str, t.Any]] = []
    for notification, batch in zip(notifications, batches, strict=True):
        for change in batch:
            recorded[change.object_id] = notification.id
            rows.append(_event_row(origin, notification.id, change, rules.now))
    session.execute(sa.insert(StoredEvent), rows)
    backlog = {
        notification.id
        for notification, batch in zip(notifications, batches, strict=True)
        if not any(_is_fresh(change, poll_date, len(changes)) for change in batch)
    }
    isolated = _create_deliveries(session, origin, notifications, batches, backlog, rules)
    for subscription_id, objects in isolated.items():
        poller_id = origin.poller_id
        recorded |= division.set_apart(session, subscription_id, poller_id, objects, rules.now)
    return recorded


def _is_fresh(change: Change, poll_date: dt.datetime, together: int) -> bool:
    recent = change.date > poll_date - RECENT
    return recent and (change.event_type is EventType.CREATED or together <= FEW)


def _in_batches(changes: cabc.Sequence[Change], size: int) -> list[list[Change]]:
    """Split changes into batches; two changes of one object stay together."""
    batches: list[list[Change]] = []
    for _object_id, group in itertools.groupby(changes, key=lambda change: change.object_id):
        together = list(group)
        if not batches or len(batches[-1]) + len(together) > size:
            batches.append([])
        batches[-1] += together
    return batches


def _event_row(
    origin: Origin, notification_id: int, change: Change, now: dt.datetime
) -> dict[str, t.Any]:
    return {
        "instance_id": origin.instance_id,
        "poller_id": origin.poller_id,
        "notification_id": notification_id,
        "resource": origin.resource,
        "object_id": change.object_id,
        "version": change.version,
        "event_type": change.event_type.value,
        "date": change.date,
        "source": change.source,
        "changed_fields": list(change.changed_fields) or None,
        "changes": None if change.changes is None else change.changes.to_json(),
        "body": change.body,
        "only_for": change.only_for,
        "created_at": now,
    }


def _create_deliveries(
    session: orm.Session,
    origin: Origin,
    notifications: cabc.Sequence[Notification],
    batches: cabc.Sequence[cabc.Sequence[Change]],
    backlog: cabc.Set[int],
    rules: Rules,
) -> dict[int, set[str]]:
    """Create the deliveries; return the objects of which subscriptions refuse earlier versions."""
    isolated: dict[int, set[str]] = {}
    event_ids: _EventIds = {}
    for subscription, chosen in _subscriptions(session, origin, rules):
        objects: dict[int, set[str]] = {}
        wanted: dict[int, list[int]] = {}
        target = target_of(subscription.channel, subscription.id)
        for notification, batch in zip(notifications, batches, strict=True):
            ours = [one for one in batch if one.only_for in (None, target)]
            mine = [one for one in ours if one.is_wanted(origin.resource, chosen)]
            if not mine:
                continue
            # A handler chooses among the events when it is called.
            kept = ours if subscription.channel == Channel.HANDLER else mine
            if len(kept) < len(batch):
                event_ids = event_ids or _event_ids(session, notifications)
                wanted[notification.id] = sorted(
                    event_ids[notification.id, one.object_id, one.version] for one in kept
                )
            objects[notification.id] = {one.object_id for one in batch if one.version > 1}
        if objects:
            refused = delivery_states.create(
                session, subscription, objects, wanted, origin.poller_id, rules.now, backlog
            )
            if refused:
                isolated[subscription.id] = refused
            wake(session, [subscription], rules.now)
    return isolated


#: Ids of events by their notification, object and version.
_EventIds = dict[tuple[int, str, int], int]


def _event_ids(session: orm.Session, notifications: cabc.Iterable[Notification]) -> _EventIds:
    found: _EventIds = {}
    for numbers in in_parts(one.id for one in notifications):
        query = sa.select(
            StoredEvent.notification_id,
            StoredEvent.object_id,
            StoredEvent.version,
            StoredEvent.id,
        ).where(StoredEvent.notification_id.in_(numbers))
        found |= {
            (number, name, version): one for number, name, version, one in session.execute(query)
        }
    return found


def _subscriptions(
    session: orm.Session, origin: Origin, rules: Rules
) -> cabc.Iterator[tuple[Subscription, EventChoice]]:
    """Yield an instance's subscriptions, each with its choice of events."""
    mine = Subscription.instance_id == origin.instance_id
    known = delivery_states.lock_subscriptions(session, mine, Subscription.current)
    for one in known:
        if one.channel in STORE_CHANNELS:
            yield one, subscription_options.read(one.options).choice
    handlers = {one.url: one for one in known if one.channel == Channel.HANDLER}
    for route in rules.routes:
        if route.resource not in (None, origin.resource):
            continue
        handler = handlers.get(route.name)
        if handler is None:
            handler = Subscription(
                instance_id=origin.instance_id,
                channel=Channel.HANDLER,
                url=route.name,
                created_at=rules.now,
            )
            session.add(handler)
            session.flush()
        yield handler, route.choice


def wake(
    session: orm.Session, subscriptions: cabc.Iterable[Subscription], now: dt.datetime
) -> None:
    """Make subscriptions due now, or when their hold ends, in one commit with the cause.

    A paused one stays as it is until it is resumed.

    :param subscriptions: rows that this transaction has locked, so that a worker that claims at
        the same time waits for the cause.
    """
    announce(session, Work.DELIVERIES)
    for one in subscriptions:
        if one.active and not one.paused:
            at = max(one.held_until or now, now)
            one.next_due_at = at if one.next_due_at is None else min(one.next_due_at, at)
