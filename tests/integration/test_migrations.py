"""The migrations make what the models say, on every database, and take it away again."""

from __future__ import annotations

import collections.abc as cabc

import alembic.autogenerate
import alembic.command
import alembic.runtime.migration
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from flask_woo_events.db import upgrade
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import TABLE_PREFIX, Base


@pytest.fixture
def migrated(any_url: str) -> cabc.Iterator[Database]:
    """A database of each kind, brought up to date by migrations alone."""
    engine = sa.create_engine(any_url)
    database = Database(engine)
    upgrade.upgrade(database.engine)
    yield database
    database.dispose()
    engine.dispose()


def test_migrations_make_the_models(migrated: Database) -> None:
    """Nothing is left for an autogenerate to do."""
    with migrated.engine.connect() as connection:
        context = alembic.runtime.migration.MigrationContext.configure(
            connection, opts={"version_table": upgrade.VERSION_TABLE, "compare_type": _differs}
        )
        assert alembic.autogenerate.compare_metadata(context, Base.metadata) == []


def test_migrations_can_be_undone(migrated: Database) -> None:
    """Down to the beginning and up again."""
    with migrated.engine.begin() as connection:
        alembic.command.downgrade(upgrade._config(connection), "base")
    left = [name for name in _tables(migrated) if name != upgrade.VERSION_TABLE]
    assert left == []
    upgrade.upgrade(migrated.engine)
    assert set(Base.metadata.tables) < set(_tables(migrated))


def _differs(
    context: object, one: object, other: object, found: object, wanted: object
) -> bool | None:
    # MariaDB calls a BLOB of 16 bytes a TINYBLOB.
    return False if isinstance(found, mysql.TINYBLOB) else None


def _tables(database: Database) -> list[str]:
    names = sa.inspect(database.engine).get_table_names()
    return [name for name in names if name.startswith(TABLE_PREFIX)]
