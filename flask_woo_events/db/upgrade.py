"""The version of our tables: its upgrade and its check."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import pathlib
import typing as t

import sqlalchemy as sa

from ..errors import SchemaError
from . import limits, presence
from .base import UtcDateTime
from .clock import DatabaseClock
from .engines import is_in_memory

if t.TYPE_CHECKING:
    import alembic.config
    import alembic.script

#: A version table of our own, apart from that of the application's Alembic.
VERSION_TABLE = "woo_version"
#: The table that the first migration creates first.
_FIRST_TABLE = "woo_organization"
#: A script there that sets ``REBUILDS = True`` does more than add tables, indexes and columns
#: that may be left out: workers of the release before it would fail.
MIGRATIONS = pathlib.Path(__file__).parent / "migrations"

_OPTIONS = {limits.WRITING: True, limits.UNLIMITED: True}
#: The lock of upgrades: on PostgreSQL of the database, on MariaDB of the server.
_LOCK = 7307468131470044
_LOCK_NAME = sa.func.concat("woo_upgrade_", sa.func.md5(sa.func.database()))
#: Longer than any upgrade, seconds.
_ANY_TIME = 1_000_000

# Without the models, which may have columns that these tables do not have yet.
_LEASES = tuple(
    sa.table(name, sa.column("lease_until", UtcDateTime()))
    for name in ("woo_instance", "woo_delivery")
)


def upgrade(engine: sa.Engine, waiting: cabc.Callable[[], None] = lambda: None) -> None:
    """Create our tables, or upgrade them to this release, while no other process does.

    :param waiting: called if another process holds the lock, before it is waited for.
    :raises SchemaError: a newer release made the tables, their version is not known, the new
        database cannot hold every text, or a migration rebuilds tables while a worker holds a
        lease.
    """
    import alembic.command  # not at the top: the import takes 0.3 s

    with engine.connect().execution_options(**_OPTIONS) as connection:
        with _without_foreign_keys(connection), _alone(connection, waiting):
            config = _config(connection)
            _refuse_encoding(config, connection)
            _refuse_rebuilding(config, connection)
            alembic.command.upgrade(config, "head")


@contextlib.contextmanager
def _alone(connection: sa.Connection, waiting: cabc.Callable[[], None]) -> cabc.Iterator[None]:
    """Begin a transaction, and hold the lock of upgrades until it ends."""
    kind = connection.dialect.name
    if kind == "sqlite":
        with _begin_sqlite(connection, waiting):
            yield
        return
    with connection.begin():
        # PostgreSQL's lock ends with the transaction, which PgBouncer leaves on one session.
        # MariaDB commits with each table, so that its lock belongs to the connection.
        postgresql, lock = kind == "postgresql", sa.func
        now = lock.pg_try_advisory_xact_lock(_LOCK) if postgresql else lock.get_lock(_LOCK_NAME, 0)
        if not connection.scalar(sa.select(now)):
            waiting()
            then = lock.get_lock(_LOCK_NAME, _ANY_TIME)
            connection.execute(sa.select(lock.pg_advisory_xact_lock(_LOCK) if postgresql else then))
        try:
            yield
        finally:
            if not postgresql and not connection.invalidated:
                connection.execute(sa.select(sa.func.release_lock(_LOCK_NAME)))


def _begin_sqlite(
    connection: sa.Connection, waiting: cabc.Callable[[], None]
) -> sa.RootTransaction:
    """Begin a transaction with SQLite's write lock: the version is read after it."""
    cursor = connection.connection.cursor()
    (patience,) = cursor.execute("PRAGMA busy_timeout").fetchone()
    again = f"PRAGMA busy_timeout = {int(patience)}"
    cursor.execute("PRAGMA busy_timeout = 0")
    try:
        return connection.begin()
    except sa.exc.OperationalError as exc:
        if "locked" not in str(exc.orig):
            raise
        waiting()
    finally:
        cursor.execute(again)
        cursor.close()
    return connection.begin()


