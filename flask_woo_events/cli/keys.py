"""``flask woo keys``: the keys that encrypt stored secrets."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from ..instances import configuration
from ..runtime import current_runtime
from ..values.crypto import Cipher
from .output import errors_as_messages

group = AppGroup("keys", help="Make and rotate encryption keys.")


@group.command("generate", with_appcontext=False)
def generate() -> None:
    """Print a new key for WOO_EVENTS_ENCRYPTION_KEYS."""
    click.echo(Cipher.generate_key())


@group.command("rotate")
@errors_as_messages
def rotate() -> None:
    """Encrypt all stored secrets again with the last of WOO_EVENTS_ENCRYPTION_KEYS.

    Add the new key at the end of the list, restart, run this, then take the old key out.
    """
    runtime = current_runtime()
    with runtime.database.write() as session:
        count = configuration.rotate(session, runtime.cipher)
    click.echo(f"{count} secrets are encrypted with the newest key.")
