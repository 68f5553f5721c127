"""``flask woo events replay``: events told once more."""

from __future__ import annotations

import datetime as dt
import sys
import typing as t

import click
from flask.cli import with_appcontext

from ..db.models import EventType
from ..delivery import replay
from ..delivery.replay import ReplaySelection
from ..errors import InputError
from ..events.notifications import NotificationRecord
from ..instances.requests import web_address
from ..runtime import Runtime, current_runtime
from ..values.dates import parse_iso
from .output import as_json_option, echo_json, errors_as_messages

#: Notifications of one call, unless more are asked for.
LIMIT = 1_000


def _moment(ctx: click.Context, param: click.Parameter, value: str | None) -> dt.datetime | None:
    """A date with or without time; without a zone it is UTC."""
    if value is None:
        return None
    try:
        return parse_iso(value)
    except ValueError:
        raise click.BadParameter(
            "write a date such as 2026-11-23 or 2026-11-23T21:15:00", ctx, param
        ) from None


@click.command("replay")
@click.argument("event_ids", type=int, nargs=-1, metavar="[EVENT_ID]...")
@click.option("--instance", type=int, help="Only of this instance.")
@click.option("--resource", help="Only of this resource.")
@click.option("--object", "object_id", help="Only of the object with this id.")
@click.option("--type", "types", type=click.Choice([*EventType]), multiple=True)
@click.option("--since", metavar="DATE", callback=_moment, help="Recorded from then on, UTC.")
@click.option("--until", metavar="DATE", callback=_moment, help="Recorded before then, UTC.")
@click.option("--to", "url", help="Post them to this address instead, now and once.")
@click.option("--limit", type=click.IntRange(1), default=LIMIT, show_default=True)
@click.option("--dry-run", is_flag=True, help="Only say what would be told.")
@as_json_option
@with_appcontext
@errors_as_messages
def replay_(
    event_ids: tuple[int, ...],
    url: str | None,
    limit: int,
    dry_run: bool,
    as_json: bool,
    **chosen: t.Any,
) -> None:
    """Tell events once more.

    To the callback whole notifications are sent again, with the ids that they had; the worker
    sends them. To another address go only the events that were chosen.
    """
    choice = ReplaySelection(event_ids=event_ids, **_named(chosen))
    if choice == ReplaySelection():
        raise click.UsageError("say which events: by id, --instance, --object, --since, ...")
    runtime = current_runtime()
    with runtime.database.read() as session:
        planned = replay.plan(session, choice, limit + 1)
    if len(planned) > limit:
        click.echo(f"only the first {limit} notifications; more with --limit", err=True)
    planned = planned[:limit]
    if dry_run:
        for one in planned:
            _echo(one, "would be told", as_json)
    elif url is not None:
        _elsewhere(runtime, planned, url, as_json)
    else:
        with runtime.database.write() as session:
            count = replay.to_callbacks(session, planned, runtime.clock())
        if as_json:
            echo_json({"notifications": len(planned), "deliveries": count})
        else:
            click.echo(f"{count} deliveries are due again; flask woo poll or deliver sends them")


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


def _echo(one: NotificationRecord, said: str, as_json: bool) -> None:
    events = [f"{event.event_type} {event.object_id} v{event.version}" for event in one.events]
    if as_json:
        echo_json(
            {
                "notification": one.id,
                "eventId": one.event_id,
                "instance": one.instance_id,
                "resource": one.resource,
                "events": [event.id for event in one.events],
                "outcome": said,
            }
        )
    else:
        click.echo(f"notification {one.id} {one.resource}: {', '.join(events)}: {said}")
