"""The journal's state: what an instance keeps of its store's journal from poll to poll."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

from ..hint import Hint
from .position import Position


@dataclasses.dataclass(slots=True)
class JournalState:
    """What an instance keeps of its store's journal; resources are named by poller id."""

    #: ``None`` while the journal is not read.
    position: Position | None = None
    #: When the store was last found to have no readable journal, by our clock, and why.
    absent_at: dt.datetime | None = None
    reason: str = ""
    #: The types that the journal records.
    types: frozenset[str] = frozenset()
    #: Resources whose ledger is complete but for the changes in the journal.
    covered: set[int] = dataclasses.field(default_factory=set)
    #: When the last poll ended that compared all of a resource, by our clock.
    full_at: dict[int, dt.datetime] = dataclasses.field(default_factory=dict)
    #: Resources to compare as a whole.
    compare_all: set[int] = dataclasses.field(default_factory=set)
    #: Objects and parents of a resource that are not read yet.
    pending: dict[int, tuple[Hint, ...]] = dataclasses.field(default_factory=dict)

    def uncover(self) -> None:
        """Compare all covered resources once more: rows of the journal may be missing."""
        self.compare_all |= self.covered
        self.covered.clear()

    def to_json(self) -> dict[str, t.Any]:
        """Return the state in the form that the instance's row keeps."""
        return {
            "state": "following" if self.position is not None else "absent",
            "position": self.position.to_json() if self.position is not None else None,
            "absent_at": self.absent_at.isoformat() if self.absent_at is not None else None,
            "reason": self.reason,
            "types": sorted(self.types),
            "covered": sorted(self.covered),
            "full_at": {str(number): when.isoformat() for number, when in self.full_at.items()},
            "whole": sorted(self.compare_all),
            "pending": {
                str(number): [[hint.collection, hint.object_id, hint.parent] for hint in hints]
                for number, hints in self.pending.items()
            },
        }

    @classmethod
    def from_json(cls, kept: cabc.Mapping[str, t.Any]) -> t.Self:
        """Return the state that the instance's row keeps; an empty one at first."""
        if not kept:
            return cls()
        return cls(
            position=Position.from_json(kept["position"]) if kept["position"] else None,
            absent_at=dt.datetime.fromisoformat(kept["absent_at"]) if kept["absent_at"] else None,
            reason=kept["reason"],
            types=frozenset(kept["types"]),
            covered=set(kept["covered"]),
            full_at={
                int(number): dt.datetime.fromisoformat(when)
                for number, when in kept["full_at"].items()
            },
            compare_all=set(kept["whole"]),
            pending={
                int(number): tuple(Hint("journal", *hint) for hint in hints)
                for number, hints in kept["pending"].items()
            },
        )
