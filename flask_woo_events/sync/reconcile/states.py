"""States: the version of each object of a resource, for consumers that compare their copies."""

from __future__ import annotations

import base64
import binascii
import collections.abc as cabc
import dataclasses

import orjson
import sqlalchemy as sa
from sqlalchemy import orm

from ...db.models import GONE_DIGEST, Object
from ...errors import InputError
from ...instances import checkpoint
from ...values.validation import KEY_LENGTH
from .copies import NONE, IdRange
from .differences import LedgerState

#: Rows of the ledger in memory at a time.
_AT_ONCE = 5_000
_LONGEST_CURSOR = 2_000
#: What a change of the filter excludes is neither live nor deleted.
_BELONGS = sa.or_(Object.live, Object.digest == GONE_DIGEST)


@dataclasses.dataclass(frozen=True, slots=True)
class ObjectState:
    """One object of a resource."""

    object_id: str
    version: int
    #: Identifies its content, 64 hexadecimal digits; see :func:`~.checkpoint.fingerprint`.
    digest: str
    #: False once it was deleted.
    live: bool


def page(
    session: orm.Session, poller_id: int, cursor: str | None, limit: int
) -> tuple[list[ObjectState], str | None]:
    """Return objects of a resource, and the cursor of the next page; ``None`` at the end.

    Their order is that of the database. What changes meanwhile may be on the next page or not.

    :param cursor: of the page before.
    :raises InputError: the cursor is not one of this resource.
    """
    query = (
        sa.select(Object.object_id, Object.version, Object.live)
        .where(Object.poller_id == poller_id, _BELONGS)
        .order_by(Object.object_id)
        .limit(limit + 1)
    )
    if cursor is not None:
        query = query.where(Object.object_id > _decoded(cursor, poller_id))
    rows = session.execute(query).all()
    shown = [
        ObjectState(name, version, checkpoint.fingerprint(name, version).hex(), live)
        for name, version, live in rows[:limit]
    ]
    more = len(rows) > limit
    return shown, _encoded(poller_id, shown[-1].object_id) if more else None


def _encoded(poller_id: int, object_id: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([poller_id, object_id])).decode().rstrip("=")


def _decoded(cursor: str, poller_id: int) -> str:
    try:
        if len(cursor) > _LONGEST_CURSOR:
            raise ValueError
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        owner, after = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if owner != poller_id or type(after) is not str:
            raise ValueError
        if not 0 < len(after) <= KEY_LENGTH or "\0" in after:
            raise ValueError
    except (ValueError, TypeError, binascii.Error):
        raise InputError(
            "cursor is not the cursor of an earlier page of this resource", "cursor"
        ) from None
    return after


def sorted_states(
    session: orm.Session, poller_id: int, part: IdRange, *, dated: bool = True
) -> cabc.Iterator[LedgerState]:
    """Yield all objects of a part of a resource in the order of their ids' characters.

    One statement reads them, so that all of them are as they were at one time.

    :param dated: with their modified dates, which take a fifth of the time.
    """
    name: sa.ColumnElement[str] = sa.type_coerce(Object.object_id, Object.object_id.type)
    if session.get_bind().dialect.name == "postgresql":
        # The database may have been created with the order of a language.
        name = sa.collate(Object.object_id, "C")
    query = sa.select(
        Object.object_id,
        Object.version,
        Object.live,
        sa.and_(sa.not_(Object.live), Object.digest != GONE_DIGEST),
        Object.modified_at if dated else sa.null(),
    ).where(Object.poller_id == poller_id)
    if part.after is not None:
        query = query.where(Object.number > part.after)
    if part.until is not None:
        query = query.where(Object.number <= part.until)
    query = query.order_by(name).execution_options(yield_per=_AT_ONCE)
    for object_id, version, live, excluded, modified in session.execute(query):
        if part.includes(object_id):
            date = NONE if modified is None else modified.timestamp()
            yield LedgerState(object_id, version, live, excluded, date)
