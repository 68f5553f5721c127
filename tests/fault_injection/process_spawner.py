"""Process spawner: starts commands of ``flask woo`` by fork, without importing them again.

``python -m tests.fault_injection.process_spawner`` reads orders from its standard input, one JSON
object a line, forks for each and prints the process id. The process runs ``flask woo <args>``; an
order may name a crash point, and a file that the process creates when its worker runs.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import sys
import typing as t

import flask.cli

from benchmarks import intake_apps
from flask_woo_events.worker.worker import Worker

from . import crash_points, moved_clock
from . import preloaded as preloaded


def main() -> None:
    """Start a process for each order until the input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # No zombies.
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _become(json.loads(line))
        print(pid, flush=True)


def _become(order: dict[str, t.Any]) -> None:
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
        moved_clock.from_environment()
        if order.get("kill_at"):
            crash_points.kill_at(*order["kill_at"])
        if order.get("running"):
            _announce(pathlib.Path(order["running"]))
        info = flask.cli.ScriptInfo(create_app=intake_apps.make_app)
        status = _run(order["args"], info)
    finally:
        os._exit(status)


def _announce(file: pathlib.Path) -> None:
    run = Worker.run

    def announced(self: Worker) -> None:
        file.touch()
        run(self)

    Worker.run = announced  # type: ignore[method-assign]


def _run(args: list[str], info: flask.cli.ScriptInfo) -> int:
    try:
        flask.cli.cli.main(["--app", "benchmarks.intake_apps:make_app", "woo", *args], obj=info)
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else 1
    return 0


if __name__ == "__main__":
    main()
