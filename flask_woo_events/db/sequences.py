"""The counters from which the databases take new ids, so that no id is assigned twice."""

from __future__ import annotations

import sqlalchemy as sa

#: The column that is counted, in every table with a counter.
KEY = "id"
# The last assigned id, null for none. SQLite counts only tables with AUTOINCREMENT.
_LAST = {
    "sqlite": "SELECT seq FROM sqlite_sequence WHERE name = :name",
    "postgresql": "SELECT pg_sequence_last_value("
    f"CAST(pg_get_serial_sequence(:name, '{KEY}') AS regclass))",
    "mysql": "SELECT auto_increment - 1 FROM information_schema.tables "
    "WHERE table_schema = DATABASE() AND table_name = :name",
}


def last(connection: sa.Connection, table: str) -> int:
    """Return the highest id that a table has or had, also of rows that were deleted."""
    highest = sa.select(sa.func.max(sa.column(KEY, sa.BigInteger()))).select_from(sa.table(table))
    return max(_counted(connection, table), connection.scalar(highest) or 0)


def skip_to(connection: sa.Connection, table: str, number: int) -> None:
    """Let new ids of a table be above a number; they are never set back.

    MariaDB commits the connection's transaction.
    """
    if number <= _counted(connection, table):
        return
    kind, name = _kind(connection), {"name": table, "number": number}
    if kind == "mysql":
        connection.execute(sa.text(f"ALTER TABLE {table} AUTO_INCREMENT = {number + 1}"))
    elif kind == "postgresql":
        sequence = sa.func.pg_get_serial_sequence(table, KEY)
        connection.execute(sa.select(sa.func.setval(sequence, number)))
    else:
        # SQLite's table has no unique key, so there is no upsert.
        connection.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = :name"), name)
        connection.execute(sa.text("INSERT INTO sqlite_sequence VALUES (:name, :number)"), name)


def _counted(connection: sa.Connection, table: str) -> int:
    return connection.scalar(sa.text(_LAST[_kind(connection)]), {"name": table}) or 0


def _kind(connection: sa.Connection) -> str:
    return connection.dialect.name.replace("mariadb", "mysql")
