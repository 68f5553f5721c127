"""Starts commands of ``flask woo`` as processes of their own, without importing anything anew.

``python -m benchmarks.nursery`` reads orders from its standard input, one JSON object a line, forks
for each and prints the number of the process. What it starts is ``flask woo <args>``; an order may
say at which commit or statement the process is to be killed.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import typing as t

import flask.cli
import sqlalchemy as sa
from sqlalchemy.engine import default

from . import intake_apps


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
        if order.get("doom"):
            _doom(*order["doom"])
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


def _doom(point: str, number: int) -> None:
    """Kill this process at a point of its way.

    :param point: ``before commit``, ``after commit`` or ``statement``.
    """
    count = itertools.count()

    def reached() -> None:
        if next(count) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    if point == "statement":
        sa.event.listen(sa.Engine, "before_cursor_execute", lambda *args: reached())
        return
    commit = default.DefaultDialect.do_commit

    def do_commit(self: default.DefaultDialect, connection: t.Any) -> None:
        if point == "before commit":
            reached()
        commit(self, connection)
        if point == "after commit":
            reached()

    default.DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
