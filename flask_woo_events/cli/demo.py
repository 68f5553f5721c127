"""``flask woo demo``: the whole way of an event on this machine."""

from __future__ import annotations

import sys
import threading
import time

import click
import flask
from flask.cli import with_appcontext

from ..simulation import demo as demonstration
from .output import errors_as_messages


@click.command("demo")
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C.")
@with_appcontext
@errors_as_messages
def demo(keep: bool) -> None:
    """Let things happen in a simulated store and show what arrives.

    Exit status 0 only if every change arrived exactly once with a good signature.
    """
    began = time.monotonic()
    app = flask.current_app._get_current_object()  # type: ignore[attr-defined]
    summary = demonstration.run(app, click.echo, _wait if keep else None)
    click.echo(
        f"\n{summary.changes} changes, {summary.arrived} arrived, {summary.missing} missing, "
        f"{summary.unexpected} false or twice, {summary.badly_signed} badly signed "
        f"({time.monotonic() - began:.1f} s)"
    )
    if not summary.good:
        sys.exit(1)


def _wait() -> None:
    click.echo("\nEverything keeps running. Ctrl-C ends it.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return
