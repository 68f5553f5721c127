"""Count by oddity and by mode what is wrong: ``python -m tests.model.odd_table``."""

from __future__ import annotations

import argparse
import collections.abc as cabc
import logging
import pathlib
import tempfile
import time
import traceback
import typing as t

import hypothesis

from tests.model.lying_env import MODES, Shared, open_shared
from tests.model.odd_histories import ODDITIES, OddEnv, OddHistory, histories, play
from tests.model.receiver import Counts

_COLUMNS = (
    "histories", "unclean", "lost", "stays_false", "forbidden", "repeated", "versions", "errors",
    "crashed",
)  # fmt: skip


def count(
    shared: Shared,
    names: cabc.Sequence[str],
    modes: cabc.Sequence[str],
    number: int,
    seed: int,
    verbose: bool,
) -> dict[str, int]:
    """Play random histories with these oddities, and return what was wrong in them."""
    total, unclean, crashed = Counts(), 0, 0

    @hypothesis.settings(
        max_examples=number,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.seed(seed)
    @hypothesis.given(history=histories(names, modes))
    def play_one(history: OddHistory) -> None:
        nonlocal unclean, crashed
        try:
            counts = play(OddEnv(shared, history.start), history)
        except Exception:
            # Counted, so that the other histories are played, too.
            crashed += 1
            if verbose:
                print(history)
                traceback.print_exc()
            return
        unclean += not counts.clean
        total.add(counts)
        if verbose and not counts.clean:
            print(history, counts, sep="\n", end="\n\n")

    play_one()
    values: dict[str, t.Any] = {**vars(total), "unclean": unclean, "crashed": crashed}
    return {
        name: value if isinstance(value := values[name], int) else len(value) for name in _COLUMNS
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("number", type=int, nargs="?", default=20, help="histories of each kind")
    parser.add_argument("--oddity", action="append", choices=list(ODDITIES), help="only these")
    parser.add_argument("--pairs", action="store_true", help="all of them, two at a time")
    parser.add_argument("--mode", action="append", choices=MODES, help="only these modes")
    parser.add_argument("--database", metavar="URL", help="an empty database instead of SQLite")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-v", "--verbose", action="store_true", help="print the unclean histories")
    chosen = parser.parse_args()
    logging.disable()
    each = [[name] for name in chosen.oddity or ODDITIES]
    print(f"{'oddity':18}", *(f"{name:>11}" for name in _COLUMNS), "CPU seconds")
    with tempfile.TemporaryDirectory() as folder:
        with open_shared(pathlib.Path(folder), chosen.database) as shared:
            for names in [chosen.oddity or list(ODDITIES)] if chosen.pairs else each:
                began = time.process_time()
                found = count(
                    shared, names, chosen.mode or MODES, chosen.number, chosen.seed, chosen.verbose
                )
                used = f"{time.process_time() - began:11.1f}"
                shown = "pairs" if chosen.pairs else names[0]
                print(f"{shown:18}", *(f"{found[name]:11}" for name in _COLUMNS), used, flush=True)


if __name__ == "__main__":
    main()
