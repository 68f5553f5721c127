"""The version of our tables: bringing it up to date, and checking it."""

from __future__ import annotations

import pathlib
import typing as t

import sqlalchemy as sa

from ..errors import SchemaError

if t.TYPE_CHECKING:
    import alembic.config

#: Our own version table, so that a host's Alembic and ours do not meet.
VERSION_TABLE = "woo_version"


def upgrade(engine: sa.Engine) -> None:
    """Create our tables or bring them to this release."""
    import alembic.command  # 0.3 s of import that no request should pay for

    with engine.begin() as connection:
        alembic.command.upgrade(_config(connection), "head")


def check(engine: sa.Engine) -> str:
    """Tell the version of the tables.

    :raises SchemaError: they are missing, older or newer than this release.
    """
    import alembic.runtime.migration
    import alembic.script

    with engine.connect() as connection:
        head = alembic.script.ScriptDirectory.from_config(_config(connection)).get_current_head()
        context = alembic.runtime.migration.MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE}
        )
        current = context.get_current_revision()
    if current != head:
        found = f"at version {current}" if current else "missing"
        raise SchemaError(
            f"The tables are {found}, this release needs {head}. Run: flask woo db upgrade"
        )
    return str(current)


def _config(connection: sa.Connection) -> alembic.config.Config:
    import alembic.config

    config = alembic.config.Config()
    config.set_main_option(
        "script_location", str(pathlib.Path(__file__).parent.joinpath("migrations"))
    )
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
