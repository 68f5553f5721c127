"""``flask woo erase``: erase a person from the data of an organization."""

from __future__ import annotations

import sys
import time

import click
from flask.cli import with_appcontext

from ..db import vacuum
from ..errors import InputError
from ..runtime import Runtime, current_runtime
from ..sync.erasure import erasures
from ..values.wording import counted
from .output import as_json_option, echo_json, errors_as_messages

#: Seconds between two lines about the progress.
SHOW_EVERY = 2.0
_BY = "the command line"
_TEXTS = {
    "objects": "{} of the person",
    "bodies": "{} in the ledger",
    "events": "{}",
    "waiting": "{} not sent yet, which will be sent without the person",
    "inFlight": "{} claimed by a worker, which may be sent with the person",
    "attempts": "{} of receivers",
    "texts": "{} about stores",
}
_NOUNS = {
    "objects": ("object", "objects"),
    "bodies": ("object", "objects"),
    "events": ("event", "events"),
    "waiting": ("delivery", "deliveries"),
    "inFlight": ("delivery", "deliveries"),
    "attempts": ("answer", "answers"),
    "texts": ("text", "texts"),
}


@click.command("erase")
@click.option(
    "--email", required=True, metavar="ADDRESS", help="Address; - reads it from standard input."
)
@click.option("--organization", metavar="NAME", help="Needed if there are several.")
@click.option("--dry-run", is_flag=True, help="Only count what would be erased.")
@click.option("--lift", is_flag=True, help="Store the person's data again from now on.")
@click.option("--vacuum", "vacuums", is_flag=True, help="Rewrite the database's files afterwards.")
@as_json_option
@with_appcontext
@errors_as_messages
def erase_(
    email: str,
    organization: str | None,
    dry_run: bool,
    lift: bool,
    vacuums: bool,
    as_json: bool,
) -> None:
    """Erase a person, and store nothing of them from now on.

    The person is found by the e-mail address in recorded events, in the ledger and in what
    receivers answered. A command that was stopped goes on when it is started again. The store keeps
    its data; erase it there, too.
    """
    if lift and (dry_run or vacuums):
        raise click.UsageError("--lift excludes --dry-run and --vacuum")
    if email == "-":
        email = sys.stdin.readline(10_000).rstrip("\r\n")
    runtime = current_runtime()
    with runtime.database.read() as session:
        number = erasures.organization_named(session, organization)
    if number is None:
        raise InputError("--organization: name the organization; flask woo users list shows them")
    if lift:
        erasures.lift(runtime, number, email, _BY)
        done = "The person is not suppressed any more: what stores show is recorded again."
        echo_json({"lifted": True}) if as_json else click.echo(done)
        return
    progress = _Progress(shown=not as_json)
    if dry_run:
        result = erasures.search(runtime, number, email, progress=progress)
    else:
        result = erasures.erase(runtime, number, email, _BY, progress=progress)
    if vacuums and not dry_run:
        _vacuum(runtime, as_json)
    if as_json:
        echo_json({"id": result.id, "complete": result.complete, "counts": result.counts})
        return
    click.echo("Would be erased:" if dry_run else "Erased:")
    for name, text in _TEXTS.items():
        click.echo(f"  {text.format(counted(result.counts[name], *_NOUNS[name]))}")
    if not dry_run:
        click.echo("Nothing of the person is stored from now on; --lift ends that.")


def _vacuum(runtime: Runtime, as_json: bool) -> None:
    vacuum.rewrite(runtime.database)
    if not as_json:
        click.echo("The database has rewritten its files.")


class _Progress:
    """Shows how many rows were read, from two seconds on."""

    def __init__(self, *, shown: bool) -> None:
        self._rows = 0
        self._shown_at = time.monotonic() if shown else float("inf")

    def __call__(self, rows: int) -> None:
        self._rows += rows
        if time.monotonic() - self._shown_at >= SHOW_EVERY:
            self._shown_at = time.monotonic()
            click.echo(f"{self._rows:,} rows read", file=sys.stderr)
