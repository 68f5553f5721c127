"""``/notifications``: notifications, their subscriptions and their deliveries."""

from __future__ import annotations

import re
import typing as t

import flask

from ..db.states import DeliveryStatus
from ..delivery import redelivery
from ..delivery.redelivery import DeliverySelection
from ..errors import InputError, NotFoundError
from ..instances.accounts import Caller
from ..runtime import current_runtime
from ..values.cloud_elements import ELEMENT_KEY
from ..values.validation import whole_number
from ..woocommerce.ceql import read_where
from . import event_records, event_responses
from .event_records import Scope
from .events import next_page, paged
from .request import caller, page_size
from .responses import dump, dump_all

#: Most topics of one request.
TOPICS_MOST = 1_000
#: Fields of ``where``, in lower case.
_FIELDS = {
    "channel": "channel",
    "status": "status",
    "config.url": "url",
    "instanceid": "instance_id",
    "subscriptionid": "subscription_id",
    "notificationid": "notification_id",
}


def register(blueprint: flask.Blueprint) -> None:
    """Add the routes."""
    add = blueprint.add_url_rule
    add("/notifications", view_func=list_notifications, methods=["GET"])
    add("/notifications/<notification_id>", view_func=show_notification, methods=["GET"])
    add("/notifications/subscriptions", view_func=list_subscriptions, methods=["GET"])
    add(
        "/notifications/subscriptions/<subscription_id>",
        view_func=show_subscription,
        methods=["GET"],
    )
    add("/notifications/subscriptions/deliveries", view_func=list_deliveries, methods=["GET"])
    add("/notifications/subscriptions/deliveries", view_func=redeliver, methods=["PUT"])
    path = "/notifications/<notification_id>/subscriptions"
    add(f"{path}/deliveries", view_func=list_deliveries_of, methods=["GET"])
    add(f"{path}/<subscription_id>/deliveries", view_func=show_delivery, methods=["GET"])


def list_notifications() -> flask.Response:
    """List the notifications of topics, the newest first."""
    who = caller()
    topics = flask.request.args.getlist("topics[]") or flask.request.args.getlist("topics")
    if not topics:
        raise InputError(
            f"topics[] is missing; a topic is instance-<id>-{ELEMENT_KEY}-events", "topics[]"
        )
    if len(topics) > TOPICS_MOST:
        raise InputError(f"topics[] has more than {TOPICS_MOST:,} topics", "topics[]")
    numbers = {_instance_of_topic(topic) for topic in topics} - {None}
    if who.instance_id is not None:
        numbers &= {who.instance_id}
    limit, before_id = page_size(), next_page()
    scope = Scope(organization_id=who.organization_id, instance_ids=t.cast("set[int]", numbers))
    with current_runtime().database.read() as session:
        found = event_records.records(session, scope, before_id=before_id, limit=limit + 1)
    shown = found[:limit]
    more = shown[-1].notification_id if len(found) > limit else None
    return paged([event_responses.NotificationResponse.of_body(one.body) for one in shown], more)


def show_notification(notification_id: str) -> dict[str, t.Any]:
    """Show one notification as it is sent."""
    who = caller()
    with current_runtime().database.read() as session:
        found = event_records.by_number(session, _scope(who), _number(notification_id))
    return dump(event_responses.NotificationResponse.of_body(found.body))


def list_subscriptions() -> list[dict[str, t.Any]]:
    """List the subscriptions."""
    who = caller()
    with current_runtime().database.read() as session:
        found = redelivery.subscriptions(session, who.organization_id)
    mine = [one for one in found if who.instance_id in (None, one.instance_id)]
    return dump_all(event_responses.SubscriptionResponse.of_entry(one) for one in mine)


def show_subscription(subscription_id: str) -> dict[str, t.Any]:
    """Show one subscription."""
    who, number = caller(), _number(subscription_id)
    with current_runtime().database.read() as session:
        found = redelivery.subscriptions(session, who.organization_id, number)
    for one in found:
        if who.instance_id in (None, one.instance_id):
            return dump(event_responses.SubscriptionResponse.of_entry(one))
    raise NotFoundError("No subscription found")


