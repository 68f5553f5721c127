"""``/events``: the event log, one event, and the history of one object."""

from __future__ import annotations

import collections.abc as cabc
import csv
import dataclasses
import datetime as dt
import io
import typing as t

import flask
import orjson
from sqlalchemy import orm

from ..db.states import HTTP_CHANNELS, DeliveryStatus, EventType
from ..delivery import sent_request
from ..delivery.sent_request import SentRequest
from ..errors import InputError
from ..events import event_detail, search
from ..events.catalogue import CATALOGUE
from ..events.event_detail import DeliveryEntry
from ..events.search import EventFilter
from ..instances import lifecycle
from ..runtime import current_runtime
from ..values.cloud_elements import ELEMENT_KEY, Format
from ..values.operational_kinds import KINDS
from . import access, formatting, instance_status, object_history
from .access import EVENT, INSTANCE, Answer

#: Events on a page, and rows of a CSV file, as documented.
PAGE, CSV_ROWS = 50, 10_000
#: Rows read in one query for a CSV file.
_CHUNK = 500
_COLUMNS = (
    "Timestamp", "Status", "Element Instance", "Element", "Id", "Error", "Account",
    "Event Type", "Resource", "Object", "Version", "Source", "Instance Id",
)  # fmt: skip
#: Characters with which spreadsheets start a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequestsOfDelivery:
    """The requests of the attempts of one delivery, which have the same body."""

    by_date: cabc.Mapping[dt.datetime, SentRequest]
    body: t.Any
    #: Why the headers lack what depends on secrets; empty if they are complete.
    incomplete: str


def register(blueprint: flask.Blueprint) -> None:
    """Add the routes."""
    add = blueprint.add_url_rule
    add("/events", view_func=listed, endpoint="events")
    add("/events/types", view_func=types, endpoint="event_types")
    add("/events.csv", view_func=as_csv, endpoint="events_csv")
    add(f"/events/{EVENT}", view_func=shown, endpoint="event")
    add(f"/events/{EVENT}.json", view_func=body, endpoint="event_json")
    path = f"/instances/{INSTANCE}/objects/<resource>/<path:object_id>"
    add(path, view_func=versions, endpoint="object")


def listed() -> Answer:
    """List the events that match the filters, the newest first."""
    runtime, caller = current_runtime(), access.caller()
    chosen, error = _filters()
    before = access.number("before")
    with runtime.database.read() as session:
        page = search.search(session, chosen, before, PAGE)
        return flask.render_template(
            "woo_console/events.html",
            page=page,
            chosen=chosen,
            error=error,
            args={name: text for name, text in flask.request.args.items() if text},
            paged=before is not None,
            instances=instance_status.choices(session, caller),
            names=instance_status.names(session, caller, {one.instance_id for one in page.entries}),
            types=EventType,
            statuses=DeliveryStatus,
        )


def types() -> Answer:
    """List the types of events and when they are sent."""
    return flask.render_template(
        "woo_console/types.html",
        catalogue=CATALOGUE,
        operational=KINDS.values(),
        formats=Format,
        reference=f"{current_runtime().api_base()}/docs",
    )


def as_csv() -> Answer:
    """Stream the first 10,000 events that match the filters as CSV."""
    runtime, caller = current_runtime(), access.caller()
    chosen, error = _filters()
    if error:
        raise InputError(error)
    organization = access.visitor().organization

    def rows() -> cabc.Iterator[str]:
        yield _line(_COLUMNS)
        before, left = None, CSV_ROWS
        while left > 0:
            # A session for each chunk: a slow download keeps no transaction open.
            with runtime.database.read() as session:
                page = search.search(session, chosen, before, min(_CHUNK, left))
                ids = {one.instance_id for one in page.entries}
                names = instance_status.names(session, caller, ids)
            for entry in page.entries:
                yield _line(_cells(entry, names.get(entry.instance_id, ""), organization))
            left, before = left - len(page.entries), page.before
            if before is None:
                return

    return flask.Response(
        rows(),
        mimetype="text/csv",
        headers={"Content-Disposition": 'attachment; filename="events.csv"'},
    )


