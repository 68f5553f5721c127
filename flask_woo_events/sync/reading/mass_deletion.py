"""The guard: when it is believed that a large part of a store is gone."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

from ...errors import MassDeletionError
from ..cursor import Cursor
from .base import Batch, Reading

#: Objects missing at once, in number and as a part of the ledger, that want a second look.
MANY = 20
MANY_PART = 0.2
#: How long a store must go on like that: it may be moving, or be restored at this moment.
SECOND_LOOK = dt.timedelta(minutes=10)


def guard_mass_deletion(
    reading: Reading, cursor: Cursor, missing: int
) -> cabc.Generator[Batch, None, Cursor]:
    """Believe that so many objects are gone, or raise until it has been so for a while.

    That nothing at all is left, here and in the other resources, is believed only when a person
    says so.

    :raises MassDeletionError: not yet, or not without a person.
    """
    count = reading.ledger.count_live()
    first, now = cursor.memory.get("missing_since"), reading.clock()
    if missing <= MANY or missing <= count * MANY_PART:
        return _without(cursor, "missing_since") if first is not None else cursor
    if cursor.memory.get("accept_missing"):
        return _without(cursor, "missing_since", "accept_missing")
    number, resource = reading.stream.instance_id, reading.stream.resource
    words = f"{missing} of {count} {resource} are gone from the store at once"
    nothing_left = missing >= count and not reading.anchored()
    if not nothing_left and first is not None and now - _date(first) >= SECOND_LOOK:
        return _without(cursor, "missing_since")
    memory = {**cursor.memory, "missing_since": first or now.isoformat()}
    yield Batch(dataclasses.replace(cursor, memory=memory))
    if nothing_left:
        raise MassDeletionError(
            f"{words} and no other object is there that is known: another store or a broken one. "
            f"Nothing was told. If they are meant to be gone: flask woo instances accept {number}"
        )
    raise MassDeletionError(
        f"{words}; it is told if it stays so for {SECOND_LOOK.seconds // 60} minutes. "
        f"To tell it at the next poll: flask woo instances accept {number}"
    )


def _date(text: object) -> dt.datetime:
    return dt.datetime.fromisoformat(str(text))


def _without(cursor: Cursor, *names: str) -> Cursor:
    memory = {name: value for name, value in cursor.memory.items() if name not in names}
    return dataclasses.replace(cursor, memory=memory)
