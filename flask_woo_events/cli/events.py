"""``flask woo events``: list, show and replay recorded events."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import time

import click
import orjson
from flask.cli import AppGroup

from ..delivery import following
from ..events import event_detail, search
from ..events.catalogue import CATALOGUE
from ..runtime import current_runtime
from ..values.operational_kinds import COMMON_FIELDS, KINDS
from .output import ID, as_json_option, echo_json, echo_table, errors_as_messages, json_text, plain
from .replay import replay_

group = AppGroup("events", help="List, show and replay events.")

#: Seconds between two queries of ``tail``.
TAIL_EVERY = 0.5

_instance = click.option(
    "--instance", type=ID, metavar="ID", help="Only list events of this instance."
)


@group.command("list")
@_instance
@click.option("--resource", metavar="NAME", help="Only list events of this resource.")
@click.option(
    "--object", "object_id", metavar="ID", help="Only list events of the object with this id."
)
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=50,
    show_default=True,
    help="Maximum number of events.",
)
@as_json_option
@errors_as_messages
def list_events(
    instance: int | None, resource: str | None, object_id: str | None, limit: int, as_json: bool
) -> None:
    """List events, newest first."""
    chosen = search.EventFilter(instance_id=instance, resource=resource, object_id=object_id)
    with current_runtime().database.read() as session:
        entries = search.newest(session, chosen, limit)
    if as_json:
        for entry in entries:
            echo_json(dataclasses.asdict(entry))
        return
    echo_table(search.HEADINGS, [search.cells(entry) for entry in entries])


@group.command("show")
@click.argument("event_id", type=ID)
@as_json_option
@errors_as_messages
def show(event_id: int, as_json: bool) -> None:
    """Show an event with its object and the attempts to deliver it."""
    with current_runtime().database.read() as session:
        detail = event_detail.load(session, event_id)
    if as_json:
        echo_json(dataclasses.asdict(detail))
        return
    echo_table(search.HEADINGS, [search.cells(detail.entry)])
    if detail.entry.changed_fields:
        click.echo(plain(f"changed: {', '.join(detail.entry.changed_fields)}"))
    if detail.changes is not None:
        for path, value in detail.changes.values.items():
            click.echo(plain(f"  {path}: {_brief(value)}"))
        if detail.changes.truncated:
            click.echo("  not all changes are shown: together they are too long")
    for attempt in detail.attempts:
        said = f"{attempt.at:%Y-%m-%d %H:%M:%S} {attempt.seconds:.2f} s  {attempt.reason}"
        click.echo(plain(said))
    click.echo(json_text(detail.body, orjson.OPT_INDENT_2))


def _brief(value: cabc.Mapping[str, object]) -> str:
    """Return values before and after as a line."""
    if not value:
        return "too long to be kept"
    texts = {name: orjson.dumps(one).decode() for name, one in value.items()}
    cut = {name: text if len(text) <= 60 else text[:57] + "..." for name, text in texts.items()}
    if "before" not in cut:
        return f"added {cut['after']}"
    return f"{cut['before']} -> {cut['after']}" if "after" in cut else f"removed {cut['before']}"


@group.command("tail")
@_instance
@as_json_option
@errors_as_messages
def tail(instance: int | None, as_json: bool) -> None:
    """Print events as they are recorded, until Ctrl-C."""
    runtime = current_runtime()
    places = following.begin(runtime, instance)
    try:
        while True:
            for found in following.read(runtime, places, instance):
                places = found.places
                for entry in found.entries:
                    if as_json:
                        echo_json(dataclasses.asdict(entry))
                    else:
                        click.echo(plain("  ".join(search.cells(entry))))
            time.sleep(TAIL_EVERY)
    except KeyboardInterrupt:
        return


@group.command("types")
@click.option("--operational", is_flag=True, help="List the kinds of operational events instead.")
@as_json_option
def types(operational: bool, as_json: bool) -> None:
    """List the types of events and when they are sent."""
    if operational:
        _operational_kinds(as_json)
        return
    if as_json:
        for entry in CATALOGUE:
            echo_json(dataclasses.asdict(entry))
        return
    echo_table(
        ("resource", "event", "sent when"),
        [(one.resource, one.event_type, one.when) for one in CATALOGUE],
    )


def _operational_kinds(as_json: bool) -> None:
    if as_json:
        for kind in KINDS.values():
            echo_json({**dataclasses.asdict(kind), "fields": [*COMMON_FIELDS, *kind.fields]})
        return
    echo_table(
        ("kind", "ends", "fields", "sent when"),
        [(one.name, one.ends or "-", ", ".join(one.fields), one.when) for one in KINDS.values()],
    )


group.add_command(replay_)
