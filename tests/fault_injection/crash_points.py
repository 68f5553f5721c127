"""Doom: kills a process at a commit or a statement of its way; it is nothing of the package's."""

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

#: The point and its number, as ``before commit:7``, of a process that its environment dooms.
DOOM = "CHAOS_DOOM"
#: Set to have SQLite's ``synchronous`` at ``NORMAL``, to see what that loses.
TRUSTING = "CHAOS_TRUSTING"
#: The file in which the killed write down when that was, seconds, monotonic.
KILLED = "CHAOS_KILLED"


def doom(point: str, number: int) -> None:
    """Kill this process at a point of its way.

    :param point: ``before commit``, ``after commit`` or ``statement``.
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
    killed = os.open(os.environ[KILLED], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(killed, f"{time.monotonic()}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


def from_environment() -> None:
    """Doom this process if its environment says so, or let SQLite trust the operating system."""
    if os.environ.get(TRUSTING):
        sa.event.listen(
            sa.pool.Pool,
            "checkout",
            lambda connection, *_: connection.execute("PRAGMA synchronous=NORMAL"),
        )
    if told := os.environ.get(DOOM):
        point, _, number = told.rpartition(":")
        doom(point, int(number))


def ours() -> flask.Flask:
    """The application in a process that may be doomed, for gunicorn."""
    from_environment()
    return intake_apps.ours()
