"""``flask woo webhooks``: register, list, check and remove webhooks at a store."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import sys

import click
from flask.cli import AppGroup

from ..instances import access, webhooks
from ..runtime import Runtime, current_runtime
from ..values.wording import counted
from ..woocommerce.webhooks import Webhook
from .output import ID, as_json_option, echo_json, echo_table, errors_as_messages

group = AppGroup("webhooks", help="Register, list, check and remove the webhooks of an instance.")


@group.command("register")
@click.argument("instance_id", type=ID)
@click.option("--rotate", is_flag=True, help="Give the webhooks a new secret.")
@as_json_option
@errors_as_messages
def register(instance_id: int, rotate: bool, as_json: bool) -> None:
    """Make sure that the store has one healthy webhook for each topic.

    Exit status 1 if a topic has no webhook.
    """
    runtime = _runtime_with(instance_id)
    act = webhooks.rotate if rotate else webhooks.reconcile
    found = act(runtime, instance_id)
    _echo(found.webhooks, as_json)
    if not as_json:
        lacking = {one.topic for one in found.webhooks if one.status != "active"}
        for line in found.repaired:
            outcome = "not repaired" if line.partition(" ")[0] in lacking else "repaired"
            click.echo(f"{outcome}: {line}")
    if not found.healthy:
        sys.exit(1)


@group.command("list")
@click.argument("instance_id", type=ID)
@as_json_option
@errors_as_messages
def list_webhooks(instance_id: int, as_json: bool) -> None:
    """List the instance's webhooks as the store shows them."""
    _echo(webhooks.read_registered(_runtime_with(instance_id), instance_id), as_json)


@group.command("check")
@click.argument("instance_id", type=ID)
@errors_as_messages
def check(instance_id: int) -> None:
    """Check the webhooks at the store without changing them.

    Each topic needs one healthy webhook. Exit status 1 if one has none.
    """
    problems = webhooks.check(_runtime_with(instance_id), instance_id)
    for line in problems:
        click.echo(line)
    if problems:
        click.echo(f"To repair them: flask woo webhooks register {instance_id}", err=True)
        sys.exit(1)
    click.echo("All webhooks are registered and active.")


@group.command("remove")
@click.argument("instance_id", type=ID)
@errors_as_messages
def remove(instance_id: int) -> None:
    """Remove the instance's webhooks from the store.

    Other webhooks of the store are kept.
    """
    removed = webhooks.remove(_runtime_with(instance_id), instance_id)
    click.echo(f"{counted(removed, 'webhook')} removed.")


@group.command("url")
@click.argument("instance_id", type=ID)
@as_json_option
@errors_as_messages
def url(instance_id: int, as_json: bool) -> None:
    """Print the URL and the secret to create a webhook by hand.

    In WooCommerce: Settings > Advanced > Webhooks > Add webhook.
    """
    address, secret = webhooks.url(_runtime_with(instance_id), instance_id)
    if as_json:
        echo_json({"url": address, "secret": secret})
        return
    click.echo(f"Delivery URL  {address}\nSecret        {secret}")


def _runtime_with(instance_id: int) -> Runtime:
    """Return the runtime after checking that the instance exists."""
    runtime = current_runtime()
    with runtime.database.read() as session:
        access.owner(session, instance_id)
    return runtime


def _echo(found: cabc.Iterable[Webhook], as_json: bool) -> None:
    if as_json:
        for one in found:
            echo_json(dataclasses.asdict(one))
        return
    rows = [(one.topic, one.id or "-", one.status, one.error or "") for one in found]
    echo_table(("topic", "id", "status", "error"), rows)
