"""The clock by which leases, claims and due times go: the database's, one for all machines."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import logging
import threading
import time
import typing as t

import sqlalchemy as sa

_log = logging.getLogger(__name__)

#: Seconds after which the database's clock is read again.
READ_EVERY = 60.0
#: Seconds that a reading may take; what a slower one tells is too old.
READ_WITHIN = 2.0
#: Seconds by which the machine's clock may be wrong before the log says so.
_NOTABLE = 5.0
#: What each database says of the time, UTC, with microseconds. It counts when the statement runs:
#: ``now()`` of PostgreSQL is when its transaction began.
_TIME = {
    "postgresql": sa.text("SELECT clock_timestamp() AT TIME ZONE 'UTC'"),
    "mysql": sa.text("SELECT UTC_TIMESTAMP(6)"),
    "mariadb": sa.text("SELECT UTC_TIMESTAMP(6)"),
}
# It goes on while the machine sleeps, which the monotonic clock of Linux does not.
_BOOT = getattr(time, "CLOCK_BOOTTIME", None)

Connect = cabc.Callable[[], contextlib.AbstractContextManager[sa.Connection]]


def utc_now() -> dt.datetime:
    """The machine's own clock."""
    return dt.datetime.now(dt.UTC)


def elapsed() -> float:
    """Seconds since some moment; goes on evenly, whatever is done to the machine's clock."""
    return time.monotonic() if _BOOT is None else time.clock_gettime(_BOOT)


class DatabaseClock:
    """Tells the database's time without asking it each time.

    It is read every minute with a connection that is in use anyway, and goes on by the time that
    has passed since, so that nobody's clock has to be right. A reading corrects it, backwards too,
    but only by more than the reading is uncertain. SQLite has no clock of its own; there, and
    until a server answers, the machine's counts.

    :param dialect: SQLAlchemy's name of the database.
    :param connect: opens a connection, for the first reading.
    :param own: the machine's clock, aware UTC.
    :param passed: seconds since some moment.
    """

    def __init__(
        self,
        dialect: str,
        connect: Connect,
        *,
        own: cabc.Callable[[], dt.datetime] = utc_now,
        passed: cabc.Callable[[], float] = elapsed,
    ) -> None:
        self._query = _TIME.get(dialect)
        self._connect = connect
        self._own = own
        self._passed = passed
        self._reading = threading.Lock()
        #: What the database said, and when that was.
        self._known: tuple[dt.datetime, float] | None = None
        self._expired = False

    def __call__(self) -> dt.datetime:
        """The time now, aware UTC."""
        if self._query is None:
            return self._own()
        if self._known is None:
            # Whoever needs the time needs the database next, and learns that it is away.
            with contextlib.suppress(sa.exc.SQLAlchemyError), self._connect() as connection:
                self.follow(lambda: connection)
        return self._at(self._passed()) or self._own()

    def follow(self, connection: cabc.Callable[[], sa.Connection]) -> None:
        """Read the database's clock if that is due, as the first thing of a transaction.

        :param connection: asked only then, since it may begin the transaction.
        """
        if self._query is None or not self._due() or not self._reading.acquire(blocking=False):
            return
        try:
            self._read(connection(), self._query)
        finally:
            self._reading.release()

    def expire(self) -> None:
        """Read it at the next occasion: a connection was lost, another server may answer."""
        self._expired = True

    def offset(self) -> dt.timedelta:
        """How far the database's clock is ahead of the machine's."""
        return self() - self._own()

    def _due(self) -> bool:
        known = self._known
        return known is None or self._expired or self._passed() - known[1] >= READ_EVERY

    def _at(self, passed: float) -> dt.datetime | None:
        known = self._known
        return known and known[0] + dt.timedelta(seconds=passed - known[1])

    def _read(self, connection: sa.Connection, query: sa.TextClause) -> None:
        before = self._passed()
        said = t.cast("dt.datetime", connection.execute(query).scalar_one())
        after = self._passed()
        if after - before > READ_WITHIN and self._known is not None:
            return
        middle, unsure = (before + after) / 2, dt.timedelta(seconds=(after - before) / 2)
        said = said.replace(tzinfo=dt.UTC)
        thought = self._at(middle)
        self._expired = False
        if thought is None:
            self._tell(said - self._own())
        elif abs(said - thought) <= unsure:
            said = thought
        self._known = (said, middle)

    def _tell(self, offset: dt.timedelta) -> None:
        seconds = offset.total_seconds()
        if abs(seconds) > _NOTABLE:
            _log.warning(
                "this machine's clock is %.0f s off the database's, which counts",
                -seconds,
                extra={"action": "clock", "seconds": -seconds},
            )
