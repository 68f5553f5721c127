"""Stopped subscriptions: how texts name them, and what operational events say of them."""

from __future__ import annotations

import typing as t
import urllib.parse

from ..db.states import Channel
from ..events.operational import Occurrence


class Receiver(t.Protocol):
    """A subscription, as a row or as a delivery knows it."""

    @property
    def channel(self) -> str: ...
    @property
    def url(self) -> str: ...


def receiver_of(subscription: Receiver, number: int) -> str:
    """Return how texts name a receiver: what it is, and the host of its address."""
    if subscription.channel == Channel.HANDLER:
        return f"the handler {subscription.url}"
    host = urllib.parse.urlsplit(subscription.url or "").hostname
    first = subscription.channel == Channel.WEBHOOK
    return f"{'the callback' if first else f'subscription {number}'} at {host}"


def redeliver_command(subscription: Receiver, instance_id: int, number: int) -> str:
    """Return the command that activates a subscription and sends what waits for it."""
    command = f"flask woo deliveries redeliver --instance {instance_id}"
    first = subscription.channel == Channel.WEBHOOK
    return command if first else f"{command} --subscription {number}"


def stopped(subscription: Receiver, instance_id: int, number: int, reason: str) -> Occurrence:
    """Return what is recorded when a subscription is stopped."""
    return Occurrence(
        kind="subscription.stopped",
        number=number,
        subscription_id=number,
        text=f"deliveries to {receiver_of(subscription, number)} are stopped"
        f"{_because(subscription, reason)}",
        costs="Notifications are kept and not sent.",
        ends="A person who redelivers them.",
        command=redeliver_command(subscription, instance_id, number),
    )


class ResumedReceiver(Receiver, t.Protocol):
    """A row of a subscription."""

    @property
    def id(self) -> int: ...


def resumed(row: ResumedReceiver) -> Occurrence:
    """Return what is recorded when a stopped subscription is active again."""
    return Occurrence(
        kind="subscription.resumed",
        number=row.id,
        subscription_id=row.id,
        text=f"deliveries to {receiver_of(row, row.id)} are resumed; what waited is sent",
    )


def exhausted(
    subscription: Receiver,
    instance_id: int,
    number: int,
    *,
    delivery_id: int,
    resource: str,
    notification_id: int,
    reason: str,
) -> Occurrence:
    """Return what is recorded when one delivery has failed with its last attempt."""
    return Occurrence(
        kind="delivery.exhausted",
        number=delivery_id,
        resource=resource,
        subscription_id=number,
        text=f"notification {notification_id} to {receiver_of(subscription, number)} failed with "
        f"its last attempt, while others succeed{_because(subscription, reason)}",
        costs="Its events are kept and not sent; later versions of their objects are.",
        ends="A person who redelivers it.",
        command=f"flask woo deliveries redeliver --instance {instance_id} "
        f"--notification {notification_id}",
        more={"notificationId": str(notification_id)},
    )


def _because(subscription: Receiver, reason: str) -> str:
    """Return why; the error of a handler may quote what the event holds."""
    return "" if subscription.channel == Channel.HANDLER else f": {reason}"
