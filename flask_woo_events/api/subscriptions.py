"""``/instances/{id}/subscriptions``: the receivers of an instance's notifications."""

from __future__ import annotations

import typing as t

import flask

from ..delivery import sample
from ..errors import NotFoundError
from ..instances import lifecycle, subscriptions
from ..instances.accounts import Caller
from ..instances.subscription_requests import SubscriptionRequest
from ..runtime import current_runtime
from ..values.validation import whole_number
from .request import body, caller, instance_of
from .responses import EmptyResponse, dump, dump_all
from .subscription_responses import InstanceSubscriptionResponse, TestedSubscriptionResponse

Answer = tuple[dict[str, t.Any], int]


def register(blueprint: flask.Blueprint) -> None:
    """Add the routes."""
    add = blueprint.add_url_rule
    every = "/instances/<instance_id>/subscriptions"
    one = f"{every}/<subscription_id>"
    add(every, "list_instance_subscriptions", list_, methods=["GET"])
    add(every, "create_subscription", create, methods=["POST"])
    add(one, "show_instance_subscription", show, methods=["GET"])
    add(one, "change_subscription", change, methods=["PATCH"])
    add(one, "delete_subscription", delete, methods=["DELETE"])
    add(f"{one}/test", "test_subscription", test, methods=["POST"])


def list_(instance_id: str) -> list[dict[str, t.Any]]:
    """List the subscriptions of an instance, the first one first."""
    who = caller()
    number, runtime = instance_of(who, instance_id), current_runtime()
    with runtime.database.read() as session:
        found = subscriptions.of_instance(session, runtime.cipher_or_none, who, number)
    return dump_all(map(InstanceSubscriptionResponse.of_view, found))


def create(instance_id: str) -> Answer:
    """Add a subscription; the caller and the instance are checked before the body."""
    who = caller()
    number, runtime = instance_of(who, instance_id), current_runtime()
    with runtime.database.read() as session:
        lifecycle.find(session, who, number)
    request, cipher = body(SubscriptionRequest), runtime.cipher
    with runtime.database.write() as session:
        made = subscriptions.create(session, cipher, who, number, request, runtime.clock())
    return _shown(who, number, made)


def show(instance_id: str, subscription_id: str) -> Answer:
    """Show one subscription."""
    who = caller()
    return _shown(who, instance_of(who, instance_id), number_of(subscription_id))


def change(instance_id: str, subscription_id: str) -> Answer:
    """Change the members in the body and keep the others."""
    who = caller()
    number, one = instance_of(who, instance_id), number_of(subscription_id)
    runtime = current_runtime()
    _shown(who, number, one)
    request, cipher = body(SubscriptionRequest), runtime.cipher
    with runtime.database.write() as session:
        subscriptions.change(session, cipher, who, number, one, request, runtime.clock())
    return _shown(who, number, one)


def delete(instance_id: str, subscription_id: str) -> Answer:
    """Delete a subscription, with what it was not sent yet."""
    who = caller()
    number, one = instance_of(who, instance_id), number_of(subscription_id)
    with current_runtime().database.write() as session:
        subscriptions.delete(session, who, number, one)
    return dump(EmptyResponse()), 200


def test(instance_id: str, subscription_id: str) -> Answer:
    """Send a test notification, and show what the receiver answered."""
    who = caller()
    number, one = instance_of(who, instance_id), number_of(subscription_id)
    runtime = current_runtime()
    with runtime.web_calls.limited(who.organization_id) as patience:
        patience.applied(runtime.callback_timeouts)  # Or 429, which is not the receiver's answer.
        outcome = sample.send_to_subscription(runtime, who, number, one)
    return dump(TestedSubscriptionResponse.of_outcome(outcome)), 200


def _shown(who: Caller, instance_id: int, subscription_id: int) -> Answer:
    runtime = current_runtime()
    with runtime.database.read() as session:
        view = subscriptions.get(session, runtime.cipher_or_none, who, instance_id, subscription_id)
    return dump(InstanceSubscriptionResponse.of_view(view)), 200


def number_of(text: str) -> int:
    """Return the id of a subscription from a path.

    :raises NotFoundError: it is not a number.
    """
    number = whole_number(text)
    if number is None:
        raise NotFoundError("No subscription found")
    return number
