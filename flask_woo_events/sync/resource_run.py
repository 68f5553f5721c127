"""The resource run: one resource in one poll session, what is left to read, and its report."""

from __future__ import annotations

import dataclasses

from ..woocommerce.endpoints import Collection
from ..woocommerce.oddities import Oddity
from .cursor import ListPosition, Stream
from .ledger.lookup import LedgerView
from .reading.base import Followups, Reading
from .recorder import PollRecorder
from .report import PollReport


@dataclasses.dataclass(slots=True)
class ResourceRun:
    """One resource in a poll session."""

    stream: Stream
    ledger: LedgerView
    recorder: PollRecorder
    collection: Collection
    report: PollReport
    followups: Followups = dataclasses.field(default_factory=Followups)
    #: What was odd about the store's answers, each with its detail.
    oddities: dict[Oddity, str] = dataclasses.field(default_factory=dict)
    reading: Reading | None = None
    #: Why it could not be read.
    failure: Exception | None = None
    #: Something named the objects that are read.
    by_hint: bool = False
    #: Compare all of it, in this poll and the next ones until the end is reached.
    compare_all: bool = False

    @property
    def in_slices(self) -> bool:
        """Whether a short poll compares a part of all of it, and the next one follows at once."""
        comparison = self.stream.comparison
        backfills = comparison is not None and comparison.backfill is not None
        return self.compare_all and (backfills or "compare_all" in self.recorder.notes)

    @property
    def is_cut(self) -> bool:
        """Whether the next poll compares the next part."""
        under_way = self.recorder.cursor.compare != ListPosition()
        return self.in_slices and under_way and self.report.error is None

    @property
    def matched(self) -> int:
        """Live objects of the ledger that the store showed as they are known."""
        return self.recorder.matched
