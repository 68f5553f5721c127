"""What the ledger knows, for those who read it."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ...db.models import Object, Poller

#: WooCommerce writes an object's date before the rest of it; what was read earlier than this
#: after its date may be half of a change, or the first of two in one second.
SETTLED_AFTER = dt.timedelta(seconds=10)
#: Ids in one ``IN``: SQLite before 3.32 allows 999 variables.
_IDS_AT_ONCE = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """What the ledger knows of one object."""

    live: bool
    digest: bytes
    modified_at: dt.datetime | None
    seen_at: dt.datetime
    fields: bytes = b""
    version: int = 0
    stamp: int = 0
    notification_id: int | None = None
    created_at: dt.datetime | None = None

    @property
    def settled(self) -> bool:
        """It was read long enough after its date to hold all of that change."""
        return self.modified_at is None or self.seen_at >= self.modified_at + SETTLED_AFTER


_STAMP = sa.select(Poller.stamp).where(Poller.id == sa.bindparam("poller_id"))


def ticket(session: orm.Session, poller_id: int) -> int:
    """The ledger's stamp now; take it before reading from the store."""
    return session.execute(_STAMP, {"poller_id": poller_id}).scalar_one()


# Made once: an ``IN`` of plain values costs SQLAlchemy more than the database.
_KNOWN = sa.select(
    Object.object_id,
    Object.live,
    Object.digest,
    Object.modified_at,
    Object.seen_at,
    Object.fields,
    Object.version,
    Object.stamp,
    Object.notification_id,
    Object.created_at,
).where(
    Object.poller_id == sa.bindparam("poller_id"),
    Object.object_id.in_(sa.bindparam("object_ids", expanding=True)),
)


def known(session: orm.Session, poller_id: int, object_ids: cabc.Sequence[str]) -> dict[str, Known]:
    """What the ledger knows of these objects."""
    found: dict[str, Known] = {}
    for start in range(0, len(object_ids), _IDS_AT_ONCE):
        ids = list(object_ids[start : start + _IDS_AT_ONCE])
        for row in session.execute(_KNOWN, {"poller_id": poller_id, "object_ids": ids}):
            found[row[0]] = Known(*row[1:])  # type: ignore[call-arg, unused-ignore]
    return found


_NUMBERS = (
    sa.select(Object.number)
    .where(
        Object.poller_id == sa.bindparam("poller_id"),
        Object.live,
        Object.number > sa.bindparam("after"),
        Object.number <= sa.bindparam("until"),
    )
    .order_by(Object.number)
)
#: What a 64-bit column can hold.
_GREATEST = 9_223_372_036_854_775_807


def live_numbers(
    session: orm.Session, poller_id: int, after: int | None, until: int | None
) -> list[int]:
    """Numeric ids of the live objects in ``(after, until]``, ascending."""
    bounds = {
        "poller_id": poller_id,
        "after": -1 if after is None else after,
        "until": _GREATEST if until is None else until,
    }
    return [int(number) for (number,) in session.execute(_NUMBERS, bounds) if number is not None]


def live_ids(session: orm.Session, poller_id: int) -> list[str]:
    """Ids of the live objects, whatever they look like."""
    query = sa.select(Object.object_id).where(Object.poller_id == poller_id, Object.live)
    return list(session.scalars(query))


_COUNT = (
    sa.select(sa.func.count())
    .select_from(Object)
    .where(Object.poller_id == sa.bindparam("poller_id"), Object.live)
)


def count_live(session: orm.Session, poller_id: int) -> int:
    """How many objects the ledger holds as live."""
    return int(session.execute(_COUNT, {"poller_id": poller_id}).scalar_one())


_MODIFIED = (
    sa.select(Object.number)
    .where(
        Object.poller_id == sa.bindparam("poller_id"),
        Object.modified_at > sa.bindparam("after"),
        Object.live,
        Object.number.is_not(None),
    )
    .order_by(Object.modified_at.desc())
    .limit(sa.bindparam("most"))
)


def modified_after(
    session: orm.Session, poller_id: int, after: dt.datetime, most: int
) -> list[int]:
    """Numeric ids of live objects modified after a date, the latest first, at most so many."""
    values = {"poller_id": poller_id, "after": after, "most": most}
    return [int(number) for (number,) in session.execute(_MODIFIED, values) if number is not None]


def children(session: orm.Session, poller_id: int, parents: cabc.Sequence[int]) -> dict[int, int]:
    """Numeric ids of live objects that belong to one of the parents, each with its parent."""
    found: dict[int, int] = {}
    for start in range(0, len(parents), _IDS_AT_ONCE):
        some = Object.parent.in_(parents[start : start + _IDS_AT_ONCE])
        found |= _with_parents(session, poller_id, Object.live, some)
    return found


def children_between(
    session: orm.Session, poller_id: int, after: int | None, until: int | None
) -> dict[int, int]:
    """Live objects whose parent's id is in ``(after, until]``, each with its parent."""
    low = Object.parent > (-1 if after is None else after)
    high = Object.parent <= (_GREATEST if until is None else until)
    return _with_parents(session, poller_id, Object.live, low, high)


def parents_of(session: orm.Session, poller_id: int, numbers: cabc.Sequence[int]) -> dict[int, int]:
    """To which order or product each of these objects belongs."""
    found: dict[int, int] = {}
    for start in range(0, len(numbers), _IDS_AT_ONCE):
        some = Object.number.in_(numbers[start : start + _IDS_AT_ONCE])
        found |= _with_parents(session, poller_id, some)
    return found


def _with_parents(
    session: orm.Session,
    poller_id: int,
    *which: sa.ColumnElement[bool] | orm.InstrumentedAttribute[bool],
) -> dict[int, int]:
    query = sa.select(Object.number, Object.parent).where(
        Object.poller_id == poller_id,
        Object.number.is_not(None),
        Object.parent.is_not(None),
        *which,
    )
    return {number: parent for number, parent in session.execute(query) if number and parent}
