"""``/events/woocommercerest``: receives the webhooks of stores."""

from __future__ import annotations

import collections.abc as cabc
import re
import time
import typing as t
import weakref

import flask
import sqlalchemy as sa
import werkzeug.exceptions

from .. import tracing
from ..db.database import Work
from ..errors import AccessError, ConflictError, InputError, NotFoundError, SchemaError
from ..instances import webhook_urls, webhooks
from ..instances.webhook_urls import Hook
from ..runtime import Runtime, current_runtime
from ..sync.webhooks import inbox, parse
from ..sync.webhooks.inbox import ReceivedWebhook
from ..sync.webhooks.origin import Origins
from ..values import crypto
from ..values.validation import whole_number
from .request import caller, raw_body
from .responses import EmptyResponse, MessageResponse, TakenResponse, dump

#: The unsigned body that WooCommerce sends when a webhook is created (2.2 to 11.0).
_PING = re.compile(rb"webhook_id=\d+\Z")
#: A Base64 SHA-256.
_SIGNATURE = re.compile(r"[A-Za-z0-9+/]{43}=\Z")

_ORIGINS: weakref.WeakKeyDictionary[Runtime, Origins] = weakref.WeakKeyDictionary()

Answer = tuple[dict[str, t.Any], int]


def register(blueprint: flask.Blueprint) -> None:
    """Add the routes."""
    add = blueprint.add_url_rule
    add(webhook_urls.PATH, view_func=receive_listed, methods=["POST"])
    add(webhook_urls.PATH, view_func=show_uptime, methods=["GET"])
    add(f"{webhook_urls.PATH}/<address>", view_func=receive, methods=["POST"])
    # A redirect turns a ping into a GET, and people open the address in a browser.
    add(f"{webhook_urls.PATH}/<address>", view_func=greet, methods=["GET"])


def greet(address: str) -> Answer:
    """Confirm that this address receives webhooks."""
    if webhook_urls.read_base64(address) is None:
        _hook(current_runtime(), address)
    # Anyone can make an address in Base64: the answer is the same for every id.
    return dump(MessageResponse(message="This address receives webhooks of WooCommerce")), 200


def show_uptime() -> flask.Response:
    """Answer since when this process has stored every webhook, for the reachability check."""
    up = time.monotonic() - current_runtime().began
    taken = TakenResponse(message="This address receives webhooks of WooCommerce", upSeconds=up)
    answer = flask.jsonify(dump(taken))
    answer.cache_control.no_store = True
    return answer


def receive(address: str) -> Answer:
    """Receive a webhook: check its signature, store its hint and answer."""
    runtime = current_runtime()
    try:
        return _receive(runtime, address)
    except (sa.exc.SQLAlchemyError, SchemaError):
        # The store does not send it again, so the reachability check must notice the loss.
        runtime.begin_anew()
        raise


def _receive(runtime: Runtime, address: str) -> Answer:
    request = flask.request
    number = webhook_urls.read_base64(address)
    hook = _hook(runtime, address) if number is None else _unsigned_hook(runtime, number)
    signature = request.headers.get("X-WC-Webhook-Signature", "").strip()
    limit = runtime.settings.hook_max_bytes if signature else 1024
    if signature and not _SIGNATURE.match(signature):
        raise AccessError("X-WC-Webhook-Signature is not a signature")  # before the body is read
    try:
        body = raw_body(limit, "WOO_EVENTS_HOOK_MAX_BYTES")
    except werkzeug.exceptions.RequestEntityTooLarge:
        if signature:
            raise
        raise AccessError("X-WC-Webhook-Signature is missing") from None
    if not signature and _PING.match(body.strip()):
        # Anyone can send it: to an address that anyone can make, it writes nothing.
        if number is not None:
            return _answered(known=True)
        known = runtime.group_commit(inbox.ping).write((hook, runtime.clock()))
        return _answered(known)
    keys = webhook_urls.secrets(runtime.settings.encryption_keys, hook)
    if not crypto.verify_woocommerce(body, keys, signature):
        if signature and number is None:
            _distrust(runtime, hook, whole_number(request.headers.get("X-WC-Webhook-ID", "")))
        raise AccessError(
            "X-WC-Webhook-Signature does not match; the secret is the one that "
            f"'flask woo webhooks url {hook.instance_id}' prints"
        )
    source = request.headers.get("X-WC-Webhook-Source", "")
    if not _origins(runtime).admits(hook.instance_id, source):
        return _answered(known=True)
    with _span(request, hook.instance_id) as span:
        hint = parse.read(request.headers.get("X-WC-Webhook-Topic", ""), body)
        received = ReceivedWebhook(hook, hint, runtime.clock(), span.stored)
        known = runtime.group_commit(inbox.add).write(received)
        runtime.database.notify(Work.ARRIVALS)
        span.answered(200 if known else 404)
    return _answered(known)


