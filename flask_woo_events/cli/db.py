"""``flask woo db``: create, check and copy the tables, and begin a new epoch."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from ..db import copy, upgrade
from ..db.epochs import EpochState
from ..instances import restored
from ..runtime import current_runtime
from .output import errors_as_messages

_WAITING = "Another process is upgrading the tables, or writes to SQLite's file. Waiting for it."
group = AppGroup("db", help="Create, check and copy the tables.")


@group.command("upgrade")
@errors_as_messages
def upgrade_tables() -> None:
    """Create the tables, or upgrade them to this release.

    If another process is upgrading them, wait for it.
    """
    engine = current_runtime().database.engine
    upgrade.upgrade(engine, lambda: click.echo(_WAITING, err=True))
    click.echo(f"The tables are at version {upgrade.check(engine)}.")


@group.command("check")
@errors_as_messages
def check() -> None:
    """Check whether the tables fit this release.

    Exit status 1 if they do not.
    """
    version = upgrade.check(current_runtime().database.engine)
    click.echo(f"The tables are at version {version}.")


@group.command("copy")
@click.option(
    "--to", required=True, metavar="URL", help="SQLAlchemy URL of an empty database to copy to."
)
@errors_as_messages
def copy_tables(to: str) -> None:
    """Copy all rows to another, empty database.

    The row counts are compared. Stop the workers and the web server first.
    """
    runtime = current_runtime()
    copied = copy.copy(
        runtime.database, to, runtime.clock(), lambda table, rows: click.echo(f"{table}: {rows}")
    )
    click.echo(f"Copied {sum(copied.values())} rows; the row counts are equal.")
    key = runtime.settings.bind_key
    where = "SQLALCHEMY_DATABASE_URI" if key is None else f"SQLALCHEMY_BINDS[{key!r}]"
    click.echo(f"Set {where} to the new URL and start the web server and the workers.")


@group.command("restored")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@errors_as_messages
def begin_epoch(yes: bool) -> None:
    """Begin a new epoch after the database was restored from a backup.

    Ids and versions go on above those that were sent, and all stores are compared with the
    database.
    """
    runtime = current_runtime()
    upgrade.check(runtime.database.engine)
    before, sign = restored.present(runtime)
    click.echo(f"Before: {_shown(before)}")
    if sign is not None:
        click.echo(f"The database looks restored: {sign}.")
    if not yes:
        click.confirm("Was the database restored, and is a new epoch to begin?", abort=True)
    click.echo(f"Now: {_shown(restored.declare(runtime, 'an operator said so'))}")
    click.echo("The next polls compare all stores with the database.")


def _shown(epoch: EpochState | None) -> str:
    if epoch is None:
        return "no epoch, because no worker has started yet"
    return f"epoch {epoch.number} ({epoch.token}), since {epoch.began_at:%Y-%m-%d %H:%M} UTC"
