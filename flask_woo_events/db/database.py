"""Sessions that read and write our tables."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import enum
import logging
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..errors import SchemaError
from . import limits
from .clock import DatabaseClock
from .engines import Connections
from .redaction import redact

_log = logging.getLogger(__name__)
T = t.TypeVar("T")
#: How often a transaction is tried that deadlocks end.
TRIES = 4
#: Key of ``session.info`` for the work that a commit announces.
_ANNOUNCED = "woo_announced"
#: A missing table or column: messages of SQLite, codes of PostgreSQL, numbers of MariaDB. Texts of
#: servers are translated, and a missing database, which may be being restored, reads alike.
_NO_TABLE = ("no such table", "no such column", "has no column named")
_NO_TABLE_CODES = ("42P01", "42703", 1146, 1054)
#: Two transactions waited for each other, and this one was rolled back.
_DEADLOCK_CODES = ("40P01", 1213)
#: Another transaction kept a lock for longer than this one may wait.
_LOCKED_CODES = ("55P03", 1205)
#: A value that the database cannot hold, which drivers report like an outage: a row that is too
#: large for PostgreSQL; for MariaDB, a statement, a text or a number.
_DATA_CODES = ("54000", 1118, 1153, 1264, 1300, 1301, 1366, 1406, 3988)


def is_away(exc: BaseException) -> bool:
    """Return whether an error is due to the state of the database, not to the statement.

    The database is down, restarting, locked, full or read-only, or its tables are missing, as
    while it is restored: a later try may succeed.
    """
    if isinstance(exc, SchemaError):
        return True
    if isinstance(exc, sa.exc.DBAPIError):
        if exc.connection_invalidated:
            return True
        if not _codes(exc).isdisjoint(_DATA_CODES):
            return False
    # SQLite raises a plain DatabaseError for a damaged file.
    return type(exc) is sa.exc.DatabaseError or isinstance(
        exc,
        (
            sa.exc.OperationalError,
            sa.exc.InterfaceError,
            sa.exc.InternalError,
            sa.exc.TimeoutError,
        ),
    )


def is_deadlock(exc: BaseException) -> bool:
    """Return whether the database ended a transaction that can be tried again immediately."""
    return isinstance(exc, sa.exc.DBAPIError) and not _codes(exc).isdisjoint(_DEADLOCK_CODES)


def is_locked(exc: BaseException) -> bool:
    """Return whether a statement waited too long for a lock of another transaction."""
    return isinstance(exc, sa.exc.DBAPIError) and not _codes(exc).isdisjoint(_LOCKED_CODES)


def refuses_value(exc: BaseException) -> bool:
    """Return whether a value is the cause, which the database would refuse again."""
    if isinstance(exc, sa.exc.DataError | UnicodeError | OverflowError):
        return True
    return isinstance(exc, sa.exc.DBAPIError) and not _codes(exc).isdisjoint(_DATA_CODES)


def may_refuse_value(exc: BaseException) -> bool:
    """Return whether an error may be due to a value although it looks like an outage.

    MariaDB drops the connection for a statement that is too large. :meth:`Database.answers` shows
    whether there is an outage.
    """
    return isinstance(exc, sa.exc.InternalError) or (
        isinstance(exc, sa.exc.DBAPIError) and exc.connection_invalidated
    )


def _codes(exc: sa.exc.DBAPIError) -> set[object]:
    """Return the codes of an error, which drivers name differently; none of SQLite's."""
    found = {getattr(exc.orig, name, None) for name in ("sqlstate", "pgcode", "errno")}
    return {one for one in (*found, *getattr(exc.orig, "args", ())[:1]) if one} - {str(exc.orig)}


def _is_schema_missing(exc: sa.exc.DBAPIError) -> bool:
    if codes := _codes(exc):
        return not codes.isdisjoint(_NO_TABLE_CODES)
    return any(one in str(exc.orig) for one in _NO_TABLE)


def words(exc: Exception) -> str:
    """Return the database's message without the statement and its values, which may be secret."""
    return str(getattr(exc, "orig", None) or exc).strip()


class Work(enum.StrEnum):
    """Work that a commit leaves to other threads."""

    DELIVERIES = "deliveries"  #: notifications wait to be sent
    ARRIVALS = "arrivals"  #: received webhooks wait to be processed
    OPERATIONAL = "operational"  #: operational events wait to become notifications


def announce(session: orm.Session, work: Work) -> None:
    """Notify the database's listeners of work after the session is committed."""
    session.info.setdefault(_ANNOUNCED, set()).add(work)