def list_deliveries() -> flask.Response:
    """List deliveries, for example queued ones."""
    return _deliveries(_wanted(caller()))


def list_deliveries_of(notification_id: str) -> flask.Response:
    """List the deliveries of one notification, and of the parts divided from it."""
    who = caller()
    return _deliveries(
        DeliverySelection(
            organization_id=who.organization_id,
            instance_id=who.instance_id,
            notification_id=_number(notification_id),
        )
    )


def show_delivery(notification_id: str, subscription_id: str) -> dict[str, t.Any]:
    """Show the delivery of one notification to one subscription.

    Parts divided from the notification have numbers and deliveries of their own.
    """
    who, hydrate = caller(), _hydrate()
    wanted = DeliverySelection(
        organization_id=who.organization_id,
        instance_id=who.instance_id,
        notification_id=_number(notification_id),
        with_parts=False,
        subscription_id=_number(subscription_id),
    )
    with current_runtime().database.read() as session:
        found = redelivery.deliveries(session, wanted, limit=1)
        if not found:
            raise NotFoundError("No delivery found")
        numbers = {found[0].notification_id} if hydrate else set()
        bodies = event_records.bodies(session, numbers)
    answer = event_responses.DeliveryResponse.of_entry
    return dump(answer(found[0], bodies.get(found[0].notification_id)))


def redeliver() -> dict[str, t.Any]:
    """Send waiting deliveries again, and activate their subscriptions."""
    runtime, wanted = current_runtime(), _wanted(caller())
    if "where" not in flask.request.args:
        raise InputError("where is missing, for example where=status='queued'", "where")
    with runtime.database.write() as session:
        count = redelivery.redeliver(session, wanted, runtime.clock())
    return dump(event_responses.RedeliveredResponse(redelivered=count))


def _deliveries(wanted: DeliverySelection) -> flask.Response:
    limit = page_size()
    hydrate = _hydrate()
    with current_runtime().database.read() as session:
        found = redelivery.deliveries(session, wanted, after_id=next_page() or 0, limit=limit + 1)
        shown = found[:limit]
        numbers = {one.notification_id for one in shown} if hydrate else set()
        bodies = event_records.bodies(session, numbers)
    more = shown[-1].id if len(found) > limit else None
    answer = event_responses.DeliveryResponse.of_entry
    return paged([answer(one, bodies.get(one.notification_id)) for one in shown], more)


def _hydrate() -> bool:
    return flask.request.args.get("hydrate", "true").lower() != "false"


def _wanted(who: Caller) -> DeliverySelection:
    """Read ``where``: ``channel='webhook' and status='queued' and config.url='...'``.

    :raises InputError: it does not follow that form.
    """
    text, chosen = flask.request.args.get("where", ""), dict[str, t.Any]()
    for condition in read_where(text) if text.strip() else ():
        name = _FIELDS.get(condition.field.lower())
        # Only numbers go without quotes.
        plain = condition.op == "=" and (
            condition.values[0].quoted or whole_number(condition.value) is not None
        )
        if name is None or name in chosen or not plain:
            raise InputError(
                f"where cannot be read at {condition.text!r}; it takes channel, status, "
                "config.url, instanceId, subscriptionId and notificationId, each once, compared "
                "by = and joined by and",
                "where",
            )
        chosen[name] = _number(condition.value) if name.endswith("_id") else condition.value
    if chosen.get("status") not in (None, *DeliveryStatus):
        raise InputError(f"status must be one of {', '.join(DeliveryStatus)}", "where")
    if who.instance_id is not None:
        if chosen.get("instance_id", who.instance_id) != who.instance_id:
            raise NotFoundError("No instance found")
        chosen["instance_id"] = who.instance_id
    return DeliverySelection(organization_id=who.organization_id, **chosen)


def _number(text: str) -> int:
    number = whole_number(text)
    if number is None:
        raise NotFoundError("No notification found")
    return number


def _instance_of_topic(topic: str) -> int | None:
    match = re.fullmatch(rf"instance-(\d{{1,19}})-{ELEMENT_KEY}-events", topic, re.ASCII)
    return whole_number(match[1]) if match else None


def _scope(who: Caller) -> Scope:
    return Scope(organization_id=who.organization_id, instance_id=who.instance_id)
