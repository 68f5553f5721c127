"""The suite: the list of scenarios, and how to run some of them."""

from __future__ import annotations

import collections.abc as cabc

from ...errors import NotFoundError
from . import (
    change_scenarios,
    drift_scenarios,
    failure_scenarios,
    feed_scenarios,
    reconcile_scenarios,
    scenario,
    subscription_scenarios,
)
from .harness import CrashableDatabase
from .scenario import Result, Scenario

#: WooCommerce versions that the suite simulates, with orders as posts and in HPOS tables.
VERSIONS = ("5.9", "7.0", "8.0", "9.4", "11.0")
#: The modules that define the scenarios.
SOURCES = (
    change_scenarios,
    drift_scenarios,
    failure_scenarios,
    subscription_scenarios,
    feed_scenarios,
    reconcile_scenarios,
)


def scenarios(names: cabc.Collection[str] = ()) -> list[Scenario]:
    """Return the scenarios of these names, or all.

    :raises NotFoundError: no scenario has one of the names.
    """
    known = {each.name for each in scenario.SCENARIOS}
    if unknown := [name for name in names if name not in known]:
        raise NotFoundError(f"no scenario {unknown[0]!r}; flask woo prove --list lists all")
    return [each for each in scenario.SCENARIOS if not names or each.name in names]


def run(
    chosen: cabc.Iterable[Scenario],
    database: CrashableDatabase,
    versions: cabc.Iterable[str],
    *,
    journal: bool = False,
) -> cabc.Iterator[Result]:
    """Run scenarios one after the other and yield their results.

    :param journal: whether the stores have the companion plugin; scenarios that cannot take place
        there are omitted.
    """
    wanted = [each for each in chosen if each.with_journal or not journal]
    for version in versions:
        for each in wanted:
            yield scenario.run(each, database, version, journal=journal)
