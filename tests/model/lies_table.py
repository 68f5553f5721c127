"""Count by kind of lie and by mode what is wrong: ``python -m tests.model.lies_table``."""

from __future__ import annotations

import argparse
import collections.abc as cabc
import pathlib
import tempfile
import time
import traceback
import typing as t

import hypothesis

from tests.model.lying_env import MODES, LyingEnv, Shared, open_shared
from tests.model.lying_histories import LIES, History, histories, play
from tests.model.receiver import Counts

_COLUMNS = (
    "histories", "unclean", "lost", "stays_false", "false", "forbidden", "repeated", "versions",
    "errors", "crashed",
)  # fmt: skip


def count(
    shared: Shared, kinds: cabc.Sequence[str], mode: str, number: int, seed: int, verbose: bool
) -> dict[str, int]:
    """Play random histories of these kinds of lies, and return what was wrong in them."""
    total, unclean, crashed = Counts(), 0, 0

    @hypothesis.settings(
        max_examples=number,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.seed(seed)
    @hypothesis.given(history=histories(kinds, [mode]))
    def play_one(history: History) -> None:
        nonlocal unclean, crashed
        try:
            env = LyingEnv(shared, history.start)
            play(env, history)
            counts = env.finish()
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
    parser.add_argument("--kind", action="append", choices=["none", *LIES], help="only these kinds")
    parser.add_argument("--mode", action="append", choices=MODES, help="only these modes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-v", "--verbose", action="store_true", help="print the unclean histories")
    chosen = parser.parse_args()
    print(f"{'kind':22} {'mode':9}", *(f"{name:>11}" for name in _COLUMNS), "CPU seconds")
    with tempfile.TemporaryDirectory() as folder, open_shared(pathlib.Path(folder)) as shared:
        for kind in chosen.kind or ["none", *LIES]:
            for mode in chosen.mode or MODES:
                began = time.process_time()
                kinds = [] if kind == "none" else [kind]
                found = count(shared, kinds, mode, chosen.number, chosen.seed, chosen.verbose)
                used = f"{time.process_time() - began:11.1f}"
                print(f"{kind:22} {mode:9}", *(f"{found[name]:11}" for name in _COLUMNS), used)


if __name__ == "__main__":
    main()
