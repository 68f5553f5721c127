"""The subscriptions of an instance: callbacks that receive its notifications, and own feeds.

The first one belongs to the callback URL of the instance's configuration, which also has its
signature key, headers, password and format. Others have their own.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ..db import presence
from ..db.models import Delivery, Instance, Poller, Subscription
from ..db.states import LISTED_CHANNELS, UNSETTLED, Channel
from ..errors import ConflictError, InputError, NotFoundError, SecretError
from ..events import delivery_states, operational, outbox, subscription_options
from ..events.notifications import target_of
from ..events.subscription_options import SubscriptionOptions
from ..values.crypto import Cipher
from . import configuration, stops
from .accounts import Caller
from .lifecycle import find
from .requests import key_of, parse_headers
from .subscription_credentials import SubscriptionCredentials
from .subscription_requests import CREDENTIALS, SENDING, SubscriptionRequest

#: Subscriptions of one instance at most.
MOST = 20
#: The migration with which a worker knows more than one subscription.
_KNOWN_SINCE = "0011"
#: Members of a request that the configuration has for the first subscription, with their keys.
_CONFIGURED = {
    "callback_url": "callback_url",
    "signature_key": "signature_key",
    "headers": "callback_headers",
    "username": "basic_username",
    "password": "basic_password",
    "format": "format",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SubscriptionView:
    """A subscription for display."""

    id: int
    instance_id: int
    #: It belongs to the callback URL of the instance's configuration.
    is_first: bool
    #: It gets operational events only.
    is_operational: bool
    #: It is only read by its feed, and nothing is sent.
    is_feed: bool
    #: Empty if nothing is sent.
    url: str
    options: SubscriptionOptions
    credentials: CredentialsView
    paused: bool
    active: bool
    #: Why it is not active.
    reason: str | None
    failures: int
    failing_since: dt.datetime | None
    held_until: dt.datetime | None
    #: Deliveries that are not sent yet, for which a change counts.
    waiting: int
    created_at: dt.datetime


@dataclasses.dataclass(frozen=True, kw_only=True)
class CredentialsView:
    """Which credentials a subscription has, without their values."""

    is_signed: bool = False
    #: Names of its headers.
    headers: tuple[str, ...] = ()
    has_password: bool = False
    #: They cannot be decrypted.
    is_lost: bool = False


def of_instance(
    session: orm.Session, cipher: Cipher | None, caller: Caller, instance_id: int
) -> list[SubscriptionView]:
    """Return the subscriptions of an instance, the first one first.

    :param cipher: ``None`` if there is no encryption key.
    :raises NotFoundError: the caller's organisation has no instance with this id.
    """
    find(session, caller, instance_id)
    rows = session.scalars(sa.select(Subscription).where(*_mine(instance_id))).all()
    ordered = sorted(rows, key=lambda row: (row.channel != Channel.WEBHOOK, row.id))
    return [_view(session, cipher, row) for row in ordered]


def get(
    session: orm.Session,
    cipher: Cipher | None,
    caller: Caller,
    instance_id: int,
    subscription_id: int,
) -> SubscriptionView:
    """Return one subscription.

    :raises NotFoundError: the caller's organisation has no such instance or subscription.
    """
    find(session, caller, instance_id)
    return _view(session, cipher, _found(session, instance_id, subscription_id))


def options_of(
    session: orm.Session, caller: Caller, instance_id: int, subscription_id: int
) -> tuple[SubscriptionOptions, int, bool]:
    """Return the options of a subscription, what events for it alone name it by, and its kind.

    The kind is whether it is operational.

    :raises NotFoundError: the caller's organisation has no such instance or subscription.
    """
    find(session, caller, instance_id)
    row = _found(session, instance_id, subscription_id)
    is_operational = row.channel == Channel.OPERATIONAL
    return subscription_options.read(row.options), target_of(row.channel, row.id), is_operational


def create(
    session: orm.Session,
    cipher: Cipher,
    caller: Caller,
    instance_id: int,
    request: SubscriptionRequest,
    now: dt.datetime,
) -> int:
    """Add a subscription, which gets what happens from now on, and return its id.

    :raises InputError: a member is wrong, or the callback URL is missing of one that is sent to.
    :raises ConflictError: the instance has as many as it may have, or a worker of an earlier
        release runs, which would send it everything.
    """
    instance = find(session, caller, instance_id, lock=True)
    is_operational, is_feed = bool(request.operational), bool(request.feed)
    if is_feed:
        _refuse_sending(request)
    elif not request.callback_url:
        raise InputError(
            "callbackUrl is missing; without one, a subscription can only be read: feed is true",
            "callbackUrl",
        )
    rows = session.scalars(sa.select(Subscription.id).where(*_mine(instance_id))).all()
    if len(rows) >= MOST:
        raise ConflictError(f"an instance has at most {MOST} subscriptions")
    # No earlier release sends anything to an operational one, or to one that is read.
    if not (is_operational or is_feed) and (older := presence.older(session, _KNOWN_SINCE, now)):
        raise ConflictError(
            "a worker of an earlier release runs, which knows one subscription only: "
            f"{', '.join(older)}; restart it with this release first"
        )
    _refuse_unknown(session, instance_id, request)
    options = request.options(subscription_options.NONE)
    _refuse_choice(options, is_operational)
    channel = Channel.OPERATIONAL if is_operational else Channel.CALLBACK
    row = Subscription(
        instance_id=instance.id,
        channel=Channel.FEED if is_feed else channel,
        url=request.callback_url or "",
        options=subscription_options.written(options),
        paused=bool(request.paused),
        created_at=now,
    )
    session.add(row)
    _begin_checkpoints(instance, options, now)
    session.flush()
    credentials = request.credentials(SubscriptionCredentials(), now)
    configuration.put_credentials(session, cipher, instance_id, row.id, credentials.written())
    return row.id


def change(
    session: orm.Session,
    cipher: Cipher,
    caller: Caller,
    instance_id: int,
    subscription_id: int,
    request: SubscriptionRequest,
    now: dt.datetime,
) -> None:
    """Change what a request names of a subscription, also for what is not sent yet.

    What is not sent goes to a new callback URL from its first attempt on. What a worker has claimed
    already, a few seconds' worth, is sent as before.

    :raises InputError: a member is wrong, or belongs to the instance's configuration.
    :raises NotFoundError: the caller's organisation has no such instance or subscription.
    """
    instance = find(session, caller, instance_id, lock=True)
    row = _locked(session, instance_id, subscription_id)
    named = request.model_fields_set
    if row.channel == Channel.WEBHOOK:
        _refuse_configured(instance_id, named)
    is_operational, is_feed = row.channel == Channel.OPERATIONAL, row.channel == Channel.FEED
    for name, is_now in (("feed", is_feed), ("operational", is_operational)):
        if getattr(request, name) not in (None, is_now):
            raise InputError(f"{name} cannot be changed; add another subscription", name)
    if is_feed:
        _refuse_sending(request)
    _refuse_unknown(session, instance_id, request)
    options = request.options(subscription_options.read(row.options))
    _refuse_choice(options, is_operational)
    _begin_checkpoints(instance, options, now)
    row.options = subscription_options.written(options)
    if options.rate is None:
        row.rate_used_until = None
    if named & CREDENTIALS:
        present = _replaced_credentials(session, cipher, instance_id, row.id, named)
        kept = request.credentials(present, now).written()
        configuration.put_credentials(session, cipher, instance_id, row.id, kept)
    if "callback_url" in named and not is_feed:
        _move(session, row, request.callback_url, now)
    if request.paused is not None:
        row.paused = request.paused
    if not is_feed:
        outbox.wake(session, [row], now)
    session.flush()


def delete(session: orm.Session, caller: Caller, instance_id: int, subscription_id: int) -> None:
    """Remove a subscription, and what it was not sent yet; what was sent stays in the log.

    :raises InputError: it belongs to the instance's configuration.
    :raises NotFoundError: the caller's organisation has no such instance or subscription.
    """
    find(session, caller, instance_id, lock=True)
    row = _locked(session, instance_id, subscription_id)
    if row.channel == Channel.WEBHOOK:
        _refuse_configured(instance_id, {"callback_url"})
    delivery_states.discard(session, row.id)
    configuration.put_credentials(session, None, instance_id, row.id, {})
    row.current, row.active, row.next_due_at = False, False, None
    row.reason, row.options = "the subscription was deleted", None
    session.flush()


def _mine(instance_id: int) -> tuple[sa.ColumnExpressionArgument[bool], ...]:
    return (
        Subscription.instance_id == instance_id,
        Subscription.current,
        Subscription.channel.in_(LISTED_CHANNELS),
    )


def _found(session: orm.Session, instance_id: int, subscription_id: int) -> Subscription:
    query = sa.select(Subscription).where(*_mine(instance_id), Subscription.id == subscription_id)
    row = session.scalars(query).one_or_none()
    if row is None:
        raise NotFoundError("No subscription found")
    return row


def _locked(session: orm.Session, instance_id: int, subscription_id: int) -> Subscription:
    for row in delivery_states.lock_subscriptions(session, *_mine(instance_id)):
        if row.id == subscription_id:
            return row
    raise NotFoundError("No subscription found")


def _refuse_configured(instance_id: int, named: cabc.Collection[str]) -> None:
    """Refuse what a request names of the first subscription that the configuration has."""
    for name, field in _CONFIGURED.items():
        if name in named:
            alias = SubscriptionRequest.model_fields[name].alias or name
            raise InputError(
                f"{alias} of the first subscription is {key_of(field)} of the configuration; "
                f"change it with PATCH /instances/{instance_id}",
                alias,
            )


def _refuse_unknown(session: orm.Session, instance_id: int, request: SubscriptionRequest) -> None:
    """Refuse resources that the instance does not poll: their events would never come."""
    polled = session.scalars(
        sa.select(Poller.resource).where(Poller.instance_id == instance_id, Poller.selected)
    ).all()
    for number, resource in enumerate(request.resources or ()):
        if resource not in polled:
            field = f"resources.{number}"
            raise InputError(
                f"{field}: the instance polls no {resource!r}; it polls "
                f"{', '.join(sorted(polled))}",
                field,
            )


def _refuse_sending(request: SubscriptionRequest) -> None:
    """Refuse what a request names of the way to a receiver: there is none."""
    for name in SENDING:
        if getattr(request, name):
            alias = SubscriptionRequest.model_fields[name].alias or name
            raise InputError(
                f"{alias}: a subscription with feed true is only read, and nothing is sent", alias
            )


def _refuse_choice(options: SubscriptionOptions, is_operational: bool) -> None:
    """Refuse options that a subscription of this kind does not have."""
    chosen = options.choice
    names = {"resources": chosen.resources, "eventTypes": chosen.types, "fields": chosen.fields}
    for name, value in names.items():
        if is_operational and value:
            raise InputError(f"{name}: an operational subscription gets all kinds of events", name)
    if options.checkpoint and not is_operational:
        raise InputError(
            "checkpoint: only an operational subscription gets checkpoints", "checkpoint"
        )


def _begin_checkpoints(instance: Instance, options: SubscriptionOptions, now: dt.datetime) -> None:
    """Make the first checkpoint of an instance due, if a receiver asks for them."""
    if options.checkpoint and instance.checkpoint_at is None:
        instance.checkpoint_at = now


def _replaced_credentials(
    session: orm.Session,
    cipher: Cipher,
    instance_id: int,
    subscription_id: int,
    named: cabc.Set[str],
) -> SubscriptionCredentials:
    """Return the present credentials; lost ones only matter if a request keeps some of them.

    :raises SecretError: they cannot be decrypted, and the request does not name all of them.
    """
    try:
        kept = configuration.credentials_of(session, cipher, instance_id, subscription_id)
    except SecretError:
        if not named >= CREDENTIALS:
            raise
        kept = {}
    return SubscriptionCredentials.of(kept)


def _move(session: orm.Session, row: Subscription, url: str | None, now: dt.datetime) -> None:
    """Let a subscription go on with another callback URL."""
    if not url:
        raise InputError("callbackUrl is empty; DELETE removes a subscription", "callbackUrl")
    if url == row.url:
        return
    if not row.active:
        operational.record(session, row.instance_id, stops.resumed(row), now)
    row.url = url
    row.active, row.reason = True, None
    row.failures, row.failing_since, row.held_until = 0, None, None
    session.flush()
    delivery_states.move(session, [row.id], row, now)


def _view(session: orm.Session, cipher: Cipher | None, row: Subscription) -> SubscriptionView:
    waiting = sa.select(sa.func.count()).where(
        Delivery.subscription_id == row.id, Delivery.status.in_(UNSETTLED)
    )
    return SubscriptionView(
        id=row.id,
        instance_id=row.instance_id,
        is_first=row.channel == Channel.WEBHOOK,
        is_operational=row.channel == Channel.OPERATIONAL,
        is_feed=row.channel == Channel.FEED,
        url=row.url,
        options=subscription_options.read(row.options),
        credentials=_credentials(session, cipher, row),
        paused=row.paused,
        active=row.active,
        reason=row.reason,
        failures=row.failures,
        failing_since=row.failing_since,
        held_until=row.held_until,
        waiting=session.scalars(waiting).one(),
        created_at=row.created_at,
    )


def _credentials(session: orm.Session, cipher: Cipher | None, row: Subscription) -> CredentialsView:
    if row.channel == Channel.WEBHOOK:
        return _configured(session, cipher, row.instance_id)
    if row.channel == Channel.FEED:
        return CredentialsView()
    if cipher is None:
        return CredentialsView(is_lost=True)
    try:
        found = SubscriptionCredentials.of(
            configuration.credentials_of(session, cipher, row.instance_id, row.id)
        )
    except SecretError:
        return CredentialsView(is_lost=True)
    return CredentialsView(
        is_signed=bool(found.signature_key),
        headers=tuple(found.headers),
        has_password=bool(found.username),
    )


def _configured(session: orm.Session, cipher: Cipher | None, instance_id: int) -> CredentialsView:
    """Return which credentials the configuration has for the first subscription."""
    key, headers, name, password = map(
        key_of, ("signature_key", "callback_headers", "basic_username", "basic_password")
    )
    masked = {one.key: one.value for one in configuration.entries(session, instance_id)}
    lost = configuration.unreadable(session, cipher, instance_id)
    names: cabc.Iterable[str] = ()
    if masked.get(headers) and cipher is not None and headers not in lost:
        names = parse_headers(configuration.read(session, cipher, instance_id).texts[headers])
    return CredentialsView(
        is_signed=bool(masked.get(key)),
        headers=tuple(names),
        has_password=bool(masked.get(name)),
        is_lost=not {key, headers, password}.isdisjoint(lost),
    )
