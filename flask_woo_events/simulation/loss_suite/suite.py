"""The suite: all scenarios, and what of them is run."""

from __future__ import annotations

import collections.abc as cabc

from ...errors import NotFoundError
from . import change_scenarios, drift_scenarios, failure_scenarios, scenario
from .harness import Fragile
from .scenario import Result, Scenario

#: WooCommerce versions that the simulator can be: orders as posts, then in tables of their own.
VERSIONS = ("5.9", "7.0", "8.0", "9.4", "11.0")
#: Modules whose scenarios are the suite.
SOURCES = (change_scenarios, drift_scenarios, failure_scenarios)


def scenarios(names: cabc.Collection[str] = ()) -> list[Scenario]:
    """The scenarios of these names, or all.

    :raises NotFoundError: there is none of such a name.
    """
    known = {one.name: one for one in scenario.ALL}
    if unknown := [name for name in names if name not in known]:
        raise NotFoundError(f"no scenario {unknown[0]!r}; flask woo prove --list names them")
    return [one for one in scenario.ALL if not names or one.name in names]


def run(
    chosen: cabc.Iterable[Scenario],
    database: Fragile,
    versions: cabc.Iterable[str],
    *,
    journal: bool = False,
) -> cabc.Iterator[Result]:
    """Play scenarios, one after the other.

    :param journal: on stores that have the companion plugin; what cannot come about there is left.
    """
    wanted = list(chosen)
    for version in versions:
        for one in wanted:
            if one.with_journal or not journal:
                yield scenario.run(one, database, version, journal=journal)
