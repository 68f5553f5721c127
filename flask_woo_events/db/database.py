"""The sessions in which our tables are read and written."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import enum
import typing as t

import sqlalchemy as sa
from sqlalchemy import event, orm

from ..errors import SchemaError
from .clock import DatabaseClock

T = t.TypeVar("T")
#: How long a connection of ours waits for SQLite's write lock, seconds.
SQLITE_BUSY_SECONDS = 60
#: Where a session keeps what its commit gives others to do.
_ANNOUNCED = "woo_announced"
#: What SQLite, PostgreSQL and MariaDB say of a table or column that is not there.
_NO_TABLE = ("no such table", "no such column", "does not exist", "doesn't exist", "Unknown column")


def is_away(exc: BaseException) -> bool:
    """Whether an error is of the database's condition and not of what was asked of it.

    It does not answer, restarts, is locked, full, or may only be read: the same may succeed later.
    """
    if isinstance(exc, sa.exc.DBAPIError) and exc.connection_invalidated:
        return True
    # SQLite says of a damaged file no more than that it is an error of the database.
    return type(exc) is sa.exc.DatabaseError or isinstance(
        exc,
        (
            sa.exc.OperationalError,
            sa.exc.InterfaceError,
            sa.exc.InternalError,
            sa.exc.TimeoutError,
        ),
    )


def words(exc: Exception) -> str:
    """What the database said, without the statement and its values, which may be secrets."""
    return str(getattr(exc, "orig", None) or exc).strip()


class Work(enum.StrEnum):
    """What a commit gives others to do."""

    DELIVERIES = "deliveries"  #: notifications wait to be sent
    ARRIVALS = "arrivals"  #: webhooks of a store wait to be looked after


def announce(session: orm.Session, work: Work) -> None:
    """Tell the database's listeners of work once the session is committed."""
    session.info.setdefault(_ANNOUNCED, set()).add(work)


class Database:
    """Sessions of our own on the host's database.

    On SQLite files the connections are ours too, because they need what a host's may not want:
    WAL, a long busy time-out, and transactions that take the write lock when they begin instead
    of failing with "database is locked" when they first write.

    :param engine: the host's engine.
    """

    def __init__(self, engine: sa.Engine) -> None:
        own = engine.dialect.name == "sqlite" and not _in_memory(engine.url)
        if engine.dialect.name in ("mysql", "mariadb"):
            # As the others: what is read behind a lock must be what the lock was waited for.
            engine = engine.execution_options(isolation_level="READ COMMITTED")
        self.engine = _sqlite_engine(engine.url) if own else engine
        self._writing = self.engine.execution_options(woo_writing=True) if own else self.engine
        self._read = orm.sessionmaker(self.engine, expire_on_commit=False)
        self._write = orm.sessionmaker(self._writing, expire_on_commit=False)
        self._owned = own
        #: What leases, claims and due times go by.
        self.clock = DatabaseClock(engine.dialect.name, self.engine.connect)
        #: Called after a commit that gives others something to do, in the thread that committed.
        #: Only to save the time until somebody looks: what is to be done stands in the rows.
        self.listeners: list[cabc.Callable[[Work], None]] = []

    @contextlib.contextmanager
    def read(self) -> cabc.Iterator[orm.Session]:
        """A session that is rolled back at its end."""
        with self._read() as session, self._explained():
            self.clock.follow(session.connection)
            yield session

    @contextlib.contextmanager
    def write(self) -> cabc.Iterator[orm.Session]:
        """A session that is committed at its end, and rolled back on any exception."""
        with self._write() as session, self._explained():
            self.clock.follow(session.connection)
            yield session
            session.commit()
        for work in session.info.pop(_ANNOUNCED, ()):
            self.tell(work)

    @contextlib.contextmanager
    def begin(self) -> cabc.Iterator[sa.Connection]:
        """The same without a session, for what is written many times a second."""
        with self._explained(), self._writing.begin() as connection:
            self.clock.follow(lambda: connection)
            yield connection

    def again(self, do: cabc.Callable[[], T]) -> T:
        """Do something once more whose connection had died meanwhile: the server was restarted.

        :param do: a whole transaction, which may have been committed the first time.
        """
        try:
            return do()
        except sa.exc.DBAPIError as exc:
            if not exc.connection_invalidated:
                raise
        return do()

    def tell(self, work: Work) -> None:
        """Tell the listeners that there is something to do."""
        for listener in self.listeners:
            listener(work)

    def dispose(self) -> None:
        """Close the connections that are ours."""
        if self._owned:
            self.engine.dispose()

    @contextlib.contextmanager
    def _explained(self) -> cabc.Iterator[None]:
        try:
            yield
        except (sa.exc.ProgrammingError, sa.exc.OperationalError) as exc:
            if any(said in str(exc.orig) for said in _NO_TABLE):
                raise SchemaError(
                    "The tables of flask_woo_events are missing or old. Run: flask woo db upgrade"
                ) from exc
            self.clock.expire()
            raise


def _in_memory(url: sa.URL) -> bool:
    name = url.database or ""
    return name in ("", ":memory:") or "mode=memory" in str(url)


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, connect_args={"timeout": SQLITE_BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _prepare(connection: t.Any, record: t.Any) -> None:
        # Autocommit for the driver, so that BEGIN below is ours alone.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writing = connection.get_execution_options().get("woo_writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine
