"""A fixture that connects a simulated store, which may then give wrong answers."""

from __future__ import annotations

import collections.abc as cabc
import pathlib
import shutil
import typing as t

import pytest
import sqlalchemy as sa

from flask_woo_events.db.database import Database
from tests.integration.belief.belief_env import BeliefEnv, Setup

#: Connects a store; the parameters are those of ``Setup``.
Connect = cabc.Callable[..., BeliefEnv]


@pytest.fixture
def connect(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[Connect]:
    """Return a function that connects a new store and reads its baseline."""
    opened: list[tuple[sa.Engine, Database]] = []

    def build(**setup: t.Any) -> BeliefEnv:
        file = tmp_path / f"{len(opened)}.sqlite3"
        shutil.copy(tables, file)
        engine = sa.create_engine(f"sqlite:///{file}")
        opened.append((engine, Database(engine)))
        return BeliefEnv(opened[-1][1], Setup(**setup))

    yield build
    for engine, database in opened:
        database.dispose()
        engine.dispose()
