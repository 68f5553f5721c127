"""Copy of all our tables to another database, for a move to it."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ..errors import ConfigurationError
from . import epochs, limits, presence, sequences, upgrade
from .database import Database, may_refuse_value, refuses_value
from .models import Base, WorkerProcess

#: Rows per read and write; a row may hold megabytes.
BATCH = 200
#: Time within which other processes must end their transactions, seconds.
LOCKED_WITHIN = 10
_STILL_WRITING = (
    "A worker uses this database{who}. Stop flask woo poll, flask woo deliver and the web server, "
    "wait some seconds, and copy again. A worker that was killed counts for 20 seconds."
)
_OTHER_WORKER = (
    "A worker uses the database of --to{who}. Stop it, wait some seconds, and copy again."
)
#: Each side waits for the other, for as long as it takes.
_OPTIONS = {limits.WRITING: True, limits.UNLIMITED: True}
#: Called after each table with its name and the number of copied rows.
Progress = cabc.Callable[[str, int], None]


def copy(
    source: Database, to: str, now: dt.datetime, progress: Progress = lambda table, rows: None
) -> dict[str, int]:
    """Copy every row, with its id, in one transaction on each side.

    Writes to the source wait until the end. A copy that fails leaves the target empty. New ids in
    the target are above all that the source has assigned, also to rows that are deleted.

    :param to: URL of a database in which none of our tables has a row.
    :param now: the current time, by which leases are checked.
    :param progress: called after each table with its name and the number of copied rows.
    :return: rows by table.
    :raises ConfigurationError: a worker is running, another process is writing, the target is not
        empty or cannot be used, or the counts differ in the end.
    """
    upgrade.check(source.engine)
    try:
        engine = sa.create_engine(to)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError) as exc:
        raise ConfigurationError(f"--to is not a database that can be used: {exc}") from exc
    target = Database(engine)
    try:
        upgrade.upgrade(target.engine)
        _refuse_filled(target)
        with _locked(source) as reading, _opened(target) as writing:
            _refuse_running(reading, now, _STILL_WRITING)
            _continue_ids(reading, writing)
            copied = {one.name: _copy(reading, writing, one, progress) for one in _tables()}
            # The old database is given up, so no new epoch begins.
            epochs.adopt(orm.Session(writing))
            return copied
    except (sa.exc.OperationalError, sa.exc.ProgrammingError, sa.exc.InternalError) as exc:
        hint = ""
        if may_refuse_value(exc) or refuses_value(exc):
            hint = "; a row may be larger than it takes (MariaDB: max_allowed_packet)"
        raise ConfigurationError(f"the database of --to refused: {exc.orig}{hint}") from exc
    finally:
        target.dispose()
        engine.dispose()


@contextlib.contextmanager
def _locked(source: Database) -> cabc.Iterator[sa.Connection]:
    """Open a connection that reads while writes of all others wait until it is closed."""
    # A SQLite file is locked when the transaction begins.
    with source.engine.connect().execution_options(**_OPTIONS) as connection:
        try:
            connection.begin()
            _lock_tables(connection, [one.name for one in Base.metadata.sorted_tables])
        except sa.exc.OperationalError as exc:
            raise ConfigurationError(f"{_STILL_WRITING.format(who='')} ({exc.orig})") from exc
        yield connection


@contextlib.contextmanager
def _opened(target: Database) -> cabc.Iterator[sa.Connection]:
    """Open a transaction that may wait for the source at each of its batches."""
    with target.engine.connect().execution_options(**_OPTIONS) as connection, connection.begin():
        yield connection


def _lock_tables(connection: sa.Connection, names: cabc.Sequence[str]) -> None:
    if connection.dialect.name == "sqlite":
        return
    postgresql = connection.dialect.name == "postgresql"
    if postgresql:
        setting = sa.func.set_config("lock_timeout", f"{LOCKED_WITHIN}s", sa.true())
        connection.execute(sa.select(setting))
    else:
        # Locks of MariaDB end with the connection, which must not be used again after this.
        connection.detach()
        waiting = sa.text("SET SESSION lock_wait_timeout = :seconds")
        connection.execute(waiting, {"seconds": LOCKED_WITHIN})
    tables = ", ".join(names if postgresql else [f"{name} READ" for name in names])
    lock = sa.DDL(  # type: ignore[no-untyped-call]
        "LOCK TABLE %(tables)s IN SHARE MODE" if postgresql else "LOCK TABLES %(tables)s",
        context={"tables": tables},
    )
    connection.execute(lock)


def _tables() -> list[sa.Table]:
    """Return the tables to copy in an order in which referenced rows come first."""
    running = WorkerProcess.__table__
    return [one for one in Base.metadata.sorted_tables if one is not running]


def _refuse_running(reading: sa.Connection, now: dt.datetime, message: str) -> None:
    workers = presence.present(reading, now)
    if workers or upgrade.leased_until(reading, now) is not None:
        who = f": {', '.join(workers)}" if workers else ""
        raise ConfigurationError(message.format(who=who))


def _refuse_filled(target: Database) -> None:
    with target.engine.connect() as reading:
        _refuse_running(reading, target.clock(), _OTHER_WORKER)
        filled = [one.name for one in _tables() if reading.execute(sa.select(one).limit(1)).first()]
    if filled:
        raise ConfigurationError(
            f"The database of --to is not empty: {', '.join(filled)}. Copy to a new one."
        )


def _copy(
    reading: sa.Connection, writing: sa.Connection, table: sa.Table, progress: Progress
) -> int:
    rows = reading.execution_options(yield_per=BATCH).execute(
        sa.select(table).order_by(*table.primary_key.columns)
    )
    copied = 0
    for some in rows.mappings().partitions(BATCH):
        writing.execute(table.insert(), [dict(row) for row in some])
        copied += len(some)
    found = writing.scalar(sa.select(sa.func.count()).select_from(table))
    if found != copied:
        raise ConfigurationError(f"{table.name}: {copied} rows were copied and {found} arrived")
    progress(table.name, copied)
    return copied


def _continue_ids(reading: sa.Connection, writing: sa.Connection) -> None:
    """Let new ids follow those of the source; before the rows, as MariaDB then commits."""
    for table in _tables():
        if table.autoincrement_column is not None:
            sequences.skip_to(writing, table.name, sequences.last(reading, table.name))
