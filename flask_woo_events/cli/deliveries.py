"""``flask woo deliveries``: what did not arrive, and sending it again."""

from __future__ import annotations

import dataclasses
import typing as t

import click
from flask.cli import AppGroup

from ..db.models import DeliveryStatus
from ..delivery import redelivery
from ..delivery.redelivery import DeliverySelection
from ..instances import access
from ..runtime import current_runtime
from .output import as_json_option, echo_json, echo_table, errors_as_messages

group = AppGroup("deliveries", help="What did not arrive, and sending it again.")

_instance = click.option("--instance", type=int, required=True, help="Of this instance.")
_HEADINGS = ("id", "notification", "resource", "status", "attempts", "next attempt", "to")


@group.command("list")
@_instance
@click.option("--status", type=click.Choice([*DeliveryStatus]), help="Only in this state.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@as_json_option
@errors_as_messages
def list_(instance: int, status: str | None, limit: int, as_json: bool) -> None:
    """List deliveries, the earliest first."""
    with current_runtime().database.read() as session:
        owner = access.owner(session, instance)
        wanted = DeliverySelection(
            organization_id=owner.organization_id, instance_id=instance, status=status
        )
        found = redelivery.deliveries(session, wanted, limit=limit)
    if as_json:
        for one in found:
            echo_json(dataclasses.asdict(one))
        return
    echo_table(_HEADINGS, [_cells(one) for one in found])


@group.command("redeliver")
@_instance
@click.option("--notification", type=int, help="Only this notification.")
@as_json_option
@errors_as_messages
def redeliver(instance: int, notification: int | None, as_json: bool) -> None:
    """Send again what waits, from its first attempt on, and make its subscription active."""
    runtime = current_runtime()
    with runtime.database.write() as session:
        owner = access.owner(session, instance)
        wanted = DeliverySelection(
            organization_id=owner.organization_id,
            instance_id=instance,
            notification_id=notification,
        )
        count = redelivery.redeliver(session, wanted, runtime.clock())
    if as_json:
        echo_json({"redelivered": count})
    else:
        click.echo(f"{count} deliveries are due again; flask woo poll or deliver sends them")


def _cells(one: redelivery.RedeliveryEntry) -> tuple[t.Any, ...]:
    due = f"{one.due_at:%Y-%m-%d %H:%M:%S}" if one.due_at is not None else "-"
    return (
        one.id,
        one.notification_id,
        one.resource,
        one.status,
        one.attempts,
        due,
        one.subscription.url,
    )
