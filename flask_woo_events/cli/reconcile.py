"""``flask woo reconcile``: compare what a consumer has with the ledger."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import functools
import typing as t

import click
import orjson
from flask.cli import with_appcontext

from ..instances import access
from ..runtime import current_runtime
from ..sync.reconcile import reconciliation
from ..sync.reconcile.copies import IdRange
from ..sync.reconcile.reconciliation import Reconciliation, Request
from ..values.validation import LARGEST_ID
from ..values.wording import counted
from .output import ID, as_json_option, echo_json, errors_as_messages, plain

_NUMBER = click.IntRange(0, LARGEST_ID)
#: Bytes that are read at a time.
_CHUNK = 256 * 1024


@click.command("reconcile")
@click.argument("instance_id", type=ID)
@click.argument("resource")
@click.argument("file", type=click.File("rb"))
@click.option("--after", type=_NUMBER, metavar="ID", help="Only compare objects with greater ids.")
@click.option(
    "--until", type=_NUMBER, metavar="ID", help="Only compare objects with ids up to this one."
)
@click.option("--send", is_flag=True, help="Send again what differs.")
@click.option(
    "--subscription",
    "subscription_id",
    type=ID,
    metavar="ID",
    help="Send it to this subscription, by default to the first or the only one.",
)
@as_json_option
@with_appcontext
@errors_as_messages
def reconcile(
    instance_id: int,
    resource: str,
    file: t.BinaryIO,
    after: int | None,
    until: int | None,
    send: bool,
    subscription_id: int | None,
    as_json: bool,
) -> None:
    """Compare what a consumer has with the ledger.

    Prints what differs. FILE has one line of JSON for each object, such as
    {"objectId": "12", "version": 3}; - is the standard input.
    """
    if subscription_id is not None and not send:
        raise click.UsageError("--subscription needs --send")
    runtime = current_runtime()
    with runtime.database.read() as session:
        caller = access.owner(session, instance_id)
    request = Request(
        instance_id=instance_id,
        resource=resource,
        part=IdRange(after, until),
        send=send,
        subscription_id=subscription_id,
    )
    chunks = iter(functools.partial(file.read, _CHUNK), b"")
    found = reconciliation.reconcile(runtime, caller, request, chunks)
    with contextlib.closing(found):
        _echo(found, found.rows(), as_json)


def _echo(found: Reconciliation, rows: cabc.Iterable[bytes], as_json: bool) -> None:
    for line in rows:
        if as_json:
            click.echo(line, nl=False)
            continue
        row = orjson.loads(line)
        version = "unknown" if row["version"] is None else f"version {row['version']}"
        sent = f", {row['send']}" if "send" in row else ""
        click.echo(plain(f"{row['why']} {row['objectId']} ({version}){sent}"))
    if as_json:
        echo_json({"compared": found.compared, "counts": found.counts})
        return
    kinds = ", ".join(f"{number} {why}" for why, number in found.counts.items() if number)
    click.echo(f"{counted(found.compared, 'copy', 'copies')} compared: {kinds or 'no difference'}.")
    if found.outcomes:
        sent = ", ".join(f"{number} {one}" for one, number in sorted(found.outcomes.items()))
        click.echo(f"To be sent again: {sent}.")
