"""Scenarios: what can happen to a store and to us, each with a name."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import time

from .harness import Fragile, Rig, Setup
from .judge import Verdict

#: Lets things happen; the rig polls until all must have arrived when it returns.
Play = cabc.Callable[[Rig], None]


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One way of losing or inventing an event."""

    name: str
    #: What happens, in one sentence.
    words: str
    play: Play
    setup: Setup
    #: Changes that a poll must be able to see, at least; fewer mean that nothing was proved.
    changes: int
    #: Whether it can come about on a store that has the companion plugin.
    with_journal: bool = True


@dataclasses.dataclass(frozen=True)
class Result:
    """How a scenario ended."""

    scenario: Scenario
    version: str
    verdict: Verdict
    #: Notifications whose signature did not hold.
    badly_signed: int
    seconds: float
    #: What the scenario itself found wrong.
    error: str | None = None

    @property
    def clean(self) -> bool:
        """Every change arrived once, signed, and nothing else did."""
        enough = self.verdict.changes >= self.scenario.changes
        return self.verdict.clean and not self.badly_signed and enough and self.error is None


ALL: list[Scenario] = []


def scenario(
    name: str,
    words: str,
    *,
    setup: Setup | None = None,
    changes: int = 1,
    with_journal: bool = True,
) -> cabc.Callable[[Play], Play]:
    """Add a function to the suite."""

    def add(play: Play) -> Play:
        ALL.append(Scenario(name, words, play, setup or Setup(), changes, with_journal))
        return play

    return add


def run(one: Scenario, database: Fragile, version: str, *, journal: bool = False) -> Result:
    """Play a scenario on a fresh store, and judge it.

    :param journal: the store has the companion plugin.
    """
    began, error = time.monotonic(), None
    rig = Rig(database, version, one.setup, journal=journal)
    with rig.running():
        try:
            one.play(rig)
        except AssertionError as exc:
            error = str(exc) or "the scenario did not come about"
        rig.store.faults.clear()
        verdict = rig.settle()
    return Result(
        one, version, verdict, rig.badly_signed, round(time.monotonic() - began, 3), error
    )
