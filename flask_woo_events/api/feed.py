"""``/events/feed``: events in the order of their commits, for receivers without a callback."""

from __future__ import annotations

import time

import flask
import orjson

from ..delivery import feed
from ..delivery.feed import FeedPage
from ..errors import BusyError, InputError
from ..events.feed import FeedChoice
from ..events.feed_cursor import FeedScope
from ..instances import lifecycle, subscriptions
from ..instances.accounts import Caller
from ..runtime import current_runtime
from ..values.cloud_elements import Format
from ..values.validation import whole_number
from .request import caller, instance_of, refuse_others
from .subscriptions import number_of

#: Events of one answer, the default and the maximum.
LIMIT, LIMIT_MOST = 100, 1000
#: Longest time that a request waits for events, seconds.
WAIT_MOST = 30
#: Seconds between two looks at the database while a request waits: the first ones, and all others.
_PAUSES, _PAUSE = (0.05, 0.1, 0.2), 0.4


def register(blueprint: flask.Blueprint) -> None:
    """Add the routes; without an instance id they cover all of the caller's, or the token's."""
    one, add = "/instances/<instance_id>", blueprint.add_url_rule
    add("/events/feed", "read_feed", read_feed, methods=["GET"])
    add(f"{one}/events/feed", "read_instance_feed", read_feed, methods=["GET"])
    path = f"{one}/subscriptions/<subscription_id>/feed"
    add(path, "read_subscription_feed", read_subscription_feed, methods=["GET"])


def read_feed(instance_id: str | None = None) -> flask.Response:
    """Read the events of an instance, or of all of them."""
    who = caller()
    number = who.instance_id
    if instance_id is not None:
        number = instance_of(who, instance_id)
        with current_runtime().database.read() as session:
            lifecycle.find(session, who, number)
    scope = FeedScope(organization_id=who.organization_id, instance_id=number)
    return _answer(who, FeedChoice(scope=scope))


def read_subscription_feed(instance_id: str, subscription_id: str) -> flask.Response:
    """Read the events that a subscription chooses, in its format."""
    who = caller()
    number, one = instance_of(who, instance_id), number_of(subscription_id)
    with current_runtime().database.read() as session:
        options, target, operational = subscriptions.options_of(session, who, number, one)
    scope = FeedScope(organization_id=who.organization_id, instance_id=number, subscription_id=one)
    chosen = FeedChoice(scope=scope, choice=options.choice, target=target, operational=operational)
    return _answer(who, chosen, options.format)


def _answer(who: Caller, chosen: FeedChoice, form: Format | None = None) -> flask.Response:
    refuse_others("cursor", "limit", "wait")
    cursor = flask.request.args.get("cursor")
    limit, wait = _number("limit", LIMIT, 1, LIMIT_MOST), _number("wait", 0, 0, WAIT_MOST)
    page = feed.read(current_runtime(), chosen, cursor, limit, form)
    if wait and not (page.events or page.more or page.truncated):
        page = _wait(who, chosen, page, limit, form, wait)
    body = orjson.dumps(
        {
            "events": [orjson.Fragment(one) for one in page.events],
            "cursor": page.cursor,
            "truncated": page.truncated,
            "more": page.more,
        }
    )
    return flask.Response(body, content_type="application/json")


def _wait(
    who: Caller, chosen: FeedChoice, page: FeedPage, limit: int, form: Format | None, seconds: int
) -> FeedPage:
    """Look for events again until there are some, or the time is over.

    No connection and no transaction is held between two looks.

    :raises BusyError: as many requests wait as may.
    """
    runtime = current_runtime()
    pauses, end = iter(_PAUSES), time.monotonic() + seconds
    with runtime.feed_waits.taken(who.organization_id) as free:
        if not free:
            raise BusyError("Too many requests wait for events at the same time; send it again")
        while (left := end - time.monotonic()) > 0:
            runtime.pause(min(next(pauses, _PAUSE), left))
            page = feed.read(runtime, chosen, page.cursor, limit, form)
            if page.events or page.more or page.truncated:
                break
    return page


def _number(name: str, default: int, least: int, most: int) -> int:
    text = flask.request.args.get(name)
    if text is None:
        return default
    number = whole_number(text)
    if number is None or not least <= number <= most:
        raise InputError(f"{name} must be a number from {least:,} to {most:,}", name)
    return number
