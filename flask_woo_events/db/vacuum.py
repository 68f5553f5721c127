"""Vacuum: has the database remove the bytes of rows that were changed or deleted."""

from __future__ import annotations

import sqlalchemy as sa

from .database import Database
from .models import Base


def rewrite(database: Database) -> None:
    """Rewrite our tables so that they hold no bytes of earlier versions of their rows.

    SQLite rewrites the whole file and empties its log; it waits for running transactions.
    PostgreSQL frees what is dead for later rows, without locking anybody out: only those overwrite
    it. MariaDB rebuilds the tables.
    """
    names = [table.name for table in Base.metadata.sorted_tables]
    engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        match connection.dialect.name:
            case "sqlite":
                statements = ["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"]
            case "postgresql":
                statements = [f"VACUUM {', '.join(names)}"]
            case _:
                statements = [f"OPTIMIZE TABLE {', '.join(names)}"]
        for statement in statements:
            result = connection.execute(sa.text(statement))
            if result.returns_rows:
                result.all()
