"""``flask woo db``: the tables."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from ..db import copy as moving
from ..db import upgrade as schema
from ..runtime import current_runtime
from .output import errors_as_messages

group = AppGroup("db", help="Create, check and move the tables.")


@group.command("upgrade")
@errors_as_messages
def upgrade() -> None:
    """Create the tables or bring them to this release."""
    engine = current_runtime().database.engine
    schema.upgrade(engine)
    click.echo(f"The tables are at version {schema.check(engine)}.")


@group.command("check")
@errors_as_messages
def check() -> None:
    """Tell whether the tables fit this release; exit status 1 if not."""
    version = schema.check(current_runtime().database.engine)
    click.echo(f"The tables are at version {version}.")


@group.command("copy")
@click.option("--to", required=True, metavar="URL", help="SQLAlchemy's URL of an empty database.")
@errors_as_messages
def copy(to: str) -> None:
    """Copy everything to another database, to go on there.

    Stop the workers and the web server first.
    """
    runtime = current_runtime()
    copied = moving.copy(
        runtime.database, to, runtime.clock(), lambda table, rows: click.echo(f"{table}: {rows}")
    )
    click.echo(f"Copied and counted {sum(copied.values())} rows.")
    key = runtime.settings.bind_key
    where = "SQLALCHEMY_DATABASE_URI" if key is None else f"SQLALCHEMY_BINDS[{key!r}]"
    click.echo(f"Set {where} to it, and start the web server and the workers.")
