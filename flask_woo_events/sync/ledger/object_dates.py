"""Dates of an object: what they decide, and which of them its event has.

WooCommerce's own dates, in UTC, come before those that ``datesConfiguration`` names where something
is decided: only they are known to move with each change.
"""

from __future__ import annotations

import datetime as dt

from ..cursor import Stream
from .observation import Observation

#: A configured date that is so far ahead of its reading is in another time zone, or is a plan:
#: zones differ by 15 minutes or more.
AHEAD = dt.timedelta(minutes=15)


def of_event(seen: Observation, poll_date: dt.datetime) -> dt.datetime:
    """Return the date of an object's event: updated, else created, else that of the poll."""
    return (
        seen.configured_updated
        or seen.modified_at
        or seen.configured_created
        or seen.created_at
        or poll_date
    )


def created(seen: Observation) -> dt.datetime | None:
    """Return when an object was created, as far as that can decide anything."""
    return seen.created_at or _plausible(seen.configured_created, seen)


def modified(seen: Observation) -> dt.datetime | None:
    """Return when an object was modified, as far as that can decide anything."""
    return seen.modified_at or _plausible(seen.configured_updated, seen)


def existed(stream: Stream, seen: Observation) -> bool:
    """Return whether an object that a feed shows for the first time is an older one that changed.

    A feed lists only what changed, so the ledger does not know older objects. Both configured dates
    must be known. As the documented service does it, dates that differ by no more than
    ``createdCheckTolerance`` are those of a new object.
    """
    if stream.feed_since is None:
        return False
    begun = _plausible(seen.configured_created, seen)
    changed = _plausible(seen.configured_updated, seen)
    if begun is None or changed is None or begun > stream.feed_since:
        return False
    tolerance = dt.timedelta(seconds=stream.configuration.created_check_tolerance)
    return changed - begun > tolerance


def _plausible(date: dt.datetime | None, seen: Observation) -> dt.datetime | None:
    return None if date is None or date >= seen.seen_at + AHEAD else date
