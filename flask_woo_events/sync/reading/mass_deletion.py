"""The guard against mass deletions: it delays DELETED events for a large part of a store."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

from ...errors import MassDeletionError
from ..cursor import Cursor
from .base import Batch, Reading

#: A deletion of more objects than this, in number and as a share of the ledger, is confirmed.
MANY = 20
MANY_PART = 0.2
#: How long the objects must be missing: the store may be in the middle of a move or a restore.
SECOND_LOOK = dt.timedelta(minutes=10)


def guard_mass_deletion(
    reading: Reading, cursor: Cursor, missing: int
) -> cabc.Generator[Batch, None, Cursor]:
    """Raise unless a mass deletion is confirmed by a later poll or by an operator.

    A store without any known object, in this and the other resources, needs the operator.

    :raises MassDeletionError: it is not confirmed yet.
    """
    count = reading.ledger.count_live()
    first, now = cursor.memory.get("missing_since"), reading.clock()
    if missing <= MANY or missing <= count * MANY_PART:
        return _without(cursor, "missing_since") if first is not None else cursor
    if cursor.memory.get("accept_missing"):
        return _without(cursor, "missing_since", "accept_missing")
    number, resource = reading.stream.instance_id, reading.stream.resource
    words = f"{missing} of {count} {resource} are missing from the store"
    nothing_left = missing >= count and not reading.anchored()
    if not nothing_left and first is not None and now - _date(first) >= SECOND_LOOK:
        return _without(cursor, "missing_since")
    memory = {**cursor.memory, "missing_since": first or now.isoformat()}
    yield Batch(dataclasses.replace(cursor, memory=memory))
    if nothing_left:
        raise MassDeletionError(
            f"{words} and it shows no other known object: another store answers, or it is broken. "
            f"No event was sent. If they were deleted: flask woo instances accept {number}"
        )
    raise MassDeletionError(
        f"{words}; events are sent if they stay missing for {SECOND_LOOK.seconds // 60} minutes. "
        f"To send them at the next poll: flask woo instances accept {number}"
    )


def _date(text: object) -> dt.datetime:
    return dt.datetime.fromisoformat(str(text))


def _without(cursor: Cursor, *names: str) -> Cursor:
    memory = {name: value for name, value in cursor.memory.items() if name not in names}
    return dataclasses.replace(cursor, memory=memory)
