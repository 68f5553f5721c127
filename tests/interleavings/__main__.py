"""``python -m tests.interleavings``: all schedules of all pairs, or one schedule again."""

from __future__ import annotations

import argparse
import collections
import collections.abc as cabc
import contextlib
import itertools
import pathlib
import random
import re
import sys
import tempfile
import time

from tests import servers
from tests.interleavings.explore import Explorer, Played
from tests.interleavings.opening import explorer
from tests.interleavings.operations import OPERATIONS
from tests.interleavings.scheduler import parse


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.interleavings", description=__doc__)
    parser.add_argument("--on", default="sqlite", choices=["sqlite", "postgresql", "mariadb"])
    parser.add_argument("--pair", action="append", default=[], metavar="ONE,OTHER",
                        help=f"two or three of: {', '.join(OPERATIONS)}")  # fmt: skip
    parser.add_argument("--schedule", metavar="TURNS", help="for example: 'A5 B A'")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many schedules of each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", default="1/1", metavar="I/N", help="only each N-th pair")
    parser.add_argument("-v", "--verbose", action="store_true", help="show all pause points")
    return parser.parse_args()


@contextlib.contextmanager
def _database(kind: str) -> cabc.Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="woo-interleavings-") as folder:
        path = pathlib.Path(folder)
        path.chmod(0o755)
        if kind == "sqlite":
            yield f"sqlite:///{path.as_posix()}/woo.sqlite3"
        else:
            with getattr(servers, kind)(path / kind) as url:
                yield url


def _schedules(
    found: Explorer, pair: tuple[str, ...], given: argparse.Namespace
) -> cabc.Iterator[Played]:
    if given.schedule is not None:
        yield found.play(pair, parse(given.schedule))
    elif len(pair) == 3 or given.sample is not None:
        yield from found.sample(pair, given.sample or 20, random.Random(f"{given.seed} {pair}"))
    else:
        yield from found.all(*pair)


def main() -> int:
    """Play the schedules, and print the counts and each fault with its first schedule."""
    given = _arguments()
    part, parts = map(int, given.part.split("/"))
    pairs = [tuple(one.split(",")) for one in given.pair]
    pairs = pairs or list(itertools.combinations_with_replacement(OPERATIONS, 2))[part - 1 :: parts]
    began = time.process_time()
    counts: collections.Counter[tuple[str, ...]] = collections.Counter()
    with _database(given.on) as url, explorer(url) as found:
        for pair in pairs:
            before, spent = found.played, time.process_time()
            for played in _schedules(found, pair, given):
                if given.verbose or (played.faults and given.schedule is not None):
                    print(played.describe(full=given.verbose))
                for fault in played.faults:
                    kind = (*pair, re.sub(r"\d+", "N", fault))
                    counts[kind] += 1
                    if counts[kind] == 1:
                        print(
                            f"FAULT {','.join(pair)}: {fault}\n  {played.command} --on {given.on}"
                        )
            seconds = time.process_time() - spent
            print(
                f"{','.join(pair)}: {found.played - before} schedules, {seconds:.1f} s", flush=True
            )
    print(
        f"{len(pairs)} pairs, {found.played} schedules, {found.states} final states, "
        f"{sum(counts.values())} with faults, {time.process_time() - began:.0f} s of CPU"
    )
    return 1 if counts else 0


if __name__ == "__main__":
    sys.exit(main())
