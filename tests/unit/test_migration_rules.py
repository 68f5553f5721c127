"""Migrations only add, so workers of the previous release can run, or set ``REBUILDS``."""

from __future__ import annotations

import collections.abc as cabc
import io
import re

import alembic.op as op
import alembic.operations
import alembic.runtime.migration
import alembic.script
import pytest
import sqlalchemy as sa

from flask_woo_events.db import presence
from flask_woo_events.db import upgrade as schema

DIALECTS = ("sqlite", "postgresql", "mysql")
_INDEX = re.compile(r"CREATE (UNIQUE )?INDEX (?:CONCURRENTLY )?\S+ ON (\w+)")
_COLUMN = re.compile(r"ALTER TABLE (\w+) ADD COLUMN (.+)", re.DOTALL)

Upgrade = cabc.Callable[[], object]


def is_expanding(upgrade: Upgrade) -> bool:
    """Return whether a migration only adds tables, indexes and columns that are optional.

    Its statements are read, not executed. A change of rows is not an expansion.
    """
    for dialect in DIALECTS:
        try:
            statements = _statements(upgrade, dialect)
        except Exception:
            # It needs a database: it reads rows, or SQLite copies the table.
            return False
        created_tables = {
            name for one in statements for name in re.findall(r"^CREATE TABLE (\w+)", one)
        }
        if not all(_adds(one, created_tables) for one in statements):
            return False
    return True


def _statements(upgrade: Upgrade, dialect: str) -> list[str]:
    buffer = io.StringIO()
    context = alembic.runtime.migration.MigrationContext.configure(
        dialect_name=dialect, opts={"as_sql": True, "output_buffer": buffer}
    )
    with alembic.operations.Operations.context(context):
        upgrade()
    return [one.strip() for one in buffer.getvalue().split(";\n") if one.strip()]


def _adds(statement: str, created_tables: cabc.Set[str]) -> bool:
    if statement.startswith("CREATE TABLE "):
        return True
    if index := _INDEX.match(statement):
        return index[1] is None or index[2] in created_tables
    if column := _COLUMN.match(statement):
        constraints = re.search(r"\b(UNIQUE|REFERENCES|PRIMARY KEY|CONSTRAINT|CHECK)\b", column[2])
        optional = "NOT NULL" not in column[2] or " DEFAULT " in column[2]
        return column[1] in created_tables or (optional and not constraints)
    return False


def _scripts() -> list[alembic.script.Script]:
    scripts = alembic.script.ScriptDirectory(str(schema.MIGRATIONS)).walk_revisions()
    return sorted(scripts, key=lambda one: one.revision)


@pytest.mark.parametrize("script", _scripts(), ids=lambda script: script.revision)
def test_migration_expands_or_sets_rebuilds(script: alembic.script.Script) -> None:
    """A migration sets ``REBUILDS = True`` if, and only if, it does more than add."""
    rebuilds = getattr(script.module, "REBUILDS", False)
    assert rebuilds is not is_expanding(script.module.upgrade)


def test_processes_name_the_last_migration() -> None:
    """Others learn from it what a running worker knows."""
    assert _scripts()[-1].revision == presence.REVISION


def _nullable_column() -> None:
    op.add_column("woo_event", sa.Column("note", sa.Text()))


def _column_with_default() -> None:
    with op.batch_alter_table("woo_event", schema=None) as batch_op:
        batch_op.add_column(sa.Column("seen", sa.Boolean(), nullable=False, server_default="0"))


def _table_with_indexes() -> None:
    op.create_table(
        "woo_heartbeat",
        sa.Column("id", sa.BigInteger(), primary_key=True),
        sa.Column("instance_id", sa.BigInteger(), sa.ForeignKey("woo_instance.id")),
        sa.Column("name", sa.String(40), nullable=False, unique=True),
    )
    op.create_index("ix_woo_heartbeat_name", "woo_heartbeat", ["name"], unique=True)
    op.create_index("ix_woo_event_date", "woo_event", ["date"])


EXPANDING: list[Upgrade] = [_nullable_column, _column_with_default, _table_with_indexes]


@pytest.mark.parametrize("upgrade", EXPANDING)
def test_additions_are_expanding(upgrade: Upgrade) -> None:
    """A migration that only adds leaves the reads and writes of older workers valid."""
    assert is_expanding(upgrade)


def _in_batch(change: cabc.Callable[[alembic.operations.BatchOperations], object]) -> Upgrade:
    def upgrade() -> None:
        with op.batch_alter_table("woo_event", schema=None) as batch_op:
            change(batch_op)

    return upgrade


REBUILDING: dict[str, Upgrade] = {
    "column without default": lambda: op.add_column(
        "woo_event", sa.Column("note", sa.Text(), nullable=False)
    ),
    "unique column": lambda: op.add_column("woo_event", sa.Column("note", sa.Text(), unique=True)),
    "column with key": lambda: op.add_column(
        "woo_event", sa.Column("user_id", sa.BigInteger(), sa.ForeignKey("woo_user.id"))
    ),
    # SQLite copies the table to add it.
    "default that is computed": _in_batch(
        lambda batch: batch.add_column(sa.Column("at", sa.DateTime(), server_default=sa.func.now()))
    ),
    "unique index": lambda: op.create_index("ix", "woo_event", ["date"], unique=True),
    "dropped column": _in_batch(lambda batch: batch.drop_column("source")),
    "altered column": _in_batch(lambda batch: batch.alter_column("source", type_=sa.Text())),
    "renamed column": _in_batch(
        lambda batch: batch.alter_column("source", new_column_name="origin")
    ),
    "constraint": _in_batch(lambda batch: batch.create_unique_constraint("uq", ["date"])),
    "dropped index": lambda: op.drop_index("ix_woo_event_object", "woo_event"),
    "dropped table": lambda: op.drop_table("woo_usage"),
    "renamed table": lambda: op.rename_table("woo_usage", "woo_use"),
    "changed rows": lambda: op.execute("UPDATE woo_event SET source = 'poll'"),
    "read rows": lambda: op.get_bind().execute(sa.text("SELECT 1")),
}


@pytest.mark.parametrize("upgrade", REBUILDING.values(), ids=REBUILDING)
def test_other_changes_are_not_expanding(upgrade: Upgrade) -> None:
    """A migration that does more than add can make older workers fail."""
    assert not is_expanding(upgrade)
