"""The database's clock, which all machines use for leases, claims and due times."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import logging
import threading
import time

import sqlalchemy as sa

_log = logging.getLogger(__name__)

#: Seconds after which the database's clock is read again.
READ_EVERY = 60.0
#: Longest time of a reading, seconds; the result of a slower one is discarded.
READ_WITHIN = 2.0
#: Difference from the machine's clock, in seconds, above which a warning is logged.
_NOTABLE = 5.0
#: The statement for each database's time in UTC, with microseconds. It must return the time of the
#: statement: ``now()`` of PostgreSQL returns the begin of the transaction.
_TIME = {
    "postgresql": sa.text("SELECT clock_timestamp() AT TIME ZONE 'UTC'"),
    "mysql": sa.text("SELECT UTC_TIMESTAMP(6)"),
    "mariadb": sa.text("SELECT UTC_TIMESTAMP(6)"),
}
#: The times that a machine's clock can show: Linux counts nanoseconds in 64 bits. Nearer to the
#: ends of the calendar, a due date after a time would be no date.
FIRST_TIME = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
LAST_TIME = dt.datetime(2262, 1, 1, tzinfo=dt.UTC)
# Unlike the monotonic clock of Linux, it runs on while the machine sleeps.
_BOOT = getattr(time, "CLOCK_BOOTTIME", None)

Connect = cabc.Callable[[], contextlib.AbstractContextManager[sa.Connection]]


def utc_now() -> dt.datetime:
    """Return the machine's time, aware UTC."""
    return dt.datetime.now(dt.UTC)


def elapsed() -> float:
    """Return seconds since an arbitrary time, unaffected by changes of the machine's clock."""
    return time.monotonic() if _BOOT is None else time.clock_gettime(_BOOT)


class DatabaseClock:
    """The database's clock, without a query for each use.

    It reads the time once a minute, on a connection that is in use anyway, and adds the time that
    has passed since. So no machine's clock has to be right. A reading corrects the clock, also
    backwards, if it differs by more than the uncertainty of the reading. SQLite has no clock of
    its own: there, and until a server answers, the machine's clock is used.

    :param dialect: SQLAlchemy's name of the database.
    :param connect: opens a connection for the first reading.
    :param own: returns the machine's time, aware UTC.
    :param passed: returns seconds since an arbitrary time.
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
        #: The database's time and the time of the reading, by ``passed``.
        self._known: tuple[dt.datetime, float] | None = None
        self._expired = False

    def __call__(self) -> dt.datetime:
        """Return the current time, aware UTC."""
        if self._query is None:
            return self._own()
        if self._known is None:
            # The caller uses the database next, and gets the error there.
            with contextlib.suppress(sa.exc.SQLAlchemyError), self._connect() as connection:
                self.follow(lambda: connection)
        return self._at(self._passed()) or self._own()

    def follow(self, connection: cabc.Callable[[], sa.Connection]) -> None:
        """Read the database's time if a reading is due, at the begin of a transaction.

        :param connection: called only then, since it may begin the transaction.
        """
        if self._query is None or not self._due() or not self._reading.acquire(blocking=False):
            return
        try:
            self._read(connection(), self._query)
        finally:
            self._reading.release()

    def expire(self) -> None:
        """Read the time at the next transaction, since another server may answer then."""
        self._expired = True

    def offset(self) -> dt.timedelta:
        """Return how far the database's clock is ahead of the machine's."""
        return self() - self._own()

    def _due(self) -> bool:
        known = self._known
        return known is None or self._expired or self._passed() - known[1] >= READ_EVERY

    def _at(self, passed: float) -> dt.datetime | None:
        known = self._known
        return known and known[0] + dt.timedelta(seconds=passed - known[1])

    def _read(self, connection: sa.Connection, query: sa.TextClause) -> None:
        before = self._passed()
        said = _said(connection, query)
        after = self._passed()
        if after - before > READ_WITHIN and self._known is not None:
            return
        middle, unsure = (before + after) / 2, dt.timedelta(seconds=(after - before) / 2)
        expected = self._at(middle)
        self._expired = False
        if said is None:
            _log.warning(
                "the database's clock shows no time from 1970 to 2262; this machine's is used",
                extra={"action": "clock"},
            )
            said = expected or self._own()
        elif expected is None:
            self._warn(said - self._own())
        elif abs(said - expected) <= unsure:
            said = expected
        self._known = (said, middle)

    def _warn(self, offset: dt.timedelta) -> None:
        seconds = offset.total_seconds()
        if abs(seconds) > _NOTABLE:
            _log.warning(
                "this machine's clock is %.0f s off the database's, which is used",
                -seconds,
                extra={"action": "clock", "seconds": -seconds},
            )


def _said(connection: sa.Connection, query: sa.TextClause) -> dt.datetime | None:
    """Return the database's time, aware UTC; ``None`` if it is none that a clock can show."""
    try:
        said: object = connection.execute(query).scalar()
    except (sa.exc.DataError, ValueError, OverflowError):
        return None  # Drivers raise it for a time beyond the calendar.
    if not isinstance(said, dt.datetime):
        return None
    aware = said.replace(tzinfo=dt.UTC)
    return aware if FIRST_TIME <= aware <= LAST_TIME else None
