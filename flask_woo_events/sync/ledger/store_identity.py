"""The identity of a store: signs that another store answers, or the same one of an earlier day."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

from ...errors import AnotherStoreError, StoreRestoredError
from .lookup import Known
from .observation import ObservationBatch

#: Objects that must say the same before it is believed.
ENOUGH = 3
#: How far the store's clock must be behind the cursor to be taken for put back.
CLOCK_STEP = dt.timedelta(minutes=1)
#: A date older than the last poll by more than this cannot be a change that it did not see yet.
LONG_SEEN = dt.timedelta(minutes=10)
#: Creation dates nearer than this are the same.
_SAME = dt.timedelta(minutes=1)


@dataclasses.dataclass(frozen=True, slots=True)
class StoreEvidence:
    """What a reading says of the store, in objects."""

    #: Live in the ledger, and shown.
    met: int = 0
    #: Of those: shown as they were before a change that is known.
    back: int = 0
    #: Of those: changed since.
    onward: int = 0
    #: Of those: with another date of creation.
    strangers: int = 0

    def __add__(self, other: StoreEvidence) -> t.Self:
        return type(self)(
            self.met + other.met,
            self.back + other.back,
            self.onward + other.onward,
            self.strangers + other.strangers,
        )

    def judge(self, resource: str) -> None:
        """Refuse what is not the store that the ledger knows.

        :raises AnotherStoreError: most objects have other dates of creation.
        :raises StoreRestoredError: most changes lead back in time.
        """
        if self.strangers >= ENOUGH and 2 * self.strangers > self.met:
            raise AnotherStoreError(
                f"{self.strangers} of {self.met} {resource} have another creation date than "
                "known: another store answers at store.url, and nothing of it was taken over. "
                "If it is meant to, create an instance for it"
            )
        if self.back >= ENOUGH and self.back > self.onward:
            raise StoreRestoredError(
                f"{self.back} {resource} are as they were before changes that were seen: "
                "the store was restored from a backup"
            )


def read_signs(
    before: cabc.Mapping[str, Known], sighting: ObservationBatch, polled_at: dt.datetime | None
) -> StoreEvidence:
    """Compare the dates of what is shown with those of what is known.

    :param polled_at: when the last complete poll began, the store's clock.
    """
    met = back = onward = strangers = 0
    # After the clock was put back, dates before the last poll are news.
    steady = polled_at is not None and sighting.poll_date >= polled_at - CLOCK_STEP
    for seen in sighting.observations:
        known = before.get(seen.object_id)
        if known is None or not known.live or seen.body is None:
            continue
        met += 1
        if known.created_at and seen.created_at and abs(known.created_at - seen.created_at) > _SAME:
            if polled_at is not None and seen.created_at > polled_at:
                back += steady  # Its id was given once more.
            else:
                strangers += 1
        elif known.modified_at and seen.modified_at and known.modified_at != seen.modified_at:
            long_seen = polled_at is not None and seen.modified_at < polled_at - LONG_SEEN
            if seen.modified_at < known.modified_at and long_seen:
                back += steady
            else:
                onward += 1
    return StoreEvidence(met, back, onward, strangers)
