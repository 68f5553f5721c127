"""``flask woo demo``: changes in a simulated store, and the events that arrive for them."""

from __future__ import annotations

import sys
import threading
import time

import click
import flask
from flask.cli import with_appcontext

from ..simulation import demo as demonstration
from ..values.wording import counted
from .output import errors_as_messages


@click.command("demo")
@click.option("--keep", is_flag=True, help="Keep everything running until Ctrl-C.")
@with_appcontext
@errors_as_messages
def demo(keep: bool) -> None:
    """Change a simulated store and print the events that arrive.

    The exit status is 0 only if every change arrived exactly once with a valid signature.
    """
    began = time.monotonic()
    app = flask.current_app._get_current_object()  # type: ignore[attr-defined]
    summary = demonstration.run(app, click.echo, _wait if keep else None)
    click.echo(
        f"\n{counted(summary.changes, 'change')}, {summary.arrived} arrived, "
        f"{summary.missing} missing, {summary.unexpected} false or repeated, "
        f"{summary.badly_signed} with a wrong signature "
        f"({time.monotonic() - began:.1f} s)"
    )
    if not summary.clean:
        sys.exit(1)


def _wait() -> None:
    click.echo("\nEverything keeps running. Press Ctrl-C to stop.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return
