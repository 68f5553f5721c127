"""Differences between a consumer's copies and the ledger, found by one pass through both."""

from __future__ import annotations

import collections.abc as cabc
import enum
import itertools
import operator
import typing as t

from .copies import NONE, Copy


class Why(enum.StrEnum):
    """How a consumer's copy of an object differs from the ledger."""

    MISSING = "missing"  #: the object is there, and the consumer does not have it
    STALE = "stale"  #: the consumer has an older version, or an older date
    NEWER = "newer"  #: the consumer has a version, or a date, that the ledger does not know yet
    EXTRA = "extra"  #: the consumer has it; it was deleted, or the ledger has never known it


class LedgerState(t.NamedTuple):
    """One object as the ledger has it."""

    object_id: str
    version: int
    live: bool
    #: A change of the filter excludes it; that was not sent, so a consumer may have it or not.
    excluded: bool
    #: Its modified date in seconds since 1970, or ``NONE``.
    modified: float


class StateDifference(t.NamedTuple):
    """One object of which a consumer has another state than the ledger, or none."""

    object_id: str
    why: Why
    #: The ledger's version; ``None``: it has never known the object.
    version: int | None


def between(
    copies: cabc.Iterable[Copy], states: cabc.Iterable[LedgerState], *, knows_all: bool = True
) -> cabc.Iterator[StateDifference]:
    """Yield what differs, by id.

    Of several copies of one object, the worst counts: an old one, then one that is newer.

    :param copies: sorted by id.
    :param states: sorted by id, each once.
    :param knows_all: an object that the ledger has never known does not belong to the resource.
    """
    groups = itertools.groupby(copies, key=operator.attrgetter("object_id"))
    name, group = next(groups, (None, None))
    for state in states:
        while name is not None and name < state.object_id:
            if knows_all:
                yield StateDifference(name, Why.EXTRA, None)
            name, group = next(groups, (None, None))
        if name == state.object_id:
            assert group is not None
            why = _judge(state, group)
            name, group = next(groups, (None, None))
        else:
            why = Why.MISSING if state.live else None
        if why is not None:
            yield StateDifference(state.object_id, why, state.version)
    while name is not None:
        if knows_all:
            yield StateDifference(name, Why.EXTRA, None)
        name, group = next(groups, (None, None))


def _judge(state: LedgerState, copies: cabc.Iterable[Copy]) -> Why | None:
    if not state.live:
        return None if state.excluded else Why.EXTRA
    worst = None
    for copy in copies:
        why = _compare(state, copy)
        if why is Why.STALE:
            return why
        worst = worst or why
    return worst


def _compare(state: LedgerState, copy: Copy) -> Why | None:
    """Compare the versions, or the dates of a copy that has no version."""
    own: float = copy.version
    known: float = state.version
    if own == NONE:
        own, known = copy.modified, state.modified
        if NONE in (own, known):
            return None
    if own == known:
        return None
    return Why.STALE if own < known else Why.NEWER
