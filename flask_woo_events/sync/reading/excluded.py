"""Excluded objects: those of the ledger that a new filter leaves out and the store still has."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses

from ...db.states import Source
from ...woocommerce.listing import INCLUDE_AT_ONCE
from ..cursor import Cursor
from . import children
from .base import Batch, Followups, Reading, batch_of
from .modified import read_in_full


def read(
    reading: Reading, cursor: Cursor, followups: Followups, source: Source = Source.COMPARE
) -> cabc.Iterator[Batch]:
    """Yield the named objects that only another filter shows, and take them from the follow-ups.

    Those that no filter shows stay: they seem to be deleted.
    """
    if reading.by_parent:
        yield from children.excluded(reading, cursor, followups, source)
        return
    wide = dataclasses.replace(reading, listing=reading.listing.unfiltered())
    gone = {int(one) for one in followups.gone}
    named = sorted(followups.candidates | followups.reread | gone)
    for start in range(0, len(named), INCLUDE_AT_ONCE):
        revision = reading.ledger.revision
        ids = named[start : start + INCLUDE_AT_ONCE]
        known = reading.ledger.known([str(number) for number in ids])
        answer = reading.listing.by_ids(ids, "id")
        listed = {row["id"] for row in answer.data}
        absent = [one for one in ids if one not in listed and str(one) in known]
        observations = [
            dataclasses.replace(seen, excluded=True)
            for seen in read_in_full(wide, absent)
            if int(seen.object_id) in absent
        ]
        shown = {int(seen.object_id) for seen in observations}
        followups.candidates -= shown
        followups.reread -= shown
        followups.gone -= {str(number) for number in shown}
        if observations:
            date = reading.date_of(answer.date)
            yield batch_of(source, cursor, observations, revision, date)
