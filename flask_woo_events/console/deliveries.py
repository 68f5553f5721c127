"""``/deliveries``: undelivered notifications, redelivery, and replay of recorded events."""

from __future__ import annotations

import dataclasses
import datetime as dt

import flask

from ..db.states import DeliveryStatus, EventType
from ..delivery import redelivery, replay
from ..delivery.redelivery import DeliverySelection
from ..delivery.retry import AttemptOutcome
from ..errors import InputError
from ..events.notifications import NotificationRecord
from ..instances.requests import InstanceConfiguration, key_of
from ..runtime import current_runtime
from ..values.validation import validated, whole_number
from ..values.wording import counted
from . import access, formatting, instance_status
from .access import EVENT, Answer
from .rate_limit import RateLimiter, refusal

#: Deliveries on a page, and subscriptions with undelivered notifications.
PAGE = 50
#: The most notifications of one replay to the callback, and of one to another URL.
AGAIN_MOST, ELSEWHERE_MOST = 1_000, 50
#: How long a replay to another URL may take, because the browser waits for it.
REPLAY_TIME = dt.timedelta(seconds=60)
#: Notifications listed in a replay's preview.
LISTED = 20


@dataclasses.dataclass(kw_only=True)
class ReplayPage:
    """The notifications of a replay, and the results once they were sent."""

    planned: list[NotificationRecord]
    #: Whether there are more than one replay sends.
    truncated: bool
    #: How many deliveries were scheduled by a replay to the callback.
    scheduled: int | None = None
    #: The response of the other URL to each notification that was sent to it.
    outcomes: list[AttemptOutcome] = dataclasses.field(default_factory=list)

    @property
    def events(self) -> int:
        """Number of events in the notifications."""
        return sum(len(one.events) for one in self.planned)


def register(blueprint: flask.Blueprint, calls: RateLimiter) -> None:
    """Add the routes.

    :param calls: limits how often each user calls stores and callbacks.
    """

    def replay_window() -> Answer:
        return _replay_window(calls)

    add = blueprint.add_url_rule
    add("/deliveries", view_func=listed, endpoint="deliveries")
    add("/deliveries/redeliver", view_func=redeliver, endpoint="redeliver", methods=["POST"])
    add("/deliveries/replay", view_func=replay_window, endpoint="replay", methods=["GET", "POST"])
    add(
        f"/events/{EVENT}/replay", view_func=replay_event, endpoint="event_replay", methods=["POST"]
    )


def listed() -> Answer:
    """List subscriptions with undelivered notifications, and those deliveries."""
    runtime, caller = current_runtime(), access.caller()
    status = flask.request.args.get("status", "")
    status = status if status in set(DeliveryStatus) else DeliveryStatus.QUEUED.value
    wanted = DeliverySelection(
        organization_id=caller.organization_id,
        subscription_id=access.number("subscription"),
        status=status,
    )
    after = access.number("after") or 0
    with runtime.database.read() as session:
        backlogs = redelivery.backlogs(session, caller.organization_id, PAGE + 1)
        found = redelivery.deliveries(session, wanted, after_id=after, limit=PAGE + 1)
        ids = {one.subscription.instance_id for one in backlogs}
        ids |= {one.subscription.instance_id for one in found}
        return flask.render_template(
            "woo_console/deliveries.html",
            backlogs=backlogs[:PAGE],
            more=len(backlogs) > PAGE,
            deliveries=found[:PAGE],
            reasons=redelivery.reasons(session, {one.id for one in found[:PAGE]}),
            after=found[PAGE - 1].id if len(found) > PAGE else None,
            paged=after > 0,
            status=status,
            subscription=wanted.subscription_id,
            names=instance_status.names(session, caller, ids),
            now=runtime.clock(),
        )


