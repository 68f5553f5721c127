"""The order of deliveries: which of them wait for which, decided from those that are not settled.

The versions of one object are sent to one subscription in their order. A delivery that holds a
version waits (``woo_wait``) for the unsettled delivery with the version before it. That one waits
for the next, so that a callback that is down for days costs one row for each delivery. One whose
attempts are exhausted holds nothing back any more.
"""

from __future__ import annotations

import collections
import collections.abc as cabc
import itertools
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Delivery, StoredEvent, Wait
from ..db.states import UNSETTLED

#: Values of one statement, so that no database refuses their number.
AT_ONCE = 500
#: Up to so many unsettled deliveries of one subscription, their events are searched for objects;
#: with more of them, the events of the objects are searched for unsettled deliveries.
FEW = 200

Item = t.TypeVar("Item")


class _Open(t.NamedTuple):
    """An unsettled delivery."""

    delivery_id: int
    #: It is being attempted or exhausted, and may let others pass before those that it waits for.
    passable: bool
    isolated: bool


class _Place(t.NamedTuple):
    """An unsettled delivery in the line of those that hold versions of one object."""

    version: int
    delivery: _Open


#: The unsettled deliveries of some notifications.
_Unsettled = dict[int, _Open]

_IDS: sa.BindParameter[t.Any] = sa.bindparam("ids", expanding=True)
_OBJECTS: sa.BindParameter[t.Any] = sa.bindparam("objects", expanding=True)
_DELIVERY = sa.select(
    Delivery.notification_id,
    Delivery.id,
    Delivery.lease_token,
    Delivery.status,
    Delivery.isolated,
    Delivery.exhausted,
).where(Delivery.subscription_id == sa.bindparam("subscription", type_=sa.BigInteger()))
_UNSETTLED = _DELIVERY.where(Delivery.status.in_(UNSETTLED)).limit(FEW + 1)
# The status is compared in Python, so that no database reads all that is unsettled.
_DELIVERIES = _DELIVERY.where(Delivery.notification_id.in_(_IDS))
_VERSION = sa.select(
    StoredEvent.notification_id, StoredEvent.poller_id, StoredEvent.object_id, StoredEvent.version
).where(StoredEvent.object_id.in_(_OBJECTS))
# The poller is compared in Python, so that no database reads all versions of the objects.
_VERSIONS_SENT = _VERSION.where(StoredEvent.notification_id.in_(_IDS))
_VERSIONS = _VERSION.where(StoredEvent.poller_id == sa.bindparam("poller", type_=sa.BigInteger()))
_WAITS = sa.select(Wait.delivery_id, Wait.after_id).where(Wait.delivery_id.in_(_IDS))


def keep(
    session: orm.Session,
    subscription_id: int,
    new: cabc.Set[int],
    objects: cabc.Mapping[int, cabc.Set[str]],
    *,
    apart: bool = False,
) -> set[str]:
    """Let new deliveries wait for those with earlier versions, and those with later ones for them.

    The subscription is locked by the caller.

    :param objects: the objects of which the new deliveries hold versions, by poller.
    :param apart: no two of the new deliveries hold the same object.
    :return: the objects of which an earlier version is isolated.
    """
    few = _few_unsettled(session, subscription_id)
    if apart and few is not None and all(one.delivery_id in new for one in few.values()):
        return set()
    waits: set[tuple[int, int]] = set()
    isolated: set[str] = set()
    for poller_id, object_ids in objects.items():
        lines: dict[str, list[_Place]] = collections.defaultdict(list)
        for part in in_parts(object_ids):
            unsettled = few
            if unsettled is None:
                versions = session.execute(_VERSIONS, {"poller": poller_id, "objects": part}).all()
                unsettled = _unsettled_of(session, subscription_id, versions)
            else:
                names = {"ids": list(unsettled), "objects": part}
                versions = session.execute(_VERSIONS_SENT, names).all()
            for number, poller, object_id, version in versions:
                if poller == poller_id and number in unsettled:
                    lines[object_id].append(_Place(version, unsettled[number]))
        for object_id, line in lines.items():
            for later, earlier in _waits(sorted(line), new):
                waits.add((later, earlier.delivery_id))
                if earlier.isolated:
                    isolated.add(object_id)
    _add(session, waits)
    return isolated


def keep_of(session: orm.Session, subscription_id: int, new: cabc.Collection[Delivery]) -> None:
    """Do the same for whatever objects the new deliveries hold."""
    objects: dict[int, set[str]] = collections.defaultdict(set)
    for numbers in in_parts(one.notification_id for one in new):
        events = sa.select(StoredEvent.poller_id, StoredEvent.object_id)
        found = session.execute(events.where(StoredEvent.notification_id.in_(numbers)))
        for poller_id, object_id in found:
            objects[poller_id].add(object_id)
    keep(session, subscription_id, {one.id for one in new}, objects)


def _few_unsettled(session: orm.Session, subscription_id: int) -> _Unsettled | None:
    """Return the unsettled deliveries of a subscription, or ``None`` if there are many."""
    rows = session.execute(_UNSETTLED, {"subscription": subscription_id}).all()
    if len(rows) > FEW:
        return None
    return {row.notification_id: _open(row) for row in rows}


def _open(row: t.Any) -> _Open:
    return _Open(row.id, row.lease_token is not None or row.exhausted, row.isolated)


def _unsettled_of(
    session: orm.Session, subscription_id: int, versions: cabc.Iterable[t.Any]
) -> _Unsettled:
    """Return which deliveries of the notifications with these versions are unsettled."""
    found: _Unsettled = {}
    for ids in in_parts({row.notification_id for row in versions}):
        for row in session.execute(_DELIVERIES, {"subscription": subscription_id, "ids": ids}):
            if row.status in UNSETTLED:
                found[row.notification_id] = _open(row)
    return found


def _waits(line: cabc.Sequence[_Place], new: cabc.Set[int]) -> cabc.Iterator[tuple[int, _Open]]:
    """Yield which delivery of a line waits for which because of the new ones."""
    for number, (_, (later, _, _)) in enumerate(line):
        for before in range(number - 1, -1, -1):
            earlier = line[before].delivery
            if earlier.delivery_id == later:
                continue
            if later in new or earlier.delivery_id in new:
                yield later, earlier
            if not earlier.passable:
                break


def _add(session: orm.Session, waits: set[tuple[int, int]]) -> None:
    for ids in in_parts({later for later, _ in waits}):
        rows = session.execute(_WAITS, {"ids": ids})
        waits.difference_update((row.delivery_id, row.after_id) for row in rows)
    if waits:
        added = [{"delivery_id": later, "after_id": earlier} for later, earlier in sorted(waits)]
        session.execute(sa.insert(Wait), added)


def holds_back(delivery: type[Delivery]) -> sa.ColumnElement[bool]:
    """Return the condition of a delivery for which those that wait for it really wait."""
    return sa.and_(delivery.status.in_(UNSETTLED), sa.not_(delivery.exhausted))


def in_parts(items: cabc.Iterable[Item]) -> cabc.Iterator[list[Item]]:
    """Yield items in parts that fit into one statement."""
    iterator = iter(items)
    while part := list(itertools.islice(iterator, AT_ONCE)):
        yield part
