"""``flask woo deliveries``: list deliveries and send undelivered notifications again."""

from __future__ import annotations

import dataclasses
import typing as t

import click
from flask.cli import AppGroup

from ..db.states import DeliveryStatus
from ..delivery import redelivery
from ..delivery.redelivery import DeliverySelection
from ..instances import access
from ..runtime import current_runtime
from .output import ID, as_json_option, echo_json, echo_scheduled, echo_table, errors_as_messages

group = AppGroup("deliveries", help="List deliveries, and send undelivered notifications again.")

_instance = click.option(
    "--instance", type=ID, metavar="ID", required=True, help="Id of the instance."
)
_HEADINGS = ("id", "notification", "resource", "status", "attempts", "next attempt", "to")


@group.command("list")
@_instance
@click.option(
    "--status",
    type=click.Choice([one.value for one in DeliveryStatus]),
    help="Only list deliveries with this status.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Maximum number of deliveries.",
)
@as_json_option
@errors_as_messages
def list_(instance: int, status: str | None, limit: int, as_json: bool) -> None:
    """List deliveries, oldest first."""
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
@click.option(
    "--notification",
    type=ID,
    metavar="ID",
    help="Only send the notification with this id, and the parts that were divided from it.",
)
@click.option(
    "--subscription",
    type=ID,
    metavar="ID",
    help="Only send what waits for this subscription.",
)
@as_json_option
@errors_as_messages
def redeliver(
    instance: int, notification: int | None, subscription: int | None, as_json: bool
) -> None:
    """Send undelivered notifications again, and activate their subscriptions.

    Each delivery starts again with its first attempt.
    """
    runtime = current_runtime()
    with runtime.database.write() as session:
        owner = access.owner(session, instance)
        wanted = DeliverySelection(
            organization_id=owner.organization_id,
            instance_id=instance,
            notification_id=notification,
            subscription_id=subscription,
        )
        count = redelivery.redeliver(session, wanted, runtime.clock())
    if as_json:
        echo_json({"redelivered": count})
    else:
        echo_scheduled(count)


def _cells(one: redelivery.RedeliveryEntry) -> tuple[t.Any, ...]:
    due = f"{one.due_at:%Y-%m-%d %H:%M:%S}" if one.due_at is not None else "-"
    return (
        one.id,
        one.notification_id
        if one.origin_id is None
        else f"{one.notification_id} ({one.origin_id})",
        one.resource,
        one.status,
        one.attempts,
        due,
        one.subscription.url,
    )
