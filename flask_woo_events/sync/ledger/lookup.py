"""Lookups: what the ledger holds."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ...db.database import Database
from ...db.models import GONE_DIGEST, Object, Poller
from .digest import FIRST

#: WooCommerce writes the date of a change before the rest of it, and the journal's plugin writes
#: its row before the change. A read less than this after that date may show half of the change,
#: or the first of two changes in one second.
SETTLED_AFTER = dt.timedelta(seconds=10)
#: A date that is further ahead of the store's clock is not the time of a change: an import or an
#: extension wrote it.
DATED_AHEAD = dt.timedelta(hours=1)
#: Ids in one ``IN``: SQLite before 3.32 allows 999 variables.
_IDS_AT_ONCE = 500
#: The greatest number that a 64-bit column can hold.
_MAX_NUMBER = 2**63 - 1


def is_fresh(modified_at: dt.datetime, seen_at: dt.datetime) -> bool:
    """Return whether an object was read so soon after its date that more may carry that date.

    A date far ahead of the store's clock says nothing about when the object changed.
    """
    return seen_at - SETTLED_AFTER < modified_at <= seen_at + DATED_AHEAD


class Known(t.NamedTuple):
    """One object as the ledger holds it: the columns of ``_KNOWN`` after the id, in their order."""

    live: bool
    digest: bytes
    modified_at: dt.datetime | None
    seen_at: dt.datetime
    fields: bytes = b""
    version: int = 0
    revision: int = 0
    notification_id: int | None = None
    created_at: dt.datetime | None = None
    digest_version: int = FIRST
    store_version: str = ""
    store_zone: str = ""
    described_revision: int = 0
    listed: bool = True
    held_at: dt.datetime | None = None
    body_revision: int | None = None
    body_fields: int | None = None

    @property
    def excluded(self) -> bool:
        """Whether it left with a change of the filter, and not by a deletion."""
        return not self.live and self.digest != GONE_DIGEST

    @property
    def settled(self) -> bool:
        """Whether it was read long enough after its date to hold all of that change."""
        return self.modified_at is None or not is_fresh(self.modified_at, self.seen_at)

    @property
    def described(self) -> bool:
        """Whether the digest's version and the store's belong to this content."""
        return self.described_revision == self.revision


# Statements are built once: building an ``IN`` of plain values costs more than the database does.
_REVISION = sa.select(Poller.revision).where(Poller.id == sa.bindparam("poller_id"))
_KNOWN = sa.select(
    Object.object_id,
    Object.live,
    Object.digest,
    Object.modified_at,
    Object.seen_at,
    Object.fields,
    Object.version,
    Object.revision,
    Object.notification_id,
    Object.created_at,
    Object.digest_version,
    Object.store_version,
    Object.store_zone,
    Object.described_revision,
    Object.listed,
    Object.held_at,
    Object.body_revision,
    Object.body_fields,
).where(
    Object.poller_id == sa.bindparam("poller_id"),
    Object.object_id.in_(sa.bindparam("object_ids", expanding=True)),
)
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
_COUNT = (
    sa.select(sa.func.count())
    .select_from(Object)
    .where(Object.poller_id == sa.bindparam("poller_id"), Object.live)
)
_HELD = sa.select(Object.object_id, Object.live, Object.held_at).where(
    Object.poller_id == sa.bindparam("poller_id"), Object.held_at.is_not(None)
)
_UNLISTED = (
    sa.select(Object.number)
    .where(
        Object.poller_id == sa.bindparam("poller_id"),
        Object.live,
        Object.listed.is_(False),
        Object.number.is_not(None),
    )
    .order_by(Object.number)
)
_COUNT_UNTIL = _COUNT.where(Object.number <= sa.bindparam("until"))
_MODIFIED = (
    sa.select(Object.number)
    .where(
        Object.poller_id == sa.bindparam("poller_id"),
        Object.modified_at > sa.bindparam("after"),
        Object.modified_at <= sa.bindparam("until"),
        Object.live,
        Object.listed,
        Object.number.is_not(None),
    )
    .order_by(Object.modified_at.desc())
    .limit(sa.bindparam("most"))
)


def revision(session: orm.Session, poller_id: int) -> int:
    """Return the ledger's revision; take it before reading from the store."""
    return session.execute(_REVISION, {"poller_id": poller_id}).scalar_one()


def known(session: orm.Session, poller_id: int, object_ids: cabc.Sequence[str]) -> dict[str, Known]:
    """Return what the ledger holds of these objects, by id."""
    found: dict[str, Known] = {}
    for ids in in_chunks(object_ids):
        for row in session.execute(_KNOWN, {"poller_id": poller_id, "object_ids": list(ids)}):
            found[row[0]] = Known._make(row[1:])
    return found


