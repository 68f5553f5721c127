"""Crash points: kill a process at its n-th commit or statement."""

from __future__ import annotations

import collections.abc as cabc
import itertools
import os
import signal
import time
import typing as t

import flask
import sqlalchemy as sa
from sqlalchemy.engine import default

from benchmarks import intake_apps

#: The crash point of a process and its number, such as ``before commit:7``.
KILL_AT = "CHAOS_KILL_AT"
#: Set SQLite's ``synchronous`` to ``NORMAL``, to measure what that loses.
SYNCHRONOUS_NORMAL = "CHAOS_SYNCHRONOUS_NORMAL"
#: The file to which killed processes append the time, seconds, monotonic.
KILL_TIMES = "CHAOS_KILL_TIMES"


def kill_at(point: str, number: int) -> None:
    """Kill this process at a crash point.

    :param point: ``before commit``, ``after commit`` or ``statement``.
    :param number: how many of them it passes before that.
    """
    count = itertools.count()

    def reached() -> None:
        if next(count) == number:
            _die()

    if point == "statement":
        sa.event.listen(sa.Engine, "before_cursor_execute", lambda *_: reached())
        return
    commit: cabc.Callable[..., None] = default.DefaultDialect.do_commit

    def do_commit(self: default.DefaultDialect, connection: t.Any) -> None:
        if point == "before commit":
            reached()
        commit(self, connection)
        if point == "after commit":
            reached()

    default.DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]


def _die() -> None:
    killed = os.open(os.environ[KILL_TIMES], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(killed, f"{time.monotonic()}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


def from_environment() -> None:
    """Install the crash point, and the setting of SQLite, that the environment names."""
    if os.environ.get(SYNCHRONOUS_NORMAL):
        sa.event.listen(
            sa.pool.Pool,
            "checkout",
            lambda connection, *_: connection.execute("PRAGMA synchronous=NORMAL"),
        )
    if named := os.environ.get(KILL_AT):
        point, _, number = named.rpartition(":")
        kill_at(point, int(number))


def make_app() -> flask.Flask:
    """Return the application for gunicorn, in a process that may have a crash point."""
    from_environment()
    return intake_apps.make_app()
