"""``/instances/events``: recorded events, their deliveries and their counts."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import typing as t

import flask

from ..errors import AccessError, ForbiddenError, InputError
from ..instances import lifecycle
from ..instances.accounts import Caller
from ..runtime import current_runtime
from ..values.dates import parse_iso
from ..values.validation import whole_number
from . import analytics, event_records, event_responses
from .event_records import Scope
from .request import caller, instance_of, page_size, refuse_others
from .responses import ApiResponse, dump, dump_all

Answers = list[dict[str, t.Any]]


def register(blueprint: flask.Blueprint) -> None:
    """Add the routes; without an instance id they cover all of the caller's, or the token's."""
    add = blueprint.add_url_rule
    for path in ("/instances/events", "/instances/<instance_id>/events"):
        add(path, view_func=list_events, methods=["GET"])
        add(f"{path}/<event_id>", view_func=show_event, methods=["GET"])
    add("/instances/events/analytics", view_func=count_events, methods=["GET"])
    add("/instances/events/analytics/accounts", view_func=count_by_account, methods=["GET"])
    add("/instances/events/analytics/instances", view_func=count_by_instance, methods=["GET"])
    add("/instances/events/dispositions", view_func=dispositions, methods=["GET"])
    add("/instances/event-poller-records", view_func=poller_records, methods=["GET"])
    add("/instances/polling-disabled", view_func=polling_disabled, methods=["GET"])
    add("/jobs/polling-disabled", view_func=polling_disabled, methods=["GET"])


def list_events(instance_id: str | None = None) -> flask.Response:
    """List events, the newest first."""
    scope = _scope(instance_id)
    refuse_others("pageSize", "nextPage")
    limit = page_size()
    with current_runtime().database.read() as session:
        found = event_records.records(session, scope, before_id=next_page(), limit=limit + 1)
    shown = found[:limit]
    more = shown[-1].notification_id if len(found) > limit else None
    return paged([event_responses.EventResponse.of_record(one) for one in shown], more)


def show_event(event_id: str, instance_id: str | None = None) -> dict[str, t.Any]:
    """Show one event, by the ``message.eventId`` of its notification."""
    scope = _scope(instance_id)
    refuse_others()
    with current_runtime().database.read() as session:
        found = event_records.record(session, scope, event_id)
    return dump(event_responses.EventResponse.of_record(found))


def dispositions() -> flask.Response:
    """List the attempts to deliver events, the newest first."""
    scope = _scope(None, since=_date("from", None), until=_date("to", None))
    refuse_others("from", "to", "pageSize", "nextPage", "interval")
    _check_interval()
    with current_runtime().database.read() as session:
        found, more = event_records.dispositions(
            session, scope, before_id=next_page(), limit=page_size()
        )
    return paged([event_responses.DispositionResponse.of_attempts(one) for one in found], more)


def count_events() -> Answers:
    """Count events over time."""
    return dump_all(event_responses.EventCountResponse.of(one) for one in _buckets())


def count_by_instance() -> Answers:
    """Count events over time, by instance."""
    return dump_all(event_responses.InstanceCountsResponse.of_bucket(one) for one in _buckets())


def count_by_account() -> Answers:
    """Count events over time, by the user whose instances they are of."""
    return dump_all(event_responses.AccountCountsResponse.of_bucket(one) for one in _buckets())


def poller_records() -> Answers:
    """List the polled resources."""
    return _pollers(disabled_only=False)


def polling_disabled() -> Answers:
    """List the polled resources that were disabled after repeated failures."""
    return _pollers(disabled_only=True)


def _pollers(*, disabled_only: bool) -> Answers:
    scope = _scope(None)
    refuse_others()
    with current_runtime().database.read() as session:
        found = event_records.poller_records(session, scope, disabled_only=disabled_only)
    return dump_all(event_responses.PollerRecordResponse.of(one) for one in found)


def paged(shown: cabc.Sequence[ApiResponse], next_page: int | None) -> flask.Response:
    """Answer a page of a list with its headers."""
    response = flask.jsonify(dump_all(shown))
    response.headers["Elements-Returned-Count"] = str(len(shown))
    if next_page is not None:
        response.headers["Elements-Next-Page-Token"] = str(next_page)
    return response


def next_page() -> int | None:
    """Read ``nextPage`` of the query.

    :raises InputError: it is not a token of this API.
    """
    text = flask.request.args.get("nextPage")
    if text is None:
        return None
    number = whole_number(text)
    if number is None:
        raise InputError("nextPage is not the value of Elements-Next-Page-Token", "nextPage")
    return number


def _scope(
    instance_id: str | None,
    *,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
) -> Scope:
    who = caller()
    number = who.instance_id if instance_id is None else instance_of(who, instance_id)
    if instance_id is not None:
        with current_runtime().database.read() as session:
            lifecycle.find(session, who, instance_of(who, instance_id))
    return Scope(organization_id=who.organization_id, instance_id=number, since=since, until=until)


def _date(name: str, default: dt.datetime | None) -> dt.datetime | None:
    text = flask.request.args.get(name)
    if text is None:
        return default
    try:
        # A plus sign that was not encoded arrives as a space.
        return parse_iso(text.strip().replace(" ", "+"))
    except ValueError:
        raise InputError(f"{name} must be a date such as 2026-11-23T21:15:00Z", name) from None


def _check_interval() -> None:
    """Check an interval that has no effect: clients send it to the dispositions (churros, 2018)."""
    if flask.request.args.get("interval", "hour").lower() not in analytics.INTERVALS:
        raise InputError(f"interval must be one of {', '.join(analytics.INTERVALS)}", "interval")


def _buckets() -> list[analytics.Bucket]:
    who, now = caller(), current_runtime().clock()
    refuse_others("from", "to", "interval", "accountIds[]", "instanceId")
    accounts = flask.request.args.getlist("accountIds[]")
    if any(text != str(who.user_id) for text in accounts):
        raise ForbiddenError("accountIds[] names an account that is not yours")
    since = t.cast(dt.datetime, _date("from", now - dt.timedelta(days=1)))
    until = t.cast(dt.datetime, _date("to", now))
    interval = flask.request.args.get("interval", "hour").lower()
    with current_runtime().database.read() as session:
        return analytics.buckets(
            session,
            who.organization_id,
            since,
            until,
            interval,
            instance_id=_instance_filter(who),
        )


def _instance_filter(who: Caller) -> int | None:
    text = flask.request.args.get("instanceId")
    if text is None:
        return who.instance_id
    number = whole_number(text)
    if number is None or who.instance_id not in (None, number):
        raise AccessError("instanceId is not the instance of the token")
    return number