class LedgerView:
    """The ledger of one resource, read in short transactions of its own.

    :param revision: the ledger's revision as last seen. An older one is safe: it only makes the
        ledger reject more of what was read as stale.
    """

    def __init__(self, database: Database, poller_id: int, revision: int) -> None:
        self.revision = revision
        #: Whether lists show every live object: then the index alone answers.
        self.lists_all = False
        #: Ids of objects that the store fails to show: nothing that it lacks is missing.
        self.unreadable: cabc.Callable[[], cabc.Sequence[int]] = tuple
        self._database = database
        self._poller_id = poller_id
        #: The count of all listed live objects, and what it depends on.
        self._count = 0
        self._counted: tuple[object, ...] | None = None

    def changed(self, revision: int, *, lists_all: bool) -> None:
        """Note that a batch was recorded."""
        self.revision, self.lists_all = revision, lists_all
        self._counted = None

    def known(self, object_ids: cabc.Sequence[str]) -> dict[str, Known]:
        """Return what the ledger holds of these objects, by id."""
        with self._database.read() as session:
            return known(session, self._poller_id, object_ids)

    def live_numbers(self, after: int | None = None, until: int | None = None) -> list[int]:
        """Return the numeric ids of the listed live objects in ``(after, until]``, ascending."""
        bounds = {"after": _lower(after), "until": _upper(until)}
        return [int(row[0]) for row in self._rows(self._listed(_NUMBERS), **bounds)]

    def next_numbers(self, after: int | None, most: int) -> list[int]:
        """Return at most ``most`` numeric ids of live objects above ``after``, ascending."""
        query = self._listed(_NUMBERS).limit(most)
        return [int(row[0]) for row in self._rows(query, after=_lower(after), until=_MAX_NUMBER)]

    def live_ids(self) -> list[str]:
        """Return the ids of the listed live objects, numeric or not."""
        query = self._readable(
            sa.select(Object.object_id).where(
                Object.poller_id == self._poller_id, Object.live, Object.listed
            )
        )
        return [row[0] for row in self._rows(query)]

    def count_live(self, until: int | None = None) -> int:
        """Return the number of listed live objects, or of those with an id up to ``until``."""
        if until is None:
            # Counting is slow in a large ledger.
            state = self.revision, self.lists_all, tuple(self.unreadable())
            if state != self._counted:
                self._count = int(self._rows(self._listed(_COUNT))[0][0])
                self._counted = state
            return self._count
        return int(self._rows(self._listed(_COUNT_UNTIL), until=until)[0][0])

    def held(self) -> dict[str, tuple[bool, dt.datetime]]:
        """Return the objects that wait for a second reading: whether each is live, since when."""
        return {row[0]: (row[1], row[2]) for row in self._rows(_HELD)}

    def unlisted(self) -> list[int]:
        """Return the numeric ids of the live objects that no list shows, ascending."""
        return [int(row[0]) for row in self._rows(self._readable(_UNLISTED))]

    def anchors(self) -> list[int]:
        """Return the ids of the oldest, the middle and the newest listed live object."""
        # Two short steps through the index instead of a count of all rows.
        first, last = self._edge(Object.number), self._edge(Object.number.desc())
        if first is None or last is None:
            return []
        middle = self._edge(Object.number, Object.number >= (first + last) // 2)
        return sorted({first, last, first if middle is None else middle})

    def _edge(
        self,
        order: sa.ColumnElement[t.Any] | orm.InstrumentedAttribute[int | None],
        *conditions: sa.ColumnElement[bool],
    ) -> int | None:
        query = sa.select(Object.number).where(
            Object.poller_id == self._poller_id,
            Object.live,
            Object.listed,
            Object.number.is_not(None),
            *conditions,
        )
        rows = self._rows(self._readable(query).order_by(order).limit(1))
        return int(rows[0][0]) if rows else None

    def modified_between(self, after: dt.datetime, until: dt.datetime, most: int) -> list[int]:
        """Return numeric ids of live objects modified in ``(after, until]``, latest first.

        :param most: the greatest number of them.
        """
        query = self._readable(_MODIFIED)
        rows = self._rows(query, after=after, until=until, most=most)
        return [int(row[0]) for row in rows]

    def children(self, parents: cabc.Sequence[int]) -> dict[int, int]:
        """Return the numeric ids of the live objects of these parents, each with its parent."""
        found: dict[int, int] = {}
        for ids in in_chunks(parents):
            found |= self._parents_where(Object.live, Object.parent.in_(ids))
        return found

    def children_between(self, after: int | None, until: int | None) -> dict[int, int]:
        """Return the live objects whose parent's id is in ``(after, until]``, with that id."""
        bounds = Object.parent > _lower(after), Object.parent <= _upper(until)
        return self._parents_where(Object.live, *bounds)

    def parents_of(self, numbers: cabc.Sequence[int]) -> dict[int, int]:
        """Return the id of the order or product that each of these objects belongs to."""
        found: dict[int, int] = {}
        for ids in in_chunks(numbers):
            found |= self._parents_where(Object.number.in_(ids))
        return found

    def _listed(self, query: sa.Select[t.Any]) -> sa.Select[t.Any]:
        return self._readable(query if self.lists_all else query.where(Object.listed))

    def _readable(self, query: sa.Select[t.Any]) -> sa.Select[t.Any]:
        ids = self.unreadable()
        return query.where(Object.object_id.not_in(map(str, ids))) if ids else query

    def _parents_where(
        self, *conditions: sa.ColumnElement[bool] | orm.InstrumentedAttribute[bool]
    ) -> dict[int, int]:
        query = sa.select(Object.number, Object.parent).where(
            Object.poller_id == self._poller_id,
            Object.number.is_not(None),
            Object.parent.is_not(None),
            *conditions,
        )
        return {number: parent for number, parent in self._rows(query) if number and parent}

    def _rows(self, query: sa.Executable, **values: object) -> cabc.Sequence[t.Any]:
        with self._database.read() as session:
            return session.execute(query, {"poller_id": self._poller_id, **values}).all()


def in_chunks(values: cabc.Sequence[t.Any]) -> cabc.Iterator[cabc.Sequence[t.Any]]:
    """Yield as many ids as one statement may hold."""
    for start in range(0, len(values), _IDS_AT_ONCE):
        yield values[start : start + _IDS_AT_ONCE]


def _lower(after: int | None) -> int:
    return -1 if after is None else after


def _upper(until: int | None) -> int:
    return _MAX_NUMBER if until is None else until
