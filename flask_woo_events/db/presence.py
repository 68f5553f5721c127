"""Presence: which worker processes use the database, also while they hold no lease."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import os
import platform
import secrets
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from . import clock_steps
from .base import UtcDateTime
from .database import Database

#: Seconds between two notes of a process, and after which one without a note counts as ended.
RENEW_EVERY, ENDED_AFTER = 5.0, 20.0

#: The last migration of this release, by which other processes know what it can do.
REVISION = "0016"

# Without the model: an upgrade reads tables that may not have it yet.
_TABLE = sa.table(
    "woo_worker", sa.column("name"), sa.column("seen_at", UtcDateTime()), sa.column("revision")
)


class Presence:
    """Notes that this process uses the database.

    :param clock: returns the current time, aware UTC.
    """

    def __init__(self, database: Database, clock: cabc.Callable[[], dt.datetime]) -> None:
        self._database = database
        self._clock = clock
        where = f"process {os.getpid()} on {platform.node()[:100] or 'a machine without a name'}"
        self._name = f"{where} ({secrets.token_hex(4)})"
        self._begun = False

    def renew(self) -> None:
        """Note that the process runs; remove the notes of those that have ended.

        A note that is in the future shows that the clock was set back.
        """
        self._database.transact(self._renew)
        self._begun = True

    def _renew(self, session: orm.Session) -> None:
        now = self._clock()
        session.execute(sa.delete(_TABLE).where(_TABLE.c.seen_at < _earliest(now)))
        last = session.scalar(sa.select(sa.func.max(_TABLE.c.seen_at)))
        if last is not None and last > _latest(now):
            clock_steps.pull_back(session, now, last - now)
            session.execute(sa.update(_TABLE).values(seen_at=now))
        elif not self._begun:
            clock_steps.pull_back_polls(session, now)
        mine = sa.update(_TABLE).where(_TABLE.c.name == self._name).values(seen_at=now)
        if not t.cast("sa.CursorResult[t.Any]", session.execute(mine)).rowcount:
            row = {"name": self._name, "seen_at": now, "revision": REVISION}
            session.execute(sa.insert(_TABLE).values(row))

    def end(self) -> None:
        """Note that the process has ended."""
        with self._database.write() as session:
            session.execute(sa.delete(_TABLE).where(_TABLE.c.name == self._name))


def present(connection: sa.Connection, now: dt.datetime) -> list[str]:
    """Return the processes that use a database, each with its machine and number.

    :param now: the current time. A note that is later is of a clock that was ahead.
    """
    if not sa.inspect(connection).has_table(_TABLE.name):
        return []
    seen = _TABLE.c.seen_at.between(_earliest(now), _latest(now))
    return list(connection.scalars(sa.select(_TABLE.c.name).where(seen).order_by(_TABLE.c.name)))


def older(session: orm.Session, revision: str, now: dt.datetime) -> list[str]:
    """Return the processes that run a release without a migration, each with its machine.

    :param revision: the migration, 0011 or later.
    """
    seen = _TABLE.c.seen_at.between(_earliest(now), _latest(now))
    query = sa.select(_TABLE.c.name).where(seen, _TABLE.c.revision < revision)
    return list(session.scalars(query.order_by(_TABLE.c.name)))


def _earliest(now: dt.datetime) -> dt.datetime:
    return now - dt.timedelta(seconds=ENDED_AFTER)


def _latest(now: dt.datetime) -> dt.datetime:
    return now + dt.timedelta(seconds=ENDED_AFTER)
