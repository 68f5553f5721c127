"""A database that returns to the same rows before each schedule, and says who waits for a lock."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import pathlib
import re
import shutil
import typing as t

import sqlalchemy as sa

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Base

Rows = dict[str, list[dict[str, t.Any]]]
#: Columns with random text or measured time.
_RANDOM = {"event_id", "lease_token", "secret_hash", "token_hash", "state_hash", "seconds"}
_LOCK_WAIT = re.compile(r"LOCK WAIT(?:(?!---TRANSACTION).)*?MariaDB thread id (\d+)", re.DOTALL)


class Tables:
    """Our tables in one database, of which each session has an engine of its own.

    :param url: a database with empty tables.
    """

    def __init__(self, url: str) -> None:
        self.url = sa.make_url(url)
        self.kind = self.url.get_backend_name()
        self._rows: Rows = {}
        self._databases: list[tuple[sa.Engine, Database, set[int]]] = []
        self._monitor = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        self._watching: sa.Connection | None = None
        if self.kind != "sqlite":
            self._watching = self._monitor.connect()

    def connect(self) -> Database:
        """Return a database with an engine of its own, as another process has."""
        engine = sa.create_engine(self.url)
        backends: set[int] = set()

        @sa.event.listens_for(engine, "connect")
        def _connected(driver: t.Any, _: object) -> None:
            if self.kind == "postgresql":
                backends.add(driver.info.backend_pid)
                driver.execute("SET deadlock_timeout = '20ms'")
                driver.commit()
            elif self.kind != "sqlite":
                backends.add(driver.thread_id())

        database = Database(engine)
        if self.kind == "sqlite":
            sa.event.listen(database.engine, "connect", _leave_out_syncs)
        self._databases.append((engine, database, backends))
        return database

    def dispose(self) -> None:
        """Close all connections."""
        for engine, database, _ in self._databases:
            database.dispose()
            engine.dispose()
        if self._watching is not None:
            self._watching.close()
        self._monitor.dispose()

    def keep(self) -> None:
        """Keep the rows, for :meth:`restore`."""
        if self.kind == "sqlite":
            self._close()
            shutil.copy(self._file, f"{self._file}.kept")
            return
        with self._monitor.connect() as connection:
            for table in Base.metadata.sorted_tables:
                rows = connection.execute(sa.select(table)).mappings()
                self._rows[table.name] = [dict(row) for row in rows]

    def restore(self) -> None:
        """Return to the rows that were kept."""
        if self.kind == "sqlite":
            self._close()
            for suffix in ("-wal", "-shm"):
                pathlib.Path(f"{self._file}{suffix}").unlink(missing_ok=True)
            shutil.copy(f"{self._file}.kept", self._file)
            return
        with self._monitor.connect() as connection:
            _empty(connection)
            for table in Base.metadata.sorted_tables:
                if rows := self._rows[table.name]:
                    connection.execute(table.insert(), rows)
                    _continue_ids(connection, table, rows)

    def rows(self, decrypt: cabc.Callable[[str], str]) -> list[tuple[str, list[t.Any]]]:
        """Return all rows without what is drawn at random, and with secrets in the clear."""
        with self._monitor.connect() as connection:
            found = [(one.name, _rows(connection, one)) for one in Base.metadata.sorted_tables]
        for name, rows in found:
            if name == "woo_configuration":
                rows[:] = [(*row[:-2], decrypt(row[-2]) if row[-1] else row[-2]) for row in rows]
        return found

    @property
    def _file(self) -> str:
        return str(self.url.database)

    def _close(self) -> None:
        # The compiled statements stay.
        for _, database, _ in self._databases:
            database.engine.dispose()
        self._monitor.dispose()

    def blocked(self, database: Database) -> bool:
        """Return whether a statement of an engine waits for another transaction."""
        if self._watching is None:
            return False
        backends = next(pids for _, one, pids in self._databases if one is database)
        if self.kind == "postgresql":
            query = sa.text(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE pid = ANY(:backends) AND cardinality(pg_blocking_pids(pid)) > 0"
            )
            return bool(self._watching.scalar(query, {"backends": list(backends)}))
        # Unlike information_schema.innodb_trx, this is not up to 100 ms old.
        status = self._watching.exec_driver_sql("SHOW ENGINE INNODB STATUS").one()[2]
        # Before its list of transactions it repeats the last deadlock, whenever that was.
        transactions = status.partition("\nTRANSACTIONS\n")[2]
        return bool({int(one) for one in _LOCK_WAIT.findall(transactions)} & backends)


def _leave_out_syncs(driver: t.Any, _: object) -> None:
    driver.execute("PRAGMA synchronous=OFF")


def _rows(connection: sa.Connection, table: sa.Table) -> list[t.Any]:
    columns = [one for one in table.columns if one.name not in _RANDOM]
    query = sa.select(*columns).order_by(*table.primary_key.columns)
    return [tuple(map(_coarse, row)) for row in connection.execute(query)]


def _coarse(value: t.Any) -> t.Any:
    # Moments of one schedule differ by milliseconds.
    return value.replace(microsecond=0) if isinstance(value, dt.datetime) else value


def _empty(connection: sa.Connection) -> None:
    names = [table.name for table in reversed(Base.metadata.sorted_tables)]
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"TRUNCATE {', '.join(names)} CASCADE")
        return
    connection.exec_driver_sql("SET foreign_key_checks = 0")
    for name in names:
        connection.exec_driver_sql(f"DELETE FROM {name}")
    connection.exec_driver_sql("SET foreign_key_checks = 1")


def _continue_ids(
    connection: sa.Connection, table: sa.Table, rows: cabc.Sequence[cabc.Mapping[str, t.Any]]
) -> None:
    key = table.autoincrement_column
    if connection.dialect.name == "postgresql" and key is not None:
        sequence = sa.func.pg_get_serial_sequence(table.name, key.name)
        connection.execute(sa.select(sa.func.setval(sequence, max(row[key.name] for row in rows))))