@contextlib.contextmanager
def _without_foreign_keys(connection: sa.Connection) -> cabc.Iterator[None]:
    """Let a table of SQLite be replaced without deleting the rows that refer to it."""
    if connection.dialect.name != "sqlite":
        yield
        return
    # The driver's own cursor: a transaction, which SQLAlchemy would begin, ignores the setting.
    cursor = connection.connection.cursor()
    (enforced,) = cursor.execute("PRAGMA foreign_keys").fetchone()
    cursor.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        if enforced:
            cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()


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
    with engine.connect() as connection:
        current, coming = _state(_config(connection), connection)
    if coming:
        if current is None and engine.dialect.name == "sqlite" and is_in_memory(engine.url):
            raise SchemaError(
                "The database is in memory, where each process has another one. Set "
                "SQLALCHEMY_DATABASE_URI to a file or a server."
            )
        found = f"at version {current}" if current else "missing"
        raise SchemaError(
            f"The tables are {found}, this release needs {coming[-1].revision}. "
            "Run: flask woo db upgrade"
        )
    return str(current)


def _refuse_encoding(config: alembic.config.Config, connection: sa.Connection) -> None:
    """Refuse a new database of PostgreSQL that does not take all characters of names and texts."""
    if connection.dialect.name != "postgresql" or _state(config, connection)[0] is not None:
        return
    encoding = connection.scalar(sa.text("SHOW server_encoding"))
    if encoding != "UTF8":
        raise SchemaError(
            f"The encoding of this database is {encoding}, which does not hold every text. "
            "Use a database that was created with: ENCODING 'UTF8' TEMPLATE template0"
        )


def _refuse_rebuilding(config: alembic.config.Config, connection: sa.Connection) -> None:
    rebuilding = _rebuilding(config, connection)
    if not rebuilding:
        return
    now = DatabaseClock(connection.dialect.name, lambda: contextlib.nullcontext(connection))()
    until, workers = leased_until(connection, now), presence.present(connection, now)
    if until is not None:
        raise SchemaError(
            f"Migration {rebuilding[0]} rebuilds tables, and a worker holds a lease until "
            f"{until:%Y-%m-%d %H:%M:%S} UTC. Stop the workers, then run flask woo db upgrade "
            "again. The lease of a worker that was killed ends by itself at that time."
        )
    if workers:
        raise SchemaError(
            f"Migration {rebuilding[0]} rebuilds tables, and a worker runs: {', '.join(workers)}. "
            "Stop the workers, then run flask woo db upgrade again. A worker that was killed "
            f"counts for {presence.ENDED_AFTER:.0f} seconds."
        )


def _rebuilding(config: alembic.config.Config, connection: sa.Connection) -> list[str]:
    """Return the migrations still to come that workers must not see, the first one first."""
    current, coming = _state(config, connection)
    if current is None:
        return []
    return [one.revision for one in coming if getattr(one.module, "REBUILDS", False)]


def _state(
    config: alembic.config.Config, connection: sa.Connection
) -> tuple[str | None, list[alembic.script.Script]]:
    """Return the version of the tables and the migrations still to come, the first one first."""
    import alembic.runtime.migration
    import alembic.script
    import alembic.script.revision

    current = alembic.runtime.migration.MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE}
    ).get_current_revision()
    if current is None and sa.inspect(connection).has_table(_FIRST_TABLE):
        raise SchemaError(
            f"There are tables, but {VERSION_TABLE} does not hold their version, as after a first "
            "upgrade that was interrupted. Restore it from a backup, or drop the tables whose "
            "names begin with woo_, then run flask woo db upgrade again."
        )
    scripts = alembic.script.ScriptDirectory.from_config(config)
    try:
        return current, list(scripts.iterate_revisions("head", current or "base"))[::-1]
    except alembic.script.revision.RevisionError as exc:
        raise SchemaError(
            f"The tables are at version {current}, which this release does not know. "
            "Install the release that made them."
        ) from exc


def _config(connection: sa.Connection) -> alembic.config.Config:
    import alembic.config

    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
