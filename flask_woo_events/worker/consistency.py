"""Rows that contradict each other, as after a restore or a clock that was wrong; their repair.

No release writes such rows. A database that was changed by hand, restored in part, written by a
machine with a wrong clock, or filled by a release with a fault can hold them, and each of them can
keep events from being sent.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

import orjson
import sqlalchemy as sa
from sqlalchemy import orm

from ..db.database import Database
from ..db.models import (
    GONE_DIGEST,
    Base,
    Delivery,
    Instance,
    Notification,
    Object,
    ObjectBody,
    Poller,
    StoredEvent,
    Subscription,
    Wait,
)
from ..db.states import UNSETTLED, DeliveryStatus, EventType
from ..events import delivery_states, outbox
from ..events.delivery_order import holds_back
from ..events.delivery_states import TRYABLE
from ..events.sql_functions import EpochSeconds
from ..sync.backoff import MAX_RETRY_AFTER
from ..sync.instance_poll import NEVER
from ..sync.ledger import digest

#: Longer than every lease, hold and delay, apart from those that depend on an interval.
LONGEST = dt.timedelta(days=8)
#: How long a due delivery may wait for a busy worker before its subscription is not searched.
OVERDUE = dt.timedelta(minutes=10)
#: Rows of one statement, so that no database refuses the number of its parameters.
_AT_ONCE = 500

_Key = tuple[t.Any, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Contradiction:
    """Rows of one kind that contradict others."""

    what: str
    count: int
    #: Keys of the first few rows.
    examples: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.what}: {self.count}, for example {', '.join(self.examples)}"


_Conditions = tuple[sa.ColumnExpressionArgument[bool], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Check:
    what: str
    #: Keys of the rows at a time.
    find: cabc.Callable[[dt.datetime], sa.Executable]
    #: Mends rows that still are as they were found: others may have changed them since.
    repair: cabc.Callable[[orm.Session, cabc.Sequence[_Key], dt.datetime], None]


def _check_of_rows(
    what: str,
    table: type[t.Any],
    conditions: cabc.Callable[[dt.datetime], _Conditions],
    values: cabc.Callable[[dt.datetime], dict[str, t.Any]],
) -> _Check:
    """Return a check of rows that a condition finds and new values mend."""

    def repair(session: orm.Session, keys: cabc.Sequence[_Key], now: dt.datetime) -> None:
        mine = table.id.in_([key[0] for key in keys])
        statement = sa.update(table).where(mine, *conditions(now)).values(values(now))
        session.execute(statement.execution_options(synchronize_session=False))

    return _Check(what, lambda now: sa.select(table.id).where(*conditions(now)), repair)


def contradictions(
    database: Database, clock: cabc.Callable[[], dt.datetime], *, repair: bool = False
) -> list[Contradiction]:
    """Return the rows that contradict others, by kind.

    :param clock: read once SQLite's lock is had.
    :param repair: mend them; each kind in a transaction of its own.
    """
    found = []
    for one in (*_missing_parents(), *_CHECKS):
        with database.write() if repair else database.read() as session:
            now = clock()
            keys = [tuple(row) for row in session.execute(one.find(now))]
            if keys and repair:
                for start in range(0, len(keys), _AT_ONCE):
                    one.repair(session, keys[start : start + _AT_ONCE], now)
        if keys:
            examples = tuple("/".join(str(part) for part in key) for key in keys[:3])
            found.append(Contradiction(one.what, len(keys), examples))
    return found


def _missing_parents() -> cabc.Iterator[_Check]:
    """Yield a check of each foreign key, parents first: SQLite enforces them only when asked."""
    for table in Base.metadata.sorted_tables:
        for key in sorted(table.foreign_keys, key=lambda one: one.parent.name):
            yield _missing_parent(table, key)


def _missing_parent(table: sa.Table, key: sa.ForeignKey) -> _Check:
    parent = key.column.table.alias()
    exists = sa.select(parent.c[key.column.name]).where(parent.c[key.column.name] == key.parent)

    def find(now: dt.datetime) -> sa.Executable:
        return sa.select(*table.primary_key.columns).where(
            key.parent.is_not(None), ~exists.correlate(table).exists()
        )

    def remove(session: orm.Session, keys: cabc.Sequence[_Key], now: dt.datetime) -> None:
        session.execute(sa.delete(table).where(sa.tuple_(*table.primary_key).in_(keys)))

    return _Check(f"rows of {table.name} without their {key.column.table.name}", find, remove)


_before = orm.aliased(Delivery)
_earlier = orm.aliased(Notification)


def _wrong_waits(now: dt.datetime) -> sa.Executable:
    """Select the waits for the same or a later notification, which may never end."""
    return (
        sa.select(Wait.delivery_id, Wait.after_id)
        .join(Delivery, Delivery.id == Wait.delivery_id)
        .join(_before, _before.id == Wait.after_id)
        .join(Notification, Notification.id == Delivery.notification_id)
        .join(_earlier, _earlier.id == _before.notification_id)
        .where(
            # Parts have later ids than the notifications that follow the whole.
            _recorded_as(_earlier) >= _recorded_as(Notification),
            Delivery.status.in_(UNSETTLED),
            _before.status.in_(UNSETTLED),
        )
    )


def _recorded_as(row: type[Notification]) -> sa.ColumnElement[int]:
    """Return the id with which the events of a notification were recorded."""
    return sa.func.coalesce(row.origin_id, row.id)


def _end_waits(session: orm.Session, keys: cabc.Sequence[_Key], now: dt.datetime) -> None:
    subscriptions = _lock_subscriptions_of(session, keys)
    session.execute(sa.delete(Wait).where(sa.tuple_(Wait.delivery_id, Wait.after_id).in_(keys)))
    outbox.wake(session, subscriptions, now)


def _never_due(now: dt.datetime) -> sa.Executable:
    return sa.select(Delivery.id).where(
        # One that was never attempted does not wait for its date.
        Delivery.status == DeliveryStatus.RETRY,
        sa.or_(Delivery.due_at.is_(None), Delivery.due_at > now + LONGEST),
    )


def _make_due(session: orm.Session, keys: cabc.Sequence[_Key], now: dt.datetime) -> None:
    subscriptions = _lock_subscriptions_of(session, keys)
    delivery_states.redeliver(session, [key[0] for key in keys], now)
    outbox.wake(session, subscriptions, now)


def _endless_claims(now: dt.datetime) -> sa.Executable:
    return sa.select(Delivery.id).where(Delivery.lease_until > now + LONGEST)


def _end_claims(session: orm.Session, keys: cabc.Sequence[_Key], now: dt.datetime) -> None:
    subscriptions = _lock_subscriptions_of(session, keys)
    delivery_states.end_leases(session, [key[0] for key in keys], now + LONGEST)
    outbox.wake(session, subscriptions, now)


def _is_not_searched(now: dt.datetime) -> _Conditions:
    """Return the conditions of subscriptions with overdue deliveries that no worker would find."""
    held_back = (
        sa.select(Wait.after_id)
        .join(_before, _before.id == Wait.after_id)
        .where(Wait.delivery_id == Delivery.id, holds_back(_before))
        .exists()
    )
    overdue = (
        sa.select(Delivery.id)
        .where(
            Delivery.subscription_id == Subscription.id,
            Delivery.status.in_(TRYABLE),
            Delivery.due_at < now - OVERDUE,
            sa.or_(Delivery.lease_until.is_(None), Delivery.lease_until < now - OVERDUE),
            ~held_back,
        )
        .exists()
    )
    return (
        Subscription.active,
        sa.not_(Subscription.paused),
        sa.or_(Subscription.held_until.is_(None), Subscription.held_until < now - OVERDUE),
        # A limit moves the date on, but not as far.
        sa.or_(Subscription.next_due_at.is_(None), Subscription.next_due_at > now + OVERDUE),
        overdue,
    )


def _lock_subscriptions_of(
    session: orm.Session, keys: cabc.Sequence[_Key]
) -> cabc.Sequence[Subscription]:
    """Lock the subscriptions of deliveries, whose keys begin with their ids."""
    ids = [key[0] for key in keys]
    numbers = session.scalars(
        sa.select(Delivery.subscription_id).where(Delivery.id.in_(ids)).distinct()
    ).all()
    return delivery_states.lock_subscriptions(session, Subscription.id.in_(numbers))


def _is_not_polled(now: dt.datetime) -> _Conditions:
    """Return the conditions of instances to be polled that have no next poll, or a far one."""
    never = int(NEVER.total_seconds())
    interval = sa.case((Instance.refresh_minutes == 0, never), else_=Instance.refresh_minutes * 60)
    latest = int((now + LONGEST).timestamp()) + interval
    return (
        Instance.events_enabled,
        ~Instance.disabled,
        sa.or_(Instance.next_poll_at.is_(None), EpochSeconds(Instance.next_poll_at) > latest),
    )


def _newest_versions() -> sa.Subquery:
    return (
        sa.select(
            StoredEvent.poller_id,
            StoredEvent.object_id,
            sa.func.max(StoredEvent.version).label("version"),
        )
        .group_by(StoredEvent.poller_id, StoredEvent.object_id)
        .subquery()
    )


def _old_versions(now: dt.datetime) -> sa.Executable:
    """Select objects whose next version would repeat one that was sent."""
    newest = _newest_versions()
    return sa.select(Object.poller_id, Object.object_id).join(
        newest,
        sa.and_(
            newest.c.poller_id == Object.poller_id,
            newest.c.object_id == Object.object_id,
            newest.c.version > Object.version,
        ),
    )


def _raise_versions(session: orm.Session, keys: cabc.Sequence[_Key], now: dt.datetime) -> None:
    for poller_id, object_id in keys:
        sent = session.scalars(
            sa.select(sa.func.max(StoredEvent.version)).where(
                StoredEvent.poller_id == poller_id, StoredEvent.object_id == object_id
            )
        ).one()
        _set_object(session, poller_id, object_id, Object.version < sent, version=sent)


def _unlike_events(now: dt.datetime) -> sa.Executable:
    """Select objects that are there or gone although their last event says otherwise."""
    newest = _newest_versions()
    deleted = StoredEvent.event_type == EventType.DELETED
    return (
        sa.select(Object.poller_id, Object.object_id, StoredEvent.id)
        .join(
            newest,
            sa.and_(
                newest.c.poller_id == Object.poller_id,
                newest.c.object_id == Object.object_id,
                newest.c.version == Object.version,
            ),
        )
        .join(
            StoredEvent,
            sa.and_(
                StoredEvent.poller_id == Object.poller_id,
                StoredEvent.object_id == Object.object_id,
                StoredEvent.version == Object.version,
            ),
        )
        .where(
            # An object that left the poller's filter is not live either, and has its digest.
            sa.or_(
                sa.and_(Object.live, deleted),
                sa.and_(Object.digest == GONE_DIGEST, ~deleted),
            )
        )
    )


def _follow_events(session: orm.Session, keys: cabc.Sequence[_Key], now: dt.datetime) -> None:
    """Set the ledger to what the receivers know; the next comparison sends the difference."""
    for poller_id, object_id, event_id in keys:
        event = session.get_one(StoredEvent, event_id)
        content = digest.NOTHING
        if live := event.event_type != EventType.DELETED:
            content = digest.content_of(orjson.loads(event.body))
        _set_object(
            session, poller_id, object_id, Object.version == event.version,
            live=live, digest=content.digest, fields=content.fields,
            body_revision=None, body_fields=None,
        )  # fmt: skip
        session.execute(
            sa.delete(ObjectBody).where(
                ObjectBody.poller_id == poller_id, ObjectBody.object_id == object_id
            )
        )


def _set_object(
    session: orm.Session,
    poller_id: int,
    object_id: str,
    still: sa.ColumnElement[bool],
    **values: object,
) -> None:
    session.execute(
        sa.update(Object)
        .where(Object.poller_id == poller_id, Object.object_id == object_id, still)
        .values(**values)
        .execution_options(synchronize_session=False)
    )


_SIZE = (
    sa.select(sa.func.count())
    .where(StoredEvent.notification_id == Notification.id)
    .correlate(Notification)
    .scalar_subquery()
)


def _remove_empty(session: orm.Session, keys: cabc.Sequence[_Key], now: dt.datetime) -> None:
    ids = [key[0] for key in keys]
    session.execute(sa.delete(Notification).where(Notification.id.in_(ids), _SIZE == 0))


_CHECKS = (
    _Check("deliveries that wait for themselves or for a later one", _wrong_waits, _end_waits),
    _Check("failed deliveries that are never tried again", _never_due, _make_due),
    _Check("claims of deliveries that do not end", _endless_claims, _end_claims),
    _check_of_rows(
        "subscriptions that are held without end",
        Subscription,
        lambda now: (Subscription.held_until > now + LONGEST,),
        lambda now: {"next_due_at": now, "held_until": None},
    ),
    _check_of_rows(
        "subscriptions whose due deliveries no worker finds",
        Subscription,
        _is_not_searched,
        lambda now: {"next_due_at": now, "held_until": None},
    ),
    _check_of_rows(
        "leases of instances that do not end",
        Instance,
        lambda now: (Instance.lease_until > now + LONGEST,),
        # A higher fence: a worker that holds the lease all the same must not write.
        lambda now: {"lease_until": None, "lease_fence": Instance.lease_fence + 1},
    ),
    _check_of_rows(
        "instances that are never polled",
        Instance,
        _is_not_polled,
        lambda now: {"next_poll_at": now, "regular_poll_at": None},
    ),
    _check_of_rows(
        "resources that are never tried again",
        Poller,
        lambda now: (Poller.retry_at > now + MAX_RETRY_AFTER + LONGEST,),
        lambda now: {"retry_at": now},
    ),
    _Check("objects whose next version was already sent", _old_versions, _raise_versions),
    _Check("objects whose last event contradicts the ledger", _unlike_events, _follow_events),
    _Check(
        "notifications without an event",
        lambda now: sa.select(Notification.id).where(_SIZE == 0),
        _remove_empty,
    ),
    _check_of_rows(
        "notifications with a wrong number of events",
        Notification,
        lambda now: (Notification.size != _SIZE,),
        lambda now: {"size": _SIZE},
    ),
)
