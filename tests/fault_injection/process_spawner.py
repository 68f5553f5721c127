"""Starts commands of ``flask woo`` as processes of their own, without importing anything anew.

``python -m tests.fault_injection.process_spawner`` reads orders from its standard input, one JSON
object a line, forks for each and prints the number of the process. What it starts is
``flask woo <args>``; an order may say at which commit or statement the process is to be killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import typing as t

import flask.cli

from benchmarks import intake_apps

from . import crash_points


def main() -> None:
    """Start what is ordered until nobody orders any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # Children leave nothing behind.
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _be(json.loads(line))
        print(pid, flush=True)


def _be(order: dict[str, t.Any]) -> None:
    status = 70
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.environ.update(order["environment"])
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.close(0)
        crash_points.from_environment()
        if order.get("doom"):
            crash_points.doom(*order["doom"])
        info = flask.cli.ScriptInfo(create_app=intake_apps.ours)
        status = _run(order["args"], info)
    finally:
        os._exit(status)


def _run(args: list[str], info: flask.cli.ScriptInfo) -> int:
    try:
        flask.cli.cli.main(["--app", "benchmarks.intake_apps:ours", "woo", *args], obj=info)
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else 1
    return 0


if __name__ == "__main__":
    main()
