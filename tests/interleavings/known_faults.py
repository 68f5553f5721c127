"""Known faults: schedules with them are played, and what they show is left out of the verdict."""

from __future__ import annotations

import dataclasses
import re

from tests.interleavings.explore import Played


@dataclasses.dataclass(frozen=True)
class KnownFault:
    """A fault that is not mended yet."""

    #: An operation that is part of it, or two.
    operations: frozenset[str]
    #: What the schedules show.
    shows: re.Pattern[str]
    why: str


def _known(operations: str, shows: str, why: str) -> KnownFault:
    return KnownFault(frozenset(operations.split()), re.compile(shows), why)


KNOWN: tuple[KnownFault, ...] = ()


def unknown(played: Played) -> list[str]:
    """Return the faults of a schedule that are not known."""
    return [
        fault
        for fault in played.faults
        if not any(
            one.operations <= set(played.operations) and one.shows.search(fault) for one in KNOWN
        )
    ]
