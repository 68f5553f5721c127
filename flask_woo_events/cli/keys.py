"""``flask woo keys``: generate and rotate the keys that encrypt stored secrets."""

from __future__ import annotations

import click
import sqlalchemy as sa
from flask.cli import AppGroup

from ..db.models import Instance
from ..instances import configuration
from ..runtime import current_runtime
from ..values.crypto import Cipher
from ..values.wording import counted
from .output import errors_as_messages

group = AppGroup("keys", help="Generate and rotate encryption keys.")


@group.command("generate", with_appcontext=False)
def generate() -> None:
    """Print a new key for WOO_EVENTS_ENCRYPTION_KEYS."""
    click.echo(Cipher.generate_key())


@group.command("rotate")
@errors_as_messages
def rotate() -> None:
    """Encrypt all stored secrets again with the last key.

    Append the new key to WOO_EVENTS_ENCRYPTION_KEYS, restart, run this command, then remove the
    old key from the list.
    """
    runtime = current_runtime()
    with runtime.database.read() as session:
        instance_ids = session.scalars(sa.select(Instance.id).order_by(Instance.id)).all()
    count = 0
    for instance_id in instance_ids:
        with runtime.database.write() as session:
            count += configuration.rotate(session, runtime.cipher, instance_id)
    click.echo(f"{counted(count, 'secret')} encrypted with the last key.")