def shown(event_id: int) -> Answer:
    """Show one event: what changed, the object, and each delivery attempt."""
    runtime, caller = current_runtime(), access.caller()
    with runtime.database.read() as session:
        detail = event_detail.load(session, event_id, caller.organization_id)
        entry = detail.entry
        differences = None
        if entry.event_type == EventType.UPDATED:
            before = object_history.previous(session, event_id)
            differences = object_history.differences_of(detail.changes, before, detail.body)
        requests = {
            one.id: _requests(session, entry, one)
            for one in detail.deliveries
            if one.channel in HTTP_CHANNELS and one.has_event
        }
        return flask.render_template(
            "woo_console/event.html",
            detail=detail,
            entry=entry,
            differences=differences,
            requests=requests,
            # All bodies of a page together are as long as one may be.
            body_shown=formatting.BODY_SHOWN // max(len(requests), 1),
            name=instance_status.names(session, caller, {entry.instance_id})[entry.instance_id],
        )


def _requests(
    session: orm.Session, entry: search.EventEntry, delivery: DeliveryEntry
) -> RequestsOfDelivery:
    """Return what was sent to one subscription, in its format and with its credentials."""
    runtime = current_runtime()
    dates = list(dict.fromkeys(one.at for one in delivery.attempts))
    *sent, following = sent_request.of(
        session, runtime.cipher_or_none, entry.notification_id, [*dates, None],
        runtime.retired_after, delivery.subscription_id, entry.id,
    )  # fmt: skip
    return RequestsOfDelivery(
        by_date=dict(zip(dates, sent, strict=True)),
        body=orjson.loads(following.body),
        incomplete=following.incomplete,
    )


def body(event_id: int) -> Answer:
    """Send the complete object of one event as a download."""
    with current_runtime().database.read() as session:
        detail = event_detail.load(session, event_id, access.caller().organization_id)
    return flask.Response(
        orjson.dumps(detail.body, option=orjson.OPT_INDENT_2),
        mimetype="application/json",
        headers={"Content-Disposition": f'attachment; filename="event-{event_id}.json"'},
    )


def versions(instance_id: int, resource: str, object_id: str) -> Answer:
    """Show the stored versions of one object, the newest first."""
    with current_runtime().database.read() as session:
        instance = lifecycle.find(session, access.caller(), instance_id)
        found = object_history.versions(session, instance_id, resource, object_id)
        return flask.render_template(
            "woo_console/object.html",
            versions=found,
            instance_id=instance_id,
            name=instance.name,
            resource=resource,
            object_id=object_id,
            most=object_history.VERSIONS_MOST,
        ), 200 if found else 404


def _filters() -> tuple[EventFilter, str]:
    """Return the filters of the query, and what is wrong with them."""
    args, error = flask.request.args, ""
    dates: dict[str, dt.datetime | None] = {}
    for name in ("since", "until"):
        try:
            dates[name] = formatting.date(args.get(name, ""))
        except InputError as exc:
            dates[name], error = None, str(exc)
    event_type, status = args.get("type", ""), args.get("status", "")
    return EventFilter(
        organization_id=access.caller().organization_id,
        instance_id=access.number("instance"),
        resource=args.get("resource", "").strip()[:190] or None,
        object_id=args.get("object", "").strip()[:190] or None,
        notification_id=access.number("notification"),
        event_type=event_type if event_type in set(EventType) else None,
        status="" if status == "none" else status if status in set(DeliveryStatus) else None,
        since=dates["since"],
        until=dates["until"],
        text=args.get("text", "").strip()[:200],
    ), error


def _cells(entry: search.EventEntry, name: str, organization: str) -> tuple[str, ...]:
    return (
        f"{entry.created_at:%Y-%m-%dT%H:%M:%SZ}",
        entry.status or "no callback",
        name,
        ELEMENT_KEY,
        str(entry.id),
        entry.error,
        organization,
        entry.event_type,
        entry.resource,
        entry.object_id,
        str(entry.version),
        entry.source,
        str(entry.instance_id),
    )


def _line(cells: cabc.Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(
        # Names come from outside; a spreadsheet must not run them as formulas.
        [f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells]
    )
    return text.getvalue()
