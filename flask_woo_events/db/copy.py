"""Copy of all our tables to another database, for a move to it."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt

import sqlalchemy as sa

from ..errors import ConfigurationError
from . import upgrade
from .database import Database
from .models import Base

#: Rows per read and write; a row may hold megabytes.
BATCH = 200
#: Called after each table with its name and the number of copied rows.
Progress = cabc.Callable[[str, int], None]


def copy(
    source: Database, to: str, now: dt.datetime, progress: Progress = lambda table, rows: None
) -> dict[str, int]:
    """Copy every row, with its id, in one transaction on each side.

    Writes to a SQLite file wait until the end. A copy that fails leaves the target empty.

    :param to: URL of a database in which none of our tables has a row.
    :param now: the current time, by which leases are checked.
    :param progress: called after each table with its name and the number of copied rows.
    :return: rows by table.
    :raises ConfigurationError: a worker is running, the target is not empty or cannot be used, or
        the counts differ in the end.
    """
    upgrade.check(source.engine)
    try:
        engine = sa.create_engine(to)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError) as exc:
        raise ConfigurationError(f"--to is not a database that can be used: {exc}") from exc
    target = Database(engine)
    try:
        upgrade.upgrade(target.engine)
        with _snapshot(source) as reading, target.begin() as writing:
            _refuse_running(reading, now)
            _refuse_filled(writing)
            return {one.name: _copy(reading, writing, one, progress) for one in _tables()}
    except (sa.exc.OperationalError, sa.exc.ProgrammingError) as exc:
        raise ConfigurationError(f"the database of --to refused: {exc.orig}") from exc
    finally:
        target.dispose()
        engine.dispose()


def _snapshot(source: Database) -> sa.Connection:
    """Open a connection that sees one state of the database until it is closed."""
    if source.engine.dialect.name == "sqlite":
        return source.engine.connect().execution_options(woo_begin="IMMEDIATE")
    return source.engine.connect().execution_options(isolation_level="REPEATABLE READ")


def _tables() -> list[sa.Table]:
    """Return the tables in an order in which referenced rows come first."""
    return Base.metadata.sorted_tables


def _refuse_running(reading: sa.Connection, now: dt.datetime) -> None:
    if upgrade.leased_until(reading, now) is not None:
        raise ConfigurationError(
            "A worker uses this database. Stop flask woo poll, flask woo deliver and "
            "the web server, wait some seconds, and copy again."
        )


def _refuse_filled(writing: sa.Connection) -> None:
    filled = [one.name for one in _tables() if writing.execute(sa.select(one).limit(1)).first()]
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
    _continue_ids(writing, table)
    found = writing.scalar(sa.select(sa.func.count()).select_from(table))
    if found != copied:
        raise ConfigurationError(f"{table.name}: {copied} rows were copied and {found} arrived")
    progress(table.name, copied)
    return copied


def _continue_ids(writing: sa.Connection, table: sa.Table) -> None:
    """Let new ids follow the copied ones; SQLite and MariaDB do so by themselves."""
    key = table.autoincrement_column
    if writing.dialect.name != "postgresql" or key is None:
        return
    highest = writing.scalar(sa.select(sa.func.max(key)))
    sequence = writing.scalar(sa.select(sa.func.pg_get_serial_sequence(table.name, key.name)))
    if highest is not None and sequence is not None:
        writing.execute(sa.select(sa.func.setval(sequence, highest)))
