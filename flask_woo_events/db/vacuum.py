"""Vacuum: has the database remove the bytes of rows that were changed or deleted."""

from __future__ import annotations

import typing as t

from .database import Database

#: Of the tables whose rows an erasure changes.
VACUUM = (
    "VACUUM woo_event, woo_object_body, woo_object, woo_attempt, woo_instance, woo_poller, "
    "woo_subscription, woo_connection, woo_operational"
)
OPTIMIZE = (
    "OPTIMIZE TABLE woo_event, woo_object_body, woo_object, woo_attempt, woo_instance, woo_poller, "
    "woo_subscription, woo_connection, woo_operational"
)


def rewrite(database: Database) -> None:
    """Remove what is left of earlier versions of rows that may hold objects of stores.

    SQLite rewrites the whole file and empties its log; it waits for running transactions.
    PostgreSQL frees what is dead for later rows, without locking anybody out: only those overwrite
    it. MariaDB rebuilds the tables.
    """
    # None of these runs in a transaction, which SQLAlchemy would begin.
    pooled = database.engine.raw_connection()
    try:
        driver = t.cast("t.Any", pooled.driver_connection)
        cursor = pooled.cursor()
        match database.engine.dialect.name:
            case "sqlite":
                cursor.execute("VACUUM")
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                cursor.fetchall()
            case "postgresql":
                driver.autocommit = True
                cursor.execute(VACUUM)
            case _:
                cursor.execute(OPTIMIZE)
                cursor.fetchall()
    finally:
        # Not back to the pool, with another way to begin transactions.
        pooled.invalidate()
