"""Absences: whether objects that two reads of a whole collection lack are gone."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import math
import re
import typing as t

from ...errors import (
    ObjectUnreadableError,
    StoreAccessError,
    StoreGarbledError,
    StoreRejectedError,
)
from ...woocommerce.listing import INCLUDE_AT_ONCE
from .base import Reading, object_id

#: Objects requested by their own address in one poll, of those that only the list lacks; of more
#: objects that disappeared together, at least as many are requested.
MOST_ADDRESSES = 20
#: Ids that are kept of objects that the list lacks although the store has them.
MOST_UNLISTED = 2_000

_PATH_SEGMENT = re.compile(r"[A-Za-z0-9_-]+\Z")


@dataclasses.dataclass(frozen=True, slots=True)
class Absences:
    """What is known of the objects that a list lacks."""

    #: Whether the objects have addresses of their own, so that anything is known.
    addressed: bool
    gone: frozenset[str] = frozenset()
    #: Objects that exist although the list lacks them, those requested last at the end.
    unlisted: tuple[str, ...] = ()


def check(
    reading: Reading, missing: set[str], unlisted: cabc.Sequence[str], shown: str | None
) -> Absences:
    """Request missing objects by their own addresses.

    All of those that are newly missing are requested if there are few, otherwise some of them, and
    the rest only if the store has one of these. Of those that were missing before, some are
    requested in each poll.

    :param unlisted: objects that the list lacked before and the store had.
    :param shown: an object that the list has: it shows what an existing object's address returns.
    """
    before = [one for one in unlisted if one in missing]
    fresh = sorted(missing.difference(before))
    if not _has_addresses(reading, [*fresh, *before], shown):
        return Absences(addressed=False)
    sample = _sample(fresh)
    there = _there(reading, sample, shown)
    if there:
        there |= _there(reading, [one for one in fresh if one not in sample], shown)
    again = before[:MOST_ADDRESSES]
    still = _there(reading, again, shown)
    gone = missing.difference(there, before) | (set(again) - still)
    kept = [*before[MOST_ADDRESSES:], *(one for one in again if one in still), *sorted(there)]
    return Absences(True, frozenset(gone), tuple(kept[:MOST_UNLISTED]))


def _has_addresses(reading: Reading, missing: cabc.Sequence[str], shown: str | None) -> bool:
    """Return whether an existing object answers at its own address."""
    if reading.stream.configuration.id_field != "id":
        return False
    if not all(_PATH_SEGMENT.match(one) for one in missing):
        return False
    try:
        return reading.listing.one(shown or missing[0]) is not None or shown is None
    except ObjectUnreadableError:
        return True
    except (StoreAccessError, StoreGarbledError, StoreRejectedError):
        return False


def _sample(object_ids: cabc.Sequence[str]) -> list[str]:
    """Return objects spread evenly over these, or all if they are few."""
    count = max(MOST_ADDRESSES, math.isqrt(len(object_ids)))
    step = max(1.0, len(object_ids) / count)
    return [object_ids[int(number * step)] for number in range(min(count, len(object_ids)))]


def _there(reading: Reading, object_ids: cabc.Sequence[str], shown: str | None) -> set[str]:
    """Return the objects that the store has and that the list should hold."""
    there, outside, unclear = set(), set(), set()
    for one in object_ids:
        try:
            body = _body(reading, one)
        except ObjectUnreadableError:
            there.add(one)
            continue
        if body is None or not reading.listing.is_member(body):
            continue
        match reading.listing.matches(body):
            case True:
                there.add(one)
            case False:
                outside.add(one)
            case None:
                unclear.add(one)
    filtered = sorted(outside | unclear)
    held = _held(reading, filtered, shown) if filtered else None
    # Without a list to ask, an object is outside the url's filters only if its fields show it.
    there |= unclear if held is None else held
    # One at a time: a longer list of a store whose lists lack rows would show it without its role.
    return {
        one for one in there if not one.isdecimal() or not reading.listing.without_role([int(one)])
    }


def _body(reading: Reading, one: str) -> dict[str, t.Any] | None:
    """Return an object by its own address; ``None`` if it is in the trash or gone."""
    try:
        body = reading.listing.one(one)
    except StoreAccessError as exc:
        # The same keys could read another object.
        if exc.code.endswith("cannot_view"):
            return None
        raise
    return None if body is not None and body.get("status") == "trash" else body


def _held(reading: Reading, object_ids: cabc.Sequence[str], shown: str | None) -> set[str] | None:
    """Return those that the list holds when they are named; ``None`` if it ignores names."""
    held: set[str] = set()
    if shown is None or not all(one.isdecimal() for one in (*object_ids, shown)):
        return None
    for start in range(0, len(object_ids), INCLUDE_AT_ONCE - 1):
        named = [*object_ids[start : start + INCLUDE_AT_ONCE - 1], shown]
        try:
            rows = reading.listing.included(named).data
        except StoreRejectedError:
            return None
        found = {object_id(row, "id") for row in rows}
        if shown not in found or not found <= set(named):
            return None
        held |= found
    return held - {shown}
