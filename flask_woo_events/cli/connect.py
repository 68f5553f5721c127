"""``flask woo connect``: connect a store with one command."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import sys
import typing as t
import urllib.parse

import click
from flask.cli import with_appcontext

from ..db import upgrade
from ..errors import (
    AddressRefusedError,
    ConflictError,
    InputError,
    StoreAccessError,
    StoreFirewallError,
    TransportError,
    UnreachableError,
)
from ..http.address_guard import AddressGuard
from ..http.exchange import reach
from ..instances import accounts, provisioning, store_addresses, views
from ..instances.polled_resources import default_configuration
from ..instances.requests import InstanceRequest, key_of
from ..instances.views import InstanceView
from ..runtime import Runtime, current_runtime
from ..values.cloud_elements import ELEMENT_KEY
from ..values.validation import validated
from ..values.wording import counted
from ..woocommerce.client import store_root
from .output import as_json_option, echo_json, errors_as_messages, plain
from .progress import saying

#: Read from the prompt or the standard input.
ASK = "-"


@click.command("connect")
@click.argument("url")
@click.argument("key", envvar="WOO_STORE_KEY", default=ASK)
@click.argument("secret", envvar="WOO_STORE_SECRET", default=ASK)
@click.option("--callback", metavar="URL", help="URL to which notifications are sent.")
@click.option(
    "--signature-key",
    envvar="WOO_SIGNATURE_KEY",
    metavar="KEY",
    help="Key that signs the notifications; - asks for it.",
)
@click.option("--name", help="Name of the instance, by default the host of the store.")
@click.option(
    "--interval",
    type=click.IntRange(1, 527_040),
    default=15,
    show_default=True,
    metavar="MINUTES",
    help="Minutes between two polls.",
)
@click.option(
    "--resource",
    "resources",
    metavar="NAME",
    multiple=True,
    help="Resource to poll, by default customers, discounts, orders and products. Can be repeated.",
)
@click.option("--organization", metavar="NAME", help="Organization, if there are several.")
@click.option("--again", is_flag=True, help="Connect a store that is connected already.")
@as_json_option
@with_appcontext
@errors_as_messages
def connect(
    url: str,
    key: str,
    secret: str,
    organization: str | None,
    again: bool,
    as_json: bool,
    **chosen: t.Any,
) -> None:
    """Connect a store with one command.

    URL is the address of the WooCommerce store, KEY and SECRET are its consumer key and consumer
    secret. They are also read from WOO_STORE_KEY and WOO_STORE_SECRET, or asked for if they are
    left out or -. Without --callback, events go to functions of the application.
    """
    runtime = current_runtime()
    upgrade.check(runtime.database.engine)
    root = store_root(url)
    keys = _asked(key, "Consumer key"), _asked(secret, "Consumer secret")
    request = validated(InstanceRequest, _request(root, keys, **chosen))
    silent = _reach(runtime, chosen["callback"]) if chosen["callback"] else ""
    with runtime.database.write() as session:
        caller = accounts.sole_caller(session, organization, runtime.clock())
        known = [
            one for one in store_addresses.at(session, root)
            if one.organization_id == caller.organization_id
        ]  # fmt: skip
        if known and not again:
            raise ConflictError(
                f"{root} is connected already, as instance {known[0].instance_id}; change it with "
                f"flask woo instances change {known[0].instance_id} FILE, or add --again to "
                "connect it a second time"
            )
    base = runtime.settings.public_url or ""
    with _with_fix(), saying(f"Waiting for {root} ..."):
        instance_id, _token = provisioning.create(runtime, caller, request, base)
    with runtime.database.read() as session:
        view = views.get(session, caller, instance_id, runtime.clock())
    _show(view, root, as_json)
    if silent:
        click.echo(f"The callback does not answer yet: {silent}", err=True)


@contextlib.contextmanager
def _with_fix() -> cabc.Iterator[None]:
    """Add to an error of the store what to do."""
    try:
        yield
    except StoreFirewallError:
        raise  # It names its own fix.
    except StoreAccessError as exc:
        raise ConflictError(
            f"{str(exc).rstrip('.')}. Check the keys in WooCommerce > Settings > Advanced > "
            "REST API."
        ) from exc
    except UnreachableError as exc:
        raise ConflictError(
            f"{exc}. Is the URL right, and does the store run? flask woo simulate starts a "
            "simulated one."
        ) from exc


def _asked(given: str, what: str) -> str:
    """Return a secret that was given, or ask for it without showing it."""
    if given != ASK:
        return given
    if sys.stdin.isatty():
        return str(click.prompt(what, hide_input=True))
    text = sys.stdin.readline().strip()
    if not text:
        raise InputError(f"{what}: nothing was given; pass it as an argument or in a variable")
    return text


def _request(
    url: str,
    keys: tuple[str, str],
    *,
    callback: str | None,
    signature_key: str | None,
    name: str | None,
    interval: int,
    resources: tuple[str, ...],
) -> dict[str, t.Any]:
    """Return the body of ``POST /instances``."""
    configuration: dict[str, t.Any] = {
        key_of("store_url"): url,
        key_of("api_key"): keys[0],
        key_of("api_secret"): keys[1],
        key_of("enabled"): True,
        key_of("vendor_type"): "polling",
        key_of("refresh_minutes"): str(interval),
    }
    if callback:
        configuration[key_of("callback_url")] = callback
    if signature_key:
        configuration[key_of("signature_key")] = _asked(signature_key, "Signature key")
    if resources:
        configuration[key_of("poller_configuration")] = default_configuration(resources)
    host = urllib.parse.urlsplit(url).netloc
    return {"element": {"key": ELEMENT_KEY}, "configuration": configuration, "name": name or host}


def _reach(runtime: Runtime, url: str) -> str:
    """Open a connection to a callback; return why that is not possible yet.

    :raises InputError: the settings do not allow its address.
    """
    guard = AddressGuard(allow_private=runtime.settings.allow_private_callbacks)
    try:
        reach(url, guard=guard, timeouts=runtime.callback_timeouts)
    except AddressRefusedError as exc:
        raise InputError(f"--callback: {exc}") from exc
    except TransportError as exc:
        return str(exc)
    return ""


def _show(view: InstanceView, root: str, as_json: bool) -> None:
    facts = view.store_facts
    resources = [one.resource for one in view.pollers]
    if as_json:
        version = str(facts.get("version", ""))
        echo_json({"id": view.id, "name": view.name, "store": root, "version": version,
                   "resources": resources, "minutes": view.refresh_minutes,
                   "callback": view.callback_url})  # fmt: skip
        return
    version = f"WooCommerce {facts['version']}" if facts.get("version") else "WooCommerce"
    every = "minute" if view.refresh_minutes == 1 else counted(view.refresh_minutes, "minute")
    click.echo(plain(f"Connected {root} as instance {view.id}. The store answered: {version}."))
    click.echo(f"It is polled every {every} for {', '.join(resources)}.")
    click.echo(f"Events go to {view.callback_url or 'functions of the application'}.")
    click.echo("Next: flask woo listen --poll")
