"""``flask woo keys``: generate and rotate the keys that encrypt stored secrets."""

from __future__ import annotations

import click
import sqlalchemy as sa
from flask.cli import AppGroup

from ..db.models import Instance
from ..instances import configuration, privacy, wc_auth
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
    old key from the list. Invitations that were sent before need the old key until they expire.

    Exit status 1 if secrets of an instance cannot be decrypted; all others are encrypted again.
    """
    runtime = current_runtime()
    with runtime.database.read() as session:
        names = session.execute(sa.select(Instance.id, Instance.name).order_by(Instance.id)).all()
    count, lost = 0, []
    for instance_id, name in names:
        with runtime.database.write() as session:
            rotated, keys = configuration.rotate(session, runtime.cipher, instance_id)
        count += rotated
        if keys:
            lost.append(f"  instance {instance_id} {name}: {', '.join(keys)}")
    with runtime.database.write() as session:
        count += wc_auth.rotate(session, runtime.cipher)
    with runtime.database.write() as session:
        rotated, organizations = privacy.rotate(session, runtime.cipher)
    count += rotated
    lost += [f"  organization {one}: the key of erased persons" for one in organizations]
    click.echo(f"{counted(count, 'secret')} encrypted with the last key.")
    if lost:
        raise click.ClickException(
            "these secrets cannot be decrypted, and were left as they are:\n"
            + "\n".join(lost)
            + "\nAdd the key that encrypted them to WOO_EVENTS_ENCRYPTION_KEYS, before the newest "
            "one, or send them again: flask woo instances change INSTANCE_ID FILE. A token is "
            "replaced with: flask woo instances token INSTANCE_ID"
        )
