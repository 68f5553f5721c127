"""``flask woo events replay``: send recorded events again."""

from __future__ import annotations

import collections
import sys
import typing as t

import click
from flask.cli import with_appcontext

from ..db.states import EventType
from ..delivery import replay
from ..delivery.replay import ReplaySelection
from ..errors import InputError
from ..events.notifications import NotificationRecord
from ..instances.requests import web_address
from ..runtime import Runtime, current_runtime
from ..values.wording import counted
from .output import (
    ID,
    as_date,
    as_json_option,
    echo_json,
    echo_scheduled,
    errors_as_messages,
    plain,
)

#: The default maximum of notifications.
LIMIT = 1_000


@click.command("replay")
@click.argument("event_ids", type=ID, nargs=-1, metavar="[EVENT_ID]...")
@click.option("--instance", type=ID, metavar="ID", help="Only replay events of this instance.")
@click.option("--resource", metavar="NAME", help="Only replay events of this resource.")
@click.option(
    "--object", "object_id", metavar="ID", help="Only replay events of the object with this id."
)
@click.option(
    "--type",
    "types",
    type=click.Choice([one.value for one in EventType]),
    multiple=True,
    help="Only replay events of this type. Can be repeated.",
)
@click.option(
    "--since",
    metavar="DATE",
    callback=as_date,
    help="Only replay events recorded at or after this date, UTC.",
)
@click.option(
    "--until",
    metavar="DATE",
    callback=as_date,
    help="Only replay events recorded before this date, UTC.",
)
@click.option(
    "--to", "url", metavar="URL", help="Post the events to this URL instead, immediately and once."
)
@click.option(
    "--subscription",
    type=ID,
    metavar="ID",
    help="Send them to this subscription only, by default to all of the instance.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=LIMIT,
    show_default=True,
    help="Maximum number of notifications.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be sent.")
@as_json_option
@with_appcontext
@errors_as_messages
def replay_(
    event_ids: tuple[int, ...],
    url: str | None,
    subscription: int | None,
    limit: int,
    dry_run: bool,
    as_json: bool,
    **chosen: t.Any,
) -> None:
    """Send recorded events again.

    To the callbacks, complete notifications are sent again with their original ids, by a worker.
    To another URL, only the selected events are sent.
    """
    selection = ReplaySelection(event_ids=event_ids, **_named(chosen))
    if selection == ReplaySelection():
        raise click.UsageError("select events by id, --instance, --object, --since, ...")
    if url is not None and subscription is not None:
        raise click.UsageError("--to and --subscription exclude each other")
    runtime = current_runtime()
    with runtime.database.read() as session:
        if subscription is not None:
            selection = replay.for_subscription(session, selection, subscription)
        planned = replay.plan(session, selection, limit + 1)
        left_out = replay.left_out(session, planned[:limit], subscription) if url is None else {}
    if len(planned) > limit:
        click.echo(f"Only the first {limit} notifications; raise --limit for more.", err=True)
    planned = planned[:limit]
    if dry_run:
        for one in planned:
            reason = left_out.get(one.id)
            outcome = "would be sent" if reason is None else f"would not be sent: {reason}"
            _echo(one, outcome, as_json)
    elif url is not None:
        _elsewhere(runtime, planned, url, as_json)
    else:
        with runtime.database.write() as session:
            count = replay.to_callbacks(session, planned, runtime.clock(), subscription)
        if as_json:
            echo_json({"notifications": len(planned), "deliveries": count})
        else:
            echo_scheduled(count)
            for reason, number in collections.Counter(left_out.values()).items():
                click.echo(f"{counted(number, 'notification')} left out: {reason}.", err=True)


def _named(chosen: dict[str, t.Any]) -> dict[str, t.Any]:
    return {("instance_id" if name == "instance" else name): one for name, one in chosen.items()}


def _elsewhere(
    runtime: Runtime, planned: list[NotificationRecord], url: str, as_json: bool
) -> None:
    try:
        web_address(url)
    except ValueError as exc:
        raise InputError(f"--to: {exc}") from exc
    failed = 0
    for one, outcome in replay.to_address(runtime, planned, url):
        failed += not outcome.delivered
        _echo(one, outcome.reason, as_json)
    if failed:
        sys.exit(1)


def _echo(one: NotificationRecord, outcome: str, as_json: bool) -> None:
    events = [f"{event.event_type} {event.object_id} v{event.version}" for event in one.events]
    if as_json:
        echo_json(
            {
                "notification": one.id,
                "eventId": one.event_id,
                "instance": one.instance_id,
                "resource": one.resource,
                "events": [event.id for event in one.events],
                "outcome": outcome,
            }
        )
    else:
        click.echo(plain(f"notification {one.id} {one.resource}: {', '.join(events)}: {outcome}"))
