"""``flask woo listen``: print events as they are recorded, and forward them."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading

import click
from flask.cli import with_appcontext

from ..db import upgrade
from ..db.states import EventType
from ..delivery import following
from ..delivery.following import Places
from ..delivery.forwarding import Forwarder
from ..errors import InputError
from ..instances import access
from ..instances.requests import web_address
from ..runtime import Runtime, current_runtime
from ..worker.worker import Worker, stopping_on_signals
from . import typed
from .listener import Listener, PositionFile, Selection
from .output import ID, as_json_option, errors_as_messages


def _begin(ctx: click.Context, param: click.Parameter, value: str | None) -> str | int | None:
    if value in (None, "start", "now"):
        return value
    if value.isdecimal() and int(value) > 0:
        return int(value)
    raise click.BadParameter("start, now or the number of an event is expected", ctx, param)


@click.command("listen")
@click.option("--forward-to", "url", metavar="URL", help="POST each notification to this URL, too.")
@click.option("--instance", type=ID, metavar="ID", help="Only events of this instance.")
@click.option("--resource", "resources", metavar="NAME", multiple=True,
              help="Only events of this resource. Can be repeated.")  # fmt: skip
@click.option("--type", "types", type=click.Choice([one.value for one in EventType]), multiple=True,
              help="Only events of this type. Can be repeated.")  # fmt: skip
@click.option("--from", "begin", metavar="PLACE", callback=_begin,
              help="Begin at start, now, or with the event of this number; by default where it "
              "ended, and now at the first start.")  # fmt: skip
@click.option("--poll", is_flag=True,
              help="Poll and deliver, too; stores on this machine every two seconds.")  # fmt: skip
@click.option("--resend", type=ID, metavar="NUMBER",
              help="Only send this event to --forward-to, and exit.")  # fmt: skip
@as_json_option
@with_appcontext
@errors_as_messages
def listen(
    url: str | None,
    instance: int | None,
    resources: tuple[str, ...],
    types: tuple[str, ...],
    begin: str | int | None,
    poll: bool,
    resend: int | None,
    as_json: bool,
) -> None:
    """Print events as they are recorded, and forward them.

    It runs until Ctrl-C. Type the number of an event and Enter to send it to --forward-to again.
    """
    runtime = current_runtime()
    upgrade.check(runtime.database.engine)
    if instance is not None:
        with runtime.database.read() as session:
            access.owner(session, instance)
    forwarder = None if url is None else Forwarder(runtime, _checked(url))
    if resend is not None:
        if forwarder is None:
            raise click.UsageError("--resend needs --forward-to URL")
        outcome = forwarder.send([resend])
        click.echo(f"#{resend} -> {outcome.reason}")
        sys.exit(0 if outcome.delivered else 1)
    selection = Selection(instance=instance, resources=frozenset(resources), types=frozenset(types))
    file = PositionFile(runtime.state_file.path, (url, *selection.words))
    places = _places(runtime, file, instance, begin)
    listener = Listener(runtime, selection, places, file, forwarder, as_json=as_json)
    _run(runtime, listener, poll=poll)


def _checked(url: str) -> str:
    try:
        return web_address(url)
    except ValueError as exc:
        raise InputError(f"--forward-to: {exc}") from exc


def _places(
    runtime: Runtime, file: PositionFile, instance: int | None, begin: str | int | None
) -> Places:
    """Return where to begin, and print it."""
    if begin == "start":
        return {}
    kept = file.load() if begin is None else None
    if isinstance(kept, int):
        click.echo(
            "Begins now, since an earlier release had kept the place; to go on after it: "
            f"--from {kept + 1}",
            err=True,
        )
    elif kept is not None:
        click.echo("Goes on where it ended.", err=True)
        return kept
    return following.begin(runtime, instance, begin if isinstance(begin, int) else None)


def _run(runtime: Runtime, listener: Listener, *, poll: bool) -> None:
    """Listen until Ctrl-C; the worker's threads end with it."""
    threading.Thread(target=_read_typed, args=(listener,), daemon=True).start()
    typed.keep_in_background()
    if not poll:
        click.echo("Listening to what flask woo poll records. Press Ctrl-C to stop.", err=True)
        with contextlib.suppress(KeyboardInterrupt):
            listener.run(lambda: False)
        return
    if not logging.getLogger().handlers:
        logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    # Without the bar of baselines: events are printed while it would be drawn.
    worker = Worker(runtime)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            worker.run()
        except BaseException as exc:
            failed.append(exc)

    click.echo("Polling, delivering and listening. Press Ctrl-C to stop.", err=True)
    thread = threading.Thread(target=work, name="woo-listen-worker")
    with stopping_on_signals(worker):
        thread.start()
        try:
            listener.run(lambda: worker.stopped, hurry=True)
        finally:
            worker.stop()
            thread.join()
    if failed:
        raise failed[0]


def _read_typed(listener: Listener) -> None:
    for line in typed.lines():
        listener.typed.put(line)
