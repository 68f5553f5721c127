"""Scenarios: named events in a store or in the extension that may lose events."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import time

from .harness import CrashableDatabase, Environment, Setup
from .judge import Verdict

#: Plays a scenario; afterwards the environment polls until every event must have arrived.
Play = cabc.Callable[[Environment], None]


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One way of losing or inventing an event."""

    name: str
    #: One sentence about what happens.
    description: str
    play: Play
    setup: Setup
    #: Minimum number of changes that polls can see; with fewer, the scenario did not take place.
    changes: int
    #: Whether the scenario can take place on a store that has the companion plugin.
    with_journal: bool = True


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of a scenario."""

    scenario: Scenario
    version: str
    verdict: Verdict
    #: Notifications with a wrong signature.
    badly_signed: int
    seconds: float
    #: The failure that the scenario itself found.
    error: str | None = None

    @property
    def clean(self) -> bool:
        """Whether every change arrived once, with a valid signature, and nothing else did."""
        enough = self.verdict.changes >= self.scenario.changes
        return self.verdict.clean and not self.badly_signed and enough and self.error is None


#: Every scenario, in the order of the modules that define them.
SCENARIOS: list[Scenario] = []


def scenario(
    name: str,
    description: str,
    *,
    setup: Setup | None = None,
    changes: int = 1,
    with_journal: bool = True,
) -> cabc.Callable[[Play], Play]:
    """Add a function to the suite."""

    def add(play: Play) -> Play:
        SCENARIOS.append(Scenario(name, description, play, setup or Setup(), changes, with_journal))
        return play

    return add


def run(
    chosen: Scenario, database: CrashableDatabase, version: str, *, journal: bool = False
) -> Result:
    """Play a scenario on a new store and judge it.

    :param journal: whether the store has the companion plugin.
    """
    began, error = time.monotonic(), None
    env = Environment(database, version, chosen.setup, journal=journal)
    with env.running():
        try:
            chosen.play(env)
        except AssertionError as exc:
            error = str(exc) or "the scenario did not take place"
        env.store.faults.clear()
        verdict = env.settle()
    return Result(
        chosen, version, verdict, env.badly_signed, round(time.monotonic() - began, 3), error
    )
