"""``flask woo simulate``: serve a simulated WooCommerce store."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import shlex
import threading

import click

from ..errors import ConflictError, InputError, NotFoundError
from ..simulation import busy_store, triggers
from ..simulation.changing_store import ChangingStore, client_of
from ..simulation.store import VERSIONS, SimulatedStore
from ..woocommerce.client import StoreClient
from . import typed
from .output import errors_as_messages

#: Where the store is, and its keys, unless options say otherwise.
HOST, PORT = "127.0.0.1", 8100
KEY, SECRET = "ck_simulated", "cs_simulated"


def _rate(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    try:
        return None if value is None else busy_store.parse_rate(value)
    except InputError as exc:
        raise click.BadParameter(str(exc), ctx, param) from None


@click.command("simulate")
@click.option(
    "--version",
    default="11.0",
    show_default=True,
    type=click.Choice(list(VERSIONS)),
    help="WooCommerce version to simulate.",
)
@click.option("--host", default=HOST, show_default=True, help="Address to listen on.")
@click.option("--port", default=PORT, show_default=True, help="Port to listen on.")
@click.option("--orders", default=100, show_default=True, help="Number of orders in the store.")
@click.option("--products", default=20, show_default=True, help="Number of products.")
@click.option("--coupons", default=5, show_default=True, help="Number of coupons.")
@click.option("--customers", default=30, show_default=True, help="Number of customers.")
@click.option("--journal", is_flag=True, help="Install the companion plugin.")
@click.option(
    "--busy",
    metavar="RATE",
    callback=_rate,
    help="Change by itself, so many times per unit of time: 20/min, 2/s or 90/h.",
)
@click.option(
    "--seed",
    default=7,
    show_default=True,
    help="Stores of one seed have the same objects, and change in the same way.",
)
@errors_as_messages
def simulate(
    version: str,
    host: str,
    port: int,
    journal: bool,
    busy: float | None,
    seed: int,
    **sizes: int,
) -> None:
    """Serve a simulated store until Ctrl-C.

    While it runs, type the name of a trigger and Enter to make that change, for example
    order.completed.
    """
    store = SimulatedStore(version, consumer_key=KEY, consumer_secret=SECRET, journal=journal)
    store.populate(**sizes, seed=seed)
    store.webhooks.auto = True
    store.control.open()
    try:
        server = store.serve(host, port)
    except OSError as exc:
        raise ConflictError(
            f"cannot listen on {host}:{port}: {exc.strerror or exc}. If another store runs there, "
            f"stop it or choose another port: --port {min(port + 1, 65_535)}"
        ) from exc
    stop = threading.Event()
    with server as url:
        click.echo(f"store.url         {url}")
        click.echo(f"oauth.api.key     {KEY}")
        click.echo(f"oauth.api.secret  {SECRET}")
        click.echo(f"connect it with   flask woo connect {shlex.quote(url)} {KEY} {SECRET} "
                   "--interval 1")  # fmt: skip
        click.echo(f"Serving the REST API of WooCommerce {version}. Press Ctrl-C to stop.")
        client = client_of(url, KEY, SECRET)
        typed.keep_in_background()
        _in_background(_read_names, client)
        if busy is not None:
            _in_background(busy_store.BusyStore(client, seed, click.echo).run, busy, stop)
        with contextlib.suppress(KeyboardInterrupt):
            stop.wait()
        stop.set()
        click.echo("stopped")


def _in_background(work: cabc.Callable[..., None], *args: object) -> None:
    threading.Thread(target=work, args=args, daemon=True).start()


def _read_names(client: StoreClient) -> None:
    """Make the changes whose names are typed."""
    # The oldest objects: those that are a second old no poll knows, so that they would be CREATED.
    changed = ChangingStore(client, simulated=True, choose=lambda rows: rows[-1])
    for name in typed.lines():
        try:
            busy_store.perform(triggers.find(name), changed, click.echo)
        except NotFoundError as exc:
            click.echo(str(exc), err=True)
