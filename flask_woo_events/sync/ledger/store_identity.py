"""The identity of a store: evidence that another store answers, or one restored from a backup."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

from ...errors import AnotherStoreError, StoreRestoredError
from .lookup import Known
from .observation import ObservationBatch

#: Objects that must agree before the evidence counts.
ENOUGH = 3
#: How far behind the cursor the store's clock must be to count as set back.
CLOCK_STEP = dt.timedelta(minutes=1)
#: A change dated longer than this before the last poll was visible to that poll.
LONG_SEEN = dt.timedelta(minutes=10)
#: Creation dates closer than this are equal.
_SAME = dt.timedelta(minutes=1)


@dataclasses.dataclass(frozen=True, slots=True)
class StoreEvidence:
    """Numbers of objects that say whether this is the store that the ledger knows."""

    #: Live in the ledger, and shown by the store.
    matched: int = 0
    #: Of those: shown as they were before a change that the ledger holds.
    reverted: int = 0
    #: Of those: changed since.
    advanced: int = 0
    #: Of those: with another creation date.
    mismatched: int = 0

    def __add__(self, other: StoreEvidence) -> t.Self:
        return type(self)(
            self.matched + other.matched,
            self.reverted + other.reverted,
            self.advanced + other.advanced,
            self.mismatched + other.mismatched,
        )

    def judge(self, resource: str) -> None:
        """Raise if this is not the store that the ledger knows.

        :raises AnotherStoreError: most objects have other creation dates.
        :raises StoreRestoredError: most changes lead back in time.
        """
        if self.mismatched >= ENOUGH and 2 * self.mismatched > self.matched:
            raise AnotherStoreError(
                f"{self.mismatched} of {self.matched} {resource} have another creation date than "
                "before: another store answers at store.url. Nothing of it was recorded. "
                "To connect that store, create an instance for it"
            )
        if self.reverted >= ENOUGH and self.reverted > self.advanced:
            raise StoreRestoredError(
                f"{self.reverted} {resource} are as they were before changes that earlier "
                "polls saw: the store was restored from a backup"
            )


def read_evidence(
    before: cabc.Mapping[str, Known], observed: ObservationBatch, polled_at: dt.datetime | None
) -> StoreEvidence:
    """Compare the dates that the store shows with those that the ledger holds.

    :param polled_at: when the last complete poll began, by the store's clock.
    """
    matched = reverted = advanced = mismatched = 0
    # After the clock was set back, dates before the last poll belong to new changes.
    steady = polled_at is not None and observed.poll_date >= polled_at - CLOCK_STEP
    for seen in observed.observations:
        known = before.get(seen.object_id)
        if known is None or not known.live or seen.body is None:
            continue
        matched += 1
        if known.created_at and seen.created_at and abs(known.created_at - seen.created_at) > _SAME:
            if polled_at is not None and seen.created_at > polled_at:
                reverted += steady  # Another object got its id.
            else:
                mismatched += 1
        elif known.modified_at and seen.modified_at and known.modified_at != seen.modified_at:
            long_seen = polled_at is not None and seen.modified_at < polled_at - LONG_SEEN
            if seen.modified_at < known.modified_at and long_seen:
                reverted += steady
            else:
                advanced += 1
    return StoreEvidence(matched, reverted, advanced, mismatched)
