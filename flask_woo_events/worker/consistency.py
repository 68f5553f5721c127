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
    UNSETTLED,
    Base,
    Delivery,
    EventType,
    Instance,
    Notification,
    Object,
    Poller,
    StoredEvent,
    Subscription,
    Wait,
)
from ..events import delivery_states
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
        return f"{self.count} {self.what}, for example {', '.join(self.examples)}"


@dataclasses.dataclass(frozen=True, slots=True)
class _Check:
    what: str
    #: Keys of the rows; rows are locked for a repair.
    find: cabc.Callable[[dt.datetime], sa.Executable]
    repair: cabc.Callable[[orm.Session, cabc.Sequence[_Key], dt.datetime], None]


def contradictions(
    database: Database, clock: cabc.Callable[[], dt.datetime], *, repair: bool = False
) -> list[Contradiction]:
    """Return the rows that contradict others, by kind.

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


_before, _before_note = orm.aliased(Delivery), orm.aliased(Notification)


def _wrong_waits(now: dt.datetime) -> sa.Executable:
    """Select the waits for the same or a later notification, which may never end."""
    return (
        sa.select(Wait.delivery_id, Wait.after_id)
        .join(Delivery, Delivery.id == Wait.delivery_id)
        .join(_before, _before.id == Wait.after_id)
        .where(
            _before.notification_id >= Delivery.notification_id,
            Delivery.status.in_(UNSETTLED),
            _before.status.in_(UNSETTLED),
        )
    )


def _end_waits(session: orm.Session, keys: cabc.Sequence[_Key], now: dt.datetime) -> None:
    session.execute(sa.delete(Wait).where(sa.tuple_(Wait.delivery_id, Wait.after_id).in_(keys)))
    _search_for(session, keys, now)


def _never_due(now: dt.datetime) -> sa.Executable:
    return sa.select(Delivery.id).where(
        Delivery.status.in_(TRYABLE),
        sa.or_(Delivery.due_at.is_(None), Delivery.due_at > now + LONGEST),
    )


def _make_due(session: orm.Session, keys: cabc.Sequence[_Key], now: dt.datetime) -> None:
    delivery_states.make_due(session, [key[0] for key in keys], now)
    _search_for(session, keys, now)


def _endless_claims(now: dt.datetime) -> sa.Executable:
    return sa.select(Delivery.id, Delivery.lease_token).where(
        sa.or_(
            Delivery.lease_until > now + LONGEST,
            sa.and_(Delivery.lease_until.is_not(None), Delivery.lease_token.is_(None)),
        )
    )


def _end_claims(session: orm.Session, keys: cabc.Sequence[_Key], now: dt.datetime) -> None:
    delivery_states.end_leases(session, [key[0] for key in keys])
    _search_for(session, keys, now)


def _endless_leases(now: dt.datetime) -> sa.Executable:
    return sa.select(Instance.id).where(Instance.lease_until > now + LONGEST)


def _end_leases(session: orm.Session, keys: cabc.Sequence[_Key], now: dt.datetime) -> None:
    # A higher fence: a worker that holds the lease all the same must not write.
    fence = Instance.lease_fence + 1
    _update(session, Instance, keys, lease_until=None, lease_fence=fence, next_poll_at=now)


def _not_searched(now: dt.datetime) -> sa.Executable:
    """Select subscriptions with overdue deliveries that no worker would find."""
    held_back = (
        sa.select(Wait.after_id)
        .join(_before, _before.id == Wait.after_id)
        .where(Wait.delivery_id == Delivery.id, _before.status.in_(UNSETTLED))
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
    return sa.select(Subscription.id).where(
        Subscription.active,
        sa.or_(Subscription.held_until.is_(None), Subscription.held_until < now - OVERDUE),
        sa.or_(Subscription.next_due_at.is_(None), Subscription.next_due_at > now),
        overdue,
    )


def _held_for_ever(now: dt.datetime) -> sa.Executable:
    return sa.select(Subscription.id).where(Subscription.held_until > now + LONGEST)


def _search_for(session: orm.Session, keys: cabc.Sequence[_Key], now: dt.datetime) -> None:
    """Make workers search for deliveries."""
    ids = [key[0] for key in keys]
    waiting = sa.select(Delivery.subscription_id).where(Delivery.id.in_(ids)).distinct()
    _search_now(session, [(number,) for number in session.scalars(waiting)], now)


def _search_now(session: orm.Session, keys: cabc.Sequence[_Key], now: dt.datetime) -> None:
    _update(session, Subscription, keys, next_due_at=now, held_until=None)


def _not_polled(now: dt.datetime) -> sa.Executable:
    """Select instances that are to be polled, and have no next poll, or a far one."""
    never = int(NEVER.total_seconds())
    interval = sa.case((Instance.refresh_minutes == 0, never), else_=Instance.refresh_minutes * 60)
    latest = int((now + LONGEST).timestamp()) + interval
    return sa.select(Instance.id).where(
        Instance.events_enabled,
        ~Instance.disabled,
        sa.or_(Instance.next_poll_at.is_(None), EpochSeconds(Instance.next_poll_at) > latest),
    )


def _late_pollers(now: dt.datetime) -> sa.Executable:
    return sa.select(Poller.id).where(Poller.retry_at > now + MAX_RETRY_AFTER + LONGEST)


def _retry_now(session: orm.Session, keys: cabc.Sequence[_Key], now: dt.datetime) -> None:
    _update(session, Poller, keys, retry_at=now)


def _poll_now(session: orm.Session, keys: cabc.Sequence[_Key], now: dt.datetime) -> None:
    _update(session, Instance, keys, next_poll_at=now, regular_poll_at=None)


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
        session.execute(
            sa.update(Object)
            .where(Object.poller_id == poller_id, Object.object_id == object_id)
            .values(version=sent)
        )


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
        session.execute(
            sa.update(Object)
            .where(Object.poller_id == poller_id, Object.object_id == object_id)
            .values(live=live, digest=content.digest, fields=content.fields)
        )


def _wrong_sizes(now: dt.datetime) -> sa.Executable:
    return sa.select(Notification.id).where(Notification.size != _size())


def _size() -> sa.ScalarSelect[int]:
    return (
        sa.select(sa.func.count())
        .where(StoredEvent.notification_id == Notification.id)
        .correlate(Notification)
        .scalar_subquery()
    )


def _count_again(session: orm.Session, keys: cabc.Sequence[_Key], now: dt.datetime) -> None:
    _update(session, Notification, keys, size=_size())
    empty = Notification.id.in_([key[0] for key in keys]), Notification.size == 0
    session.execute(sa.delete(Notification).where(*empty))


def _update(
    session: orm.Session, table: type[Base], keys: cabc.Sequence[_Key], **values: object
) -> None:
    statement = sa.update(table).where(t.cast("t.Any", table).id.in_([key[0] for key in keys]))
    session.execute(statement.values(**values).execution_options(synchronize_session=False))


_CHECKS = (
    _Check("deliveries that wait for themselves or for a later one", _wrong_waits, _end_waits),
    _Check("deliveries that never become due", _never_due, _make_due),
    _Check("claims of deliveries that do not end", _endless_claims, _end_claims),
    _Check("subscriptions that are held without end", _held_for_ever, _search_now),
    _Check("subscriptions whose due deliveries no worker finds", _not_searched, _search_now),
    _Check("leases of instances that do not end", _endless_leases, _end_leases),
    _Check("instances that are never polled", _not_polled, _poll_now),
    _Check("resources that are never tried again", _late_pollers, _retry_now),
    _Check("objects whose next version was already sent", _old_versions, _raise_versions),
    _Check("objects whose last event contradicts the ledger", _unlike_events, _follow_events),
    _Check("notifications with a wrong number of events", _wrong_sizes, _count_again),
)
