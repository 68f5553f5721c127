"""The migrations make what the models say, on every database, and take it away again."""

from __future__ import annotations

import collections.abc as cabc

import alembic.command
import pytest
import sqlalchemy as sa

from flask_woo_events.db import upgrade
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Base
from tests.integration import tables


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
    assert tables.differences(migrated.engine) == []


def test_migrations_can_be_undone(migrated: Database) -> None:
    """Down to the beginning and up again."""
    with migrated.engine.begin() as connection:
        alembic.command.downgrade(upgrade._config(connection), "base")
    assert tables.names(migrated.engine) == [upgrade.VERSION_TABLE]
    upgrade.upgrade(migrated.engine)
    assert set(Base.metadata.tables) < set(tables.names(migrated.engine))
