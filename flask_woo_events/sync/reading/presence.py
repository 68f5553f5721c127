"""Presence: whether the store still lists known objects, by their number alone."""

from __future__ import annotations

import dataclasses
import datetime as dt

from ...errors import (
    StoreAccessError,
    StoreFailedError,
    StoreGarbledError,
    StoreRejectedError,
)
from ...woocommerce.listing import INCLUDE_AT_ONCE
from ..cursor import Cursor
from .base import Followups, Reading

#: Polls in which the comparison may reach every object without the help of these requests.
SHORT = 24
#: Most objects in one request, and characters of their ids in its query: servers and firewalls
#: limit the length of a URL, often to 8,190.
AT_ONCE = 500
MAX_CHARACTERS = 4_000
#: A comma is encoded as three characters.
_COMMA = 3
#: How long a store is not asked again that refused such a request.
REFUSED_FOR = dt.timedelta(hours=24)


def check(reading: Reading, cursor: Cursor, followups: Followups) -> Cursor:
    """Request the number of the next known objects; note those that the store does not list.

    Without it, an object that leaves the list while another one joins it is found only by the
    comparison, since the number of all objects stays the same. If that number differs, the search
    finds it. Without dates, that happens to users by their role and to reviews by their approval.
    """
    count = reading.ledger.count_live()
    if not reading.listing.collection.rejoined or count <= _compared(reading, SHORT):
        return cursor
    kept = cursor.memory.get("presence") or {}
    if followups.total != count + int(cursor.memory.get("hidden", 0)) or _is_refused(reading, kept):
        return cursor
    ids = _next_ids(reading, kept.get("after"))
    try:
        shown = reading.listing.count(ids)
        if shown is None or shown > len(ids):
            kept = {"refused_at": reading.clock().isoformat()}  # The store ignores "include".
        else:
            kept = {"after": ids[-1]}
            if shown < len(ids):
                followups.gone.update(map(str, _absent(reading, ids)))
    except (StoreAccessError, StoreFailedError, StoreGarbledError, StoreRejectedError):
        kept = {"refused_at": reading.clock().isoformat()}
    return dataclasses.replace(cursor, memory={**cursor.memory, "presence": kept})


def _compared(reading: Reading, polls: int) -> int:
    return polls * reading.compare_pages * reading.listing.page_size


def _is_refused(reading: Reading, kept: dict[str, str]) -> bool:
    refused_at = kept.get("refused_at")
    if refused_at is None:
        return False
    return reading.clock() - dt.datetime.fromisoformat(refused_at) < REFUSED_FOR


def _next_ids(reading: Reading, after: int | None) -> list[int]:
    """Return the ids after the last ones that were checked, or the first ones."""
    ids = reading.ledger.next_numbers(after, AT_ONCE) or reading.ledger.next_numbers(None, AT_ONCE)
    return ids[: MAX_CHARACTERS // (len(str(ids[-1])) + _COMMA)]


def _absent(reading: Reading, ids: list[int]) -> set[int]:
    """Return those of these objects that the list lacks."""
    shown: set[int] = set()
    for start in range(0, len(ids), INCLUDE_AT_ONCE):
        answer = reading.listing.by_ids(ids[start : start + INCLUDE_AT_ONCE], "id")
        shown.update(row["id"] for row in answer.data)
    return set(ids).difference(shown, reading.listing.unreadable.ids)