class Database:
    """Our own sessions on the application's database.

    SQLite files get connections of their own, with WAL, a long busy time-out, and transactions that
    take the write lock when they begin, instead of failing with "database is locked" at their
    first write.

    :param engine: the application's engine.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._connections = Connections(engine)
        self._owned = self._connections.are_own
        ours = self._connections.engine
        self._writing = ours.execution_options(**{limits.WRITING: True})
        self._read = orm.sessionmaker(ours, expire_on_commit=False)
        self._write = orm.sessionmaker(self._writing, expire_on_commit=False)
        #: The last claim of deliveries found the database unreachable.
        self.away = False
        #: The clock for leases, claims and due times.
        self.clock = DatabaseClock(engine.dialect.name, lambda: self.engine.connect())
        #: Called after a commit that announced work, in the thread that committed. It only saves
        #: the time until the next check: the rows say what is to be done.
        self.listeners: list[cabc.Callable[[Work], None]] = []

    @property
    def engine(self) -> sa.Engine:
        """The engine of our transactions, with connections of this process."""
        return self._connections.engine

    @contextlib.contextmanager
    def read(self) -> cabc.Iterator[orm.Session]:
        """Open a session that is rolled back at its end."""
        with self._explained(), _replacing_lost(lambda: _opened(self._read)) as session:
            self.clock.follow(session.connection)
            yield session

    @contextlib.contextmanager
    def write(self) -> cabc.Iterator[orm.Session]:
        """Open a session that is committed at its end, and rolled back on any exception.

        It holds SQLite's write lock from the start, so that the block reads the clock after it.
        """
        with self._explained(), _replacing_lost(lambda: _opened(self._write)) as session:
            self.clock.follow(session.connection)
            yield session
            session.commit()
        for work in session.info.pop(_ANNOUNCED, ()):
            self.notify(work)

    def transact(self, work: cabc.Callable[[orm.Session], T]) -> T:
        """Run a function in a transaction, and repeat it if a deadlock ended the transaction.

        :param work: writes with the session that it is given; it may run several times.
        """
        for _ in range(TRIES - 1):
            try:
                with self.write() as session:
                    return work(session)
            except sa.exc.DBAPIError as exc:
                if not is_deadlock(exc):
                    raise
        with self.write() as session:
            return work(session)

    @contextlib.contextmanager
    def begin(self) -> cabc.Iterator[sa.Connection]:
        """Open a transaction without a session, for frequent writes."""
        with self._explained():
            transaction = _replacing_lost(self._begun)
            with transaction.connection as connection, transaction:
                self.clock.follow(lambda: connection)
                yield connection

    def again(self, do: cabc.Callable[[], T]) -> T:
        """Run a transaction, and repeat it once if its connection was lost.

        :param do: a whole transaction, which may have been committed the first time.
        """
        try:
            return do()
        except sa.exc.DBAPIError as exc:
            if not exc.connection_invalidated:
                raise
        return do()

    def notify(self, work: Work) -> None:
        """Notify the listeners of work; what one raises is logged: the work is committed."""
        for listener in self.listeners:
            try:
                listener(work)
            except Exception:
                extra = {"action": "notify"}
                _log.exception("no thread was woken; the next check finds it", extra=extra)

    def answers(self) -> bool:
        """Return whether the database executes a statement now, as after an error of another."""
        try:
            with self.read() as session:
                session.execute(sa.select(sa.literal(1)))
        except (SchemaError, sa.exc.SQLAlchemyError):
            return False
        return True

    def dispose(self) -> None:
        """Close our own connections."""
        if self._owned:
            self.engine.dispose()

    def _begun(self) -> sa.RootTransaction:
        connection = self._writing.connect()
        try:
            return connection.begin()
        except BaseException:
            connection.close()
            raise

    @contextlib.contextmanager
    def _explained(self) -> cabc.Iterator[None]:
        with self._connections.turn():
            try:
                yield
            except sa.exc.StatementError as exc:
                redact(exc)
                if isinstance(exc, sa.exc.ProgrammingError | sa.exc.OperationalError):
                    if _is_schema_missing(exc):
                        raise SchemaError(
                            "The tables of flask_woo_events are missing or old. "
                            "Run: flask woo db upgrade"
                        ) from exc
                    self.clock.expire()
                raise


def _opened(make: orm.sessionmaker[orm.Session]) -> orm.Session:
    """Return a session whose transaction has begun."""
    session = make()
    try:
        session.connection()
    except BaseException:
        session.close()
        raise
    return session


def _replacing_lost(begin: cabc.Callable[[], T]) -> T:
    """Begin a transaction, once more if it got a connection of the pool that was lost.

    The database was restarted since the last use, for example. Nothing was done with it yet.
    """
    try:
        return begin()
    except sa.exc.DBAPIError as exc:
        # Without a statement, it is a new connection that could not be opened.
        if not exc.connection_invalidated or exc.statement is None:
            raise
    return begin()