def redeliver() -> Answer:
    """Schedule the selected deliveries again and activate their subscriptions."""
    runtime, caller = current_runtime(), access.caller()
    form = flask.request.form
    everything = DeliverySelection(organization_id=caller.organization_id)
    if form.get("what") == "all":
        chosen = [everything]
    elif form.get("what") == "subscription":
        chosen = [dataclasses.replace(everything, subscription_id=_id(form.get("id", "")))]
    else:
        pairs = [one.partition("-") for one in form.getlist("delivery")[:PAGE]]
        # Each locks its subscription, all of them by id.
        chosen = [
            dataclasses.replace(
                everything, subscription_id=number, notification_id=_id(right), with_parts=False
            )
            for number, right in sorted((_id(left), right) for left, _, right in pairs)
        ]
    now = runtime.clock()
    with runtime.database.write() as session:
        count = sum(redelivery.redeliver(session, wanted, now) for wanted in chosen)
    if count:
        scheduled = counted(count, "delivery", "deliveries")
        formatting.flash(f"{scheduled} scheduled. A worker sends them.")
    else:
        formatting.flash("No undelivered notification was selected.")
    return flask.redirect(flask.url_for("woo_console.deliveries"))


def replay_event(event_id: int) -> Answer:
    """Schedule the notification of one event again."""
    runtime, caller = current_runtime(), access.caller()
    chosen = replay.ReplaySelection(organization_id=caller.organization_id, event_ids=(event_id,))
    with runtime.database.write() as session:
        planned = replay.plan(session, chosen, 1)
        if not planned:
            raise InputError(f"Event {event_id} does not exist, or its retention has ended")
        count = replay.to_callbacks(session, planned, runtime.clock())
    if count:
        formatting.flash("Its notification is scheduled. A worker sends it.")
    else:
        formatting.flash(
            "Nothing to send: it is already being delivered, or there is no callback URL."
        )
    return flask.redirect(flask.url_for("woo_console.event", event_id=event_id))


def _replay_window(calls: RateLimiter) -> Answer:
    """Show the form of a replay; preview the notifications, or send them."""
    runtime, caller = current_runtime(), access.caller()
    result, error = None, ""
    if flask.request.method == "POST":
        try:
            result = _replayed(calls)
        except InputError as exc:
            error = str(exc)
    with runtime.database.read() as session:
        page = flask.render_template(
            "woo_console/replay.html",
            form=flask.request.form,
            result=result,
            error=error,
            instances=instance_status.choices(session, caller),
            types=EventType,
            listed=LISTED,
        )
    return page, 422 if error else 200


def _replayed(calls: RateLimiter) -> ReplayPage:
    runtime = current_runtime()
    selection, url = _selection(), _other_url()
    most = ELSEWHERE_MOST if url else AGAIN_MOST
    with runtime.database.read() as session:
        planned = replay.plan(session, selection, most + 1)
    result = ReplayPage(planned=planned[:most], truncated=len(planned) > most)
    if flask.request.form.get("act") != "send":
        return result
    if url:
        if wait := calls.wait(str(access.caller().user_id), runtime.clock()):
            raise InputError(refusal(wait))
        result.outcomes = _sent_elsewhere(result.planned, url)
    else:
        with runtime.database.write() as session:
            result.scheduled = replay.to_callbacks(session, result.planned, runtime.clock())
    return result


def _sent_elsewhere(planned: list[NotificationRecord], url: str) -> list[AttemptOutcome]:
    """Post notifications to another URL in order, up to the first that is not accepted."""
    runtime = current_runtime()
    until = runtime.clock() + REPLAY_TIME
    outcomes: list[AttemptOutcome] = []
    for _, outcome in replay.to_address(runtime, planned, url):
        outcomes.append(outcome)
        if not outcome.delivered or runtime.clock() > until:
            break
    return outcomes


def _selection() -> replay.ReplaySelection:
    form = flask.request.form
    instance_id = _id(form.get("instance", ""))
    since, until = formatting.date(form.get("since", "")), formatting.date(form.get("until", ""))
    if not instance_id or since is None:
        raise InputError("Select an instance and the time of the first event to replay")
    chosen = set(form.getlist("type"))
    return replay.ReplaySelection(
        organization_id=access.caller().organization_id,
        instance_id=instance_id,
        resource=form.get("resource", "").strip()[:190] or None,
        object_id=form.get("object", "").strip()[:190] or None,
        types=tuple(one.value for one in EventType if one in chosen),
        since=since,
        until=until,
    )


def _other_url() -> str:
    """Return the other URL, validated like a callback URL; empty for the callback itself."""
    form = flask.request.form
    if form.get("where") != "elsewhere":
        return ""
    url = form.get("url", "").strip()
    if not url:
        raise InputError("Enter the URL to send to")
    return validated(InstanceConfiguration, {key_of("callback_url"): url}).callback_url


def _id(text: str) -> int:
    return whole_number(text) or 0
