"""Run the comparison: ``python -m benchmarks.peers [--peer NAME] [--scale N] [--json]``."""

from __future__ import annotations

import argparse
import sys

from .externals import PEERS
from .running import OURS, run
from .table import as_json, markdown


def main() -> None:
    """Run the peers one after another and print their results."""
    names = [OURS, *(peer.name for peer in PEERS)]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--peer", action="append", choices=names, help="only this one; repeatable")
    parser.add_argument("--json", action="store_true", help="print JSON, and the table to stderr")
    parser.add_argument("--scale", type=int, default=1, help="multiply the size of the store")
    options = parser.parse_args()
    results = []
    for name in options.peer or names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        results.append(run(name, options.scale))
    table = markdown(results, options.scale)
    print(table, file=sys.stderr if options.json else sys.stdout)
    if options.json:
        print(as_json(results))


if __name__ == "__main__":
    main()
