"""Unstable fields: fields of extensions that differ each time an object is read."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import typing as t

from ...errors import StoreRejectedError
from ...woocommerce import oddities
from ..cursor import Cursor
from .base import Batch, Reading

#: Objects whose field must differ between two immediate reads.
OBJECTS = 3
#: Objects that are read.
_READ = 5
#: Times that this must be seen, and the least time between two of them.
TIMES, APART = 3, dt.timedelta(hours=1)
#: How often it is checked whether an ignored field is still unstable.
CHECK_EVERY = dt.timedelta(days=1)
#: Fields that are kept.
_MOST = 20


def read(
    reading: Reading, cursor: Cursor, suspects: cabc.Mapping[str, cabc.Sequence[str]]
) -> cabc.Iterator[Batch]:
    """Find fields that make every object UPDATED at every read, and those that no longer do.

    A bulk write looks alike in the events, so only reads that follow each other immediately count,
    for several objects, at three times. Nothing is read while no such field is suspected.

    :param suspects: objects of which only undocumented fields changed in this poll, by field.
    """
    memory = cursor.memory
    if not (suspects or memory.get("suspected") or memory.get("ignored")):
        return
    if reading.stream.configuration.ignored_fields is not None:
        return  # The configuration names them.
    now = reading.clock()
    seen = dict(memory.get("suspected", {}))
    # A resource with two objects has no third one.
    enough = max(2, min(OBJECTS, reading.ledger.count_live()))
    for name, ids in suspects.items():
        known = seen.pop(name, None)
        named = [*(known or {}).get("ids", ()), *ids]
        seen[name] = one = {"times": 0, **(known or {}), "ids": _latest(named)}
        # The first poll only notes it; a later one reads, if it finds the same again.
        if known is None or len(one["ids"]) < enough or not _is_past(one.get("at"), now, APART):
            continue
        one["at"] = now.isoformat()
        one["times"] += _differs(reading, one["ids"], name, enough)
    ignored = dict(memory.get("ignored", {}))
    for name, checked_at in memory.get("ignored", {}).items():
        if _is_past(checked_at, now, CHECK_EVERY):
            del ignored[name]
            if _differs(reading, [str(one) for one in reading.anchors], name, enough):
                ignored[name] = now.isoformat()
    for name in [name for name, one in seen.items() if one["times"] >= TIMES]:
        del seen[name]
        ignored[name] = now.isoformat()
    if ignored:
        what = f"{', '.join(sorted(ignored))} of {reading.stream.resource}"
        reading.listing.client.oddities.add(oddities.UNSTABLE_FIELDS, what)
    found = {"suspected": _last(seen), "ignored": _last(ignored)}
    if any(found[name] != memory.get(name, {}) for name in found):
        yield Batch(dataclasses.replace(cursor, memory={**memory, **found}))


def _differs(reading: Reading, object_ids: cabc.Sequence[str], name: str, enough: int) -> bool:
    """Return whether a field differs between two immediate reads of several objects."""
    ids = [int(one) for one in object_ids if one.isdecimal()]
    if not ids:
        return False
    first, second = ({row["id"]: row.get(name) for row in _rows(reading, ids)} for _ in range(2))
    differing = [one for one in first.keys() & second.keys() if first[one] != second[one]]
    return len(differing) >= min(enough, len(first)) > 0


def _rows(reading: Reading, ids: cabc.Sequence[int]) -> list[dict[str, t.Any]]:
    """Read objects, which may be listed only by parent."""
    if not reading.by_parent:
        rows: list[dict[str, t.Any]] = reading.listing.by_ids(ids).data
        return rows
    found = []
    for parent in sorted(set(reading.ledger.parents_of(ids).values())):
        with contextlib.suppress(StoreRejectedError):  # The parent was deleted.
            found += reading.listing.below(parent).by_ids(ids).data
    return found


def _is_past(at: object, now: dt.datetime, wait: dt.timedelta) -> bool:
    return at is None or now - dt.datetime.fromisoformat(str(at)) >= wait


def _latest(ids: cabc.Iterable[str]) -> list[str]:
    """Return the last ones of these objects, each once."""
    return list(dict.fromkeys(ids))[-_READ:]


def _last(fields: dict[str, t.Any]) -> dict[str, t.Any]:
    return dict(list(fields.items())[-_MOST:])
