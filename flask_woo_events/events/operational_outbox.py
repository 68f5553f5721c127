"""The outbox of operational events: records become notifications with their deliveries.

A notification has one event. Its receivers are the instance's operational subscriptions and the
application's operational handlers, but never the subscription that the event is about: a receiver
that is stopped gets no event of that. What has no receiver is dropped.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

import orjson
import sqlalchemy as sa
from sqlalchemy import orm

from ..db import epochs
from ..db.models import (
    Instance,
    Notification,
    OperationalRecord,
    Poller,
    StoredEvent,
    Subscription,
)
from ..db.states import Channel, EventType, PollerState, Source
from ..handlers import OperationalRoute
from ..values.dates import iso_z
from ..values.operational_kinds import CHECKPOINT, KINDS, RESOURCE
from . import delivery_states, division, outbox, subscription_options

#: Records of one transaction.
TOGETHER = 100
Stored = cabc.Callable[[orm.Session, dict[str, t.Any]], dict[str, t.Any]]
#: The poller that operational events refer to; a hidden row, which polls nothing. Its key and its
#: address are none that a person configures.
POLLER = "operational (flask_woo_events)"
_POLLER_URL = "/wp-json/flask-woo-events/operational"


def waiting(session: orm.Session) -> list[int]:
    """Return the instances with records that are no notifications yet."""
    return list(session.scalars(sa.select(OperationalRecord.instance_id).distinct()))


def post(
    session: orm.Session,
    instance_id: int,
    routes: cabc.Sequence[OperationalRoute],
    now: dt.datetime,
    stored: Stored = lambda _session, record: record,
) -> int:
    """Make notifications of an instance's records; return how many records there were.

    Flushes, never commits. Concurrent workers do it one after the other.

    :param routes: the operational handlers of the application.
    :param stored: returns what of a record becomes an event; called while the poller is locked,
        so that an erasure either finds the event or is known.
    """
    instance = session.get(Instance, instance_id, with_for_update={"key_share": True})
    mine = OperationalRecord.instance_id == instance_id
    query = sa.select(OperationalRecord).where(mine).order_by(OperationalRecord.id).limit(TOGETHER)
    rows = session.scalars(query.execution_options(populate_existing=True)).all()
    if instance is not None and rows and (routes or _is_subscribed(session, instance_id)):
        posting = _Posting(session, instance, routes, now, stored)
        for row in rows:
            posting.add(row)
        posting.wake()
    ids = [row.id for row in rows]
    session.execute(sa.delete(OperationalRecord).where(OperationalRecord.id.in_(ids)))
    return len(rows)


@dataclasses.dataclass(frozen=True, slots=True)
class _Receiver:
    """A subscription that gets operational events."""

    row: Subscription
    #: The kinds that it gets; ``None``: all but checkpoints.
    kinds: frozenset[str] | None
    checkpoint: bool

    def wants(self, kind: str) -> bool:
        if kind == CHECKPOINT:
            return self.checkpoint
        return self.kinds is None or kind in self.kinds


class _Posting:
    """Makes notifications of one instance, whose row is locked."""

    def __init__(
        self,
        session: orm.Session,
        instance: Instance,
        routes: cabc.Sequence[OperationalRoute],
        now: dt.datetime,
        stored: Stored,
    ) -> None:
        self._session = session
        self._stored = stored
        self._instance_id = instance.id
        self._now = now
        # Pollers are locked before subscriptions.
        self._poller_id = _poller_id(session, instance.id, now)
        self._receivers = _receivers(session, instance.id, routes, now)
        self._epoch = epochs.current(session)
        self._posted: dict[int, Subscription] = {}

    def add(self, row: OperationalRecord) -> None:
        """Make a notification of a record, if a receiver wants it."""
        wanting = [
            one.row
            for one in self._receivers
            if one.wants(row.kind) and one.row.id != row.subscription_id
        ]
        if not wanting:
            return
        session, poller_id = self._session, self._poller_id
        notification = Notification(
            instance_id=self._instance_id,
            poller_id=poller_id,
            event_id=epochs.new_event_id(self._epoch),
            resource=RESOURCE,
            poll_date=row.created_at,
            kind=row.kind,
            created_at=self._now,
        )
        session.add(notification)
        session.flush()
        session.add(
            StoredEvent(
                instance_id=self._instance_id,
                poller_id=poller_id,
                notification_id=notification.id,
                resource=RESOURCE,
                object_id=row.subject,
                version=row.id,
                # What an earlier release can read.
                event_type=EventType.DELETED if KINDS[row.kind].ends else EventType.CREATED,
                date=row.created_at,
                source=Source.WORKER,
                body=orjson.dumps(self._record(row)),
                kind=row.kind,
                created_at=self._now,
            )
        )
        session.flush()
        for subscription in wanting:
            refused = delivery_states.create(
                session, subscription, {notification.id: {row.subject}}, {}, poller_id, self._now
            )
            if refused:
                division.set_apart(session, subscription.id, poller_id, refused, self._now)
            self._posted[subscription.id] = subscription

    def wake(self) -> None:
        """Make the receivers due that got something."""
        if self._posted:
            outbox.wake(self._session, self._posted.values(), self._now)

    def _record(self, row: OperationalRecord) -> dict[str, t.Any]:
        """Return what is sent: an end names the problem that its begin has named."""
        begun: dict[str, t.Any] = {}
        if begins := KINDS[row.kind].ends:
            query = (
                sa.select(StoredEvent.kind, StoredEvent.body)
                .where(
                    StoredEvent.poller_id == self._poller_id, StoredEvent.object_id == row.subject
                )
                .order_by(StoredEvent.version.desc())
                .limit(1)
            )
            last = self._session.execute(query).one_or_none()
            if last is not None and last.kind == begins:
                begun = orjson.loads(last.body)
        found = {"kind": row.kind, "problemId": begun.get("problemId", str(row.id))}
        if begun or not begins:
            found["since"] = begun.get("since", iso_z(row.created_at))
        return found | self._stored(self._session, row.record)


def _is_subscribed(session: orm.Session, instance_id: int) -> bool:
    query = sa.select(Subscription.id).where(
        Subscription.instance_id == instance_id,
        Subscription.current,
        Subscription.channel == Channel.OPERATIONAL,
    )
    return session.scalar(query.limit(1)) is not None


def _receivers(
    session: orm.Session,
    instance_id: int,
    routes: cabc.Sequence[OperationalRoute],
    now: dt.datetime,
) -> list[_Receiver]:
    """Lock and return the receivers of an instance; new handlers get a subscription."""
    mine = Subscription.instance_id == instance_id
    known = delivery_states.lock_subscriptions(session, mine, Subscription.current)
    found = [
        _Receiver(one, None, subscription_options.read(one.options).checkpoint)
        for one in known
        if one.channel == Channel.OPERATIONAL
    ]
    handlers = {one.url: one for one in known if one.channel == Channel.HANDLER}
    for route in routes:
        row = handlers.get(route.name)
        if row is None:
            row = Subscription(
                instance_id=instance_id, channel=Channel.HANDLER, url=route.name, created_at=now
            )
            session.add(row)
            session.flush()
        found.append(_Receiver(row, route.kinds or None, CHECKPOINT in route.kinds))
    return found


def _poller_id(session: orm.Session, instance_id: int, now: dt.datetime) -> int:
    """Lock and return the hidden poller of an instance, whose row is locked."""
    mine = (Poller.instance_id == instance_id, Poller.resource == POLLER)
    number = session.scalar(sa.select(Poller.id).where(*mine).with_for_update())
    if number is not None:
        return number
    row = Poller(
        instance_id=instance_id,
        resource=POLLER,
        configuration={"resource": POLLER, "url": _POLLER_URL},
        selected=False,
        state=PollerState.ACTIVE,
        created_at=now,
    )
    session.add(row)
    session.flush()
    return row.id
