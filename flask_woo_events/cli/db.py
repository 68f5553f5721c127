"""``flask woo db``: the tables."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from .. import schema
from ..runtime import current_runtime
from .output import failing_in_words

group = AppGroup("db", help="Create and check the tables.")


@group.command("upgrade")
@failing_in_words
def upgrade() -> None:
    """Create the tables or bring them to this release."""
    engine = current_runtime().database.engine
    schema.upgrade(engine)
    click.echo(f"The tables are at version {schema.check(engine)}.")


@group.command("check")
@failing_in_words
def check() -> None:
    """Tell whether the tables fit this release; exit status 1 if not."""
    version = schema.check(current_runtime().database.engine)
    click.echo(f"The tables are at version {version}.")