def _span(request: flask.Request, instance_id: int | None = None) -> tracing.Span:
    """Return the span of a webhook whose sender is known; it has no address, which is secret.

    It is linked to the trace that the store names, and no part of it: what a store sends decides
    neither which traces are ours nor whether they are sampled.
    """
    sent = tracing.read(request.headers.get("traceparent"), request.headers.get("tracestate"))
    route = str(request.url_rule)
    attributes: dict[str, t.Any] = {"http.request.method": "POST", "http.route": route}
    if instance_id is not None:
        attributes["woo_events.instance"] = instance_id
    return tracing.span(f"POST {route}", "server", links=[sent], attributes=attributes)


def _origins(runtime: Runtime) -> Origins:
    return _ORIGINS.get(runtime) or _ORIGINS.setdefault(runtime, Origins(runtime))


def _distrust(runtime: Runtime, hook: Hook, number: int | None) -> None:
    """Have one of our webhooks replaced if it signs with another secret."""
    if not number:
        return
    with runtime.database.read() as session:
        ours = inbox.trusted(session, hook.instance_id, number)
    if ours:
        with runtime.database.write() as session:
            inbox.distrust(session, hook.instance_id, number, runtime.clock())


def receive_listed() -> Answer:
    """Receive an event for the instances in ``Element-Instances``, from one of their users.

    One that names no resource, as without WooCommerce's topic, makes the instances due for a poll.
    """
    who, runtime = caller(), current_runtime()
    header = flask.request.headers.get("Element-Instances", "")
    numbers = [whole_number(text.strip()) for text in header.split(",") if text.strip()]
    if not numbers or None in numbers:
        raise InputError("the header Element-Instances must list ids of instances")
    body = raw_body(runtime.settings.hook_max_bytes, "WOO_EVENTS_HOOK_MAX_BYTES")
    hint = parse.read(flask.request.headers.get("X-WC-Webhook-Topic", ""), body)
    wanted = t.cast("cabc.Sequence[int]", numbers)
    with _span(flask.request) as span, runtime.database.write() as session:
        for number in dict.fromkeys(wanted):
            epoch = inbox.epoch_of(session, number, who.organization_id)
            if epoch is None or who.instance_id not in (None, number):
                raise NotFoundError("No instance found")
            if hint.collection is not None:
                hook, trace = Hook(number, epoch), span.stored
                arrived = ReceivedWebhook(hook, hint, runtime.clock(), trace)
                inbox.add(session.connection(), [arrived])
        if hint.collection is None and not webhooks.poll_named(session, wanted, runtime.clock()):
            raise ConflictError(
                "None of the instances in Element-Instances is polled: each is paused, or its "
                "events are off"
            )
        span.answered(200)
    runtime.database.notify(Work.ARRIVALS)
    return dump(EmptyResponse()), 200


def _hook(runtime: Runtime, address: str) -> Hook:
    """Return the instance that a signed address belongs to.

    :raises NotFoundError: it was not signed by us.
    """
    hook = webhook_urls.read(runtime.settings.encryption_keys, address)
    if hook is None:
        raise NotFoundError("No instance found; flask woo webhooks url INSTANCE prints its address")
    return hook


def _unsigned_hook(runtime: Runtime, instance_id: int) -> Hook:
    """Return the instance that an address names in Base64.

    One that does not exist has a secret, too, which nobody knows: the answer to a wrong signature
    does not show which instances exist.
    """
    epoch = runtime.database.again(lambda: _epoch(runtime, instance_id))
    return Hook(instance_id, 0 if epoch is None else epoch)


def _epoch(runtime: Runtime, instance_id: int) -> int | None:
    with runtime.database.read() as session:
        return inbox.epoch_of(session, instance_id)


def _answered(known: bool) -> Answer:
    if not known:
        raise NotFoundError("No instance found; flask woo webhooks url INSTANCE prints its address")
    return dump(EmptyResponse()), 200
