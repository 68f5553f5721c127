"""The version of our tables: its upgrade and its check."""

from __future__ import annotations

import contextlib
import datetime as dt
import pathlib
import typing as t

import sqlalchemy as sa

from ..errors import SchemaError
from .clock import DatabaseClock
from .models import UtcDateTime

if t.TYPE_CHECKING:
    import alembic.config

#: A version table of our own, apart from that of the application's Alembic.
VERSION_TABLE = "woo_version"
#: A script there that sets ``REBUILDS = True`` does more than add tables, indexes and columns
#: that may be left out: workers of the release before it would fail.
MIGRATIONS = pathlib.Path(__file__).parent / "migrations"

# Without the models, which may have columns that these tables do not have yet.
_LEASES = tuple(
    sa.table(name, sa.column("lease_until", UtcDateTime()))
    for name in ("woo_instance", "woo_delivery")
)


def upgrade(engine: sa.Engine) -> None:
    """Create our tables, or upgrade them to this release.

    :raises SchemaError: a newer release made the tables, or a migration rebuilds them while a
        worker holds a lease.
    """
    import alembic.command  # not at the top: the import takes 0.3 s

    with engine.begin() as connection:
        config = _config(connection)
        _refuse_rebuilding(config, connection)
        alembic.command.upgrade(config, "head")


def leased_until(connection: sa.Connection, now: dt.datetime) -> dt.datetime | None:
    """Return when the last lease of a worker ends, or ``None`` if none is valid now."""
    ends = []
    for table in _LEASES:
        until = table.c.lease_until
        ends.append(connection.scalar(sa.select(sa.func.max(until)).where(until > now)))
    return max((one for one in ends if one is not None), default=None)


def check(engine: sa.Engine) -> str:
    """Return the version of the tables.

    :raises SchemaError: the tables are missing, or of an older or newer release.
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


def _refuse_rebuilding(config: alembic.config.Config, connection: sa.Connection) -> None:
    rebuilding = _rebuilding(config, connection)
    if not rebuilding:
        return
    now = DatabaseClock(connection.dialect.name, lambda: contextlib.nullcontext(connection))()
    until = leased_until(connection, now)
    if until is not None:
        raise SchemaError(
            f"Migration {rebuilding[0]} rebuilds tables, and a worker holds a lease until "
            f"{until:%Y-%m-%d %H:%M:%S} UTC. Stop the workers, then run flask woo db upgrade "
            "again. The lease of a worker that was killed ends by itself at that time."
        )


def _rebuilding(config: alembic.config.Config, connection: sa.Connection) -> list[str]:
    """Return the migrations still to come that workers must not see, the first one first."""
    import alembic.runtime.migration
    import alembic.script
    import alembic.script.revision

    context = alembic.runtime.migration.MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE}
    )
    current = context.get_current_revision()
    if current is None:
        return []
    scripts = alembic.script.ScriptDirectory.from_config(config)
    try:
        coming = list(scripts.iterate_revisions("head", current))
    except alembic.script.revision.RevisionError as exc:
        raise SchemaError(
            f"The tables are at version {current}, which this release does not know. "
            "Install the release that made them."
        ) from exc
    return [one.revision for one in coming[::-1] if getattr(one.module, "REBUILDS", False)]


def _config(connection: sa.Connection) -> alembic.config.Config:
    import alembic.config

    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
