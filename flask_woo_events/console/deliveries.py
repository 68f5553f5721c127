"""``/deliveries``: what did not arrive, sent again; and what happened, told once more."""

from __future__ import annotations

import dataclasses
import datetime as dt

import flask

from ..db.models import DeliveryStatus, EventType
from ..delivery import redelivery, replay
from ..delivery.redelivery import DeliverySelection
from ..delivery.retry import AttemptOutcome
from ..errors import InputError
from ..events.notifications import NotificationRecord
from ..instances.requests import InstanceConfiguration, key_of
from ..runtime import current_runtime
from ..values.validation import validated, whole_number
from . import access, formatting, instance_status
from .access import EVENT, Answer
from .rate_limit import Attempts, refusal

#: Deliveries a page, and subscriptions for which something waits.
PAGE = 50
#: Notifications that one replay tells again, and that one posts to another address.
AGAIN_MOST, ELSEWHERE_MOST = 1_000, 50
#: Seconds that a person waits for a replay to another address.
PATIENCE = dt.timedelta(seconds=60)
#: Of a dry run, notifications that are listed.
LISTED = 20


@dataclasses.dataclass(kw_only=True)
class Rehearsal:
    """What a replay would tell, and what came of it."""

    planned: list[NotificationRecord]
    #: There are more than one replay takes.
    cut: bool
    #: How many deliveries were made, when it was told again to where it goes.
    again: int | None = None
    #: What the other address answered, one for each that was sent.
    outcomes: list[AttemptOutcome] = dataclasses.field(default_factory=list)

    @property
    def events(self) -> int:
        """Events in all of them."""
        return sum(len(one.events) for one in self.planned)


def register(blueprint: flask.Blueprint, calls: Attempts) -> None:
    """Add the routes.

    :param calls: how often each user has other addresses called.
    """

    def replayed() -> Answer:
        return _replayed(calls)

    add = blueprint.add_url_rule
    add("/deliveries", view_func=listed, endpoint="deliveries")
    add("/deliveries/redeliver", view_func=redeliver, endpoint="redeliver", methods=["POST"])
    add("/deliveries/replay", view_func=replayed, endpoint="replay", methods=["GET", "POST"])
    add(f"/events/{EVENT}/replay", view_func=once_more, endpoint="event_replay", methods=["POST"])


def listed() -> Answer:
    """Subscriptions for which something waits, and what it is."""
    runtime, who = current_runtime(), access.caller()
    status = flask.request.args.get("status", "")
    status = status if status in set(DeliveryStatus) else DeliveryStatus.QUEUED.value
    wanted = DeliverySelection(
        organization_id=who.organization_id,
        subscription_id=access.number("subscription"),
        status=status,
    )
    after = access.number("after") or 0
    with runtime.database.read() as session:
        backlogs = redelivery.backlogs(session, who.organization_id, PAGE + 1)
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
            names=instance_status.names(session, who, ids),
            now=runtime.clock(),
        )


def redeliver() -> Answer:
    """Send one, some or all again; their subscriptions become active."""
    runtime, who = current_runtime(), access.caller()
    form = flask.request.form
    everything = DeliverySelection(organization_id=who.organization_id)
    if form.get("what") == "all":
        chosen = [everything]
    elif form.get("what") == "subscription":
        chosen = [dataclasses.replace(everything, subscription_id=_id(form.get("id", "")))]
    else:
        pairs = [one.partition("-") for one in form.getlist("delivery")[:PAGE]]
        chosen = [
            dataclasses.replace(everything, subscription_id=_id(left), notification_id=_id(right))
            for left, _, right in pairs
        ]
    now = runtime.clock()
    with runtime.database.write() as session:
        count = sum(redelivery.redeliver(session, wanted, now) for wanted in chosen)
    told = f"{count:,} deliveries are due now; a worker sends them."
    formatting.tell(told if count else "Nothing was selected that waits.")
    return flask.redirect(flask.url_for("woo_console.deliveries"))


def once_more(event_id: int) -> Answer:
    """Tell the notification of one event again, to where it goes."""
    runtime, who = current_runtime(), access.caller()
    chosen = replay.ReplaySelection(organization_id=who.organization_id, event_ids=(event_id,))
    with runtime.database.write() as session:
        planned = replay.plan(session, chosen, 1)
        if not planned:
            raise InputError(f"There is no event {event_id} any more")
        count = replay.to_callbacks(session, planned, runtime.clock())
    if count:
        formatting.tell("Its notification is due again; a worker sends it.")
    else:
        formatting.tell("Nothing to send: it is on its way already, or there is no callback URL.")
    return flask.redirect(flask.url_for("woo_console.event", event_id=event_id))


def _replayed(calls: Attempts) -> Answer:
    """A window of events told again: rehearsed first, then sent."""
    runtime, who = current_runtime(), access.caller()
    form, rehearsal, error = flask.request.form, None, ""
    if flask.request.method == "POST":
        try:
            choice, url = _choice(), _address()
            most = ELSEWHERE_MOST if url else AGAIN_MOST
            with runtime.database.read() as session:
                planned = replay.plan(session, choice, most + 1)
            rehearsal = Rehearsal(planned=planned[:most], cut=len(planned) > most)
            if form.get("act") == "send" and url:
                if wait := calls.wait(str(who.user_id), runtime.clock()):
                    raise InputError(refusal(wait))
                rehearsal.outcomes = _elsewhere(rehearsal.planned, url)
            elif form.get("act") == "send":
                with runtime.database.write() as session:
                    rehearsal.again = replay.to_callbacks(
                        session, rehearsal.planned, runtime.clock()
                    )
        except InputError as exc:
            error = str(exc)
    with runtime.database.read() as session:
        page = flask.render_template(
            "woo_console/replay.html",
            form=form,
            rehearsal=rehearsal,
            error=error,
            instances=instance_status.choices(session, who),
            types=EventType,
            listed=LISTED,
        )
    return page, 422 if error else 200


def _elsewhere(planned: list[NotificationRecord], url: str) -> list[AttemptOutcome]:
    """Post notifications one after the other; the first that is not taken ends it."""
    runtime = current_runtime()
    until = runtime.clock() + PATIENCE
    outcomes: list[AttemptOutcome] = []
    for _, outcome in replay.to_address(runtime, planned, url):
        outcomes.append(outcome)
        if not outcome.delivered or runtime.clock() > until:
            break
    return outcomes


def _choice() -> replay.ReplaySelection:
    form = flask.request.form
    instance_id = _id(form.get("instance", ""))
    since, until = formatting.date(form.get("since", "")), formatting.date(form.get("until", ""))
    if not instance_id or since is None:
        raise InputError("Choose an instance, and from when on its events are told again")
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


def _address() -> str:
    """The other address, checked as callback URLs are; empty for where they go."""
    form = flask.request.form
    if form.get("where") != "elsewhere":
        return ""
    url = form.get("url", "").strip()
    if not url:
        raise InputError("Give the URL to send to")
    return validated(InstanceConfiguration, {key_of("callback_url"): url}).callback_url


def _id(text: str) -> int:
    return whole_number(text) or 0
