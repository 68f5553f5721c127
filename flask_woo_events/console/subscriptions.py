"""``/instances/<id>/subscriptions``: add, change, pause, test and remove subscriptions."""

from __future__ import annotations

import dataclasses
import math
import secrets

import flask
import werkzeug.exceptions

from ..db.states import EventType
from ..delivery import destination, sample
from ..delivery.payload import Sender
from ..delivery.retry import AttemptOutcome
from ..delivery.send import CallbackCredentials
from ..errors import ConflictError, InputError, SecretError
from ..events import subscription_options
from ..instances import configuration, subscriptions, views
from ..instances.requests import format_of
from ..instances.subscription_credentials import SubscriptionCredentials
from ..instances.subscription_requests import SubscriptionRequest
from ..instances.subscriptions import CredentialsView, SubscriptionView
from ..runtime import current_runtime
from ..values.cloud_elements import Format
from ..values.validation import LARGEST_ID, MASK, validated
from . import access, formatting, forms, store_page, subscription_form
from .access import INSTANCE, Answer
from .rate_limit import RateLimiter, refusal
from .subscription_form import SubscriptionForm

_SUBSCRIPTION = f"<int(max={LARGEST_ID}):subscription_id>"


@dataclasses.dataclass(kw_only=True)
class SubscriptionPage:
    """The state of the page: the form, what is wrong with it, and the result of its test."""

    form: SubscriptionForm
    instance: views.InstanceView
    #: The subscription that is changed; ``None`` for a new one.
    subscription: SubscriptionView | None
    #: Error messages by field name; ``""`` is the whole form.
    errors: dict[str, str] = dataclasses.field(default_factory=dict)
    outcome: AttemptOutcome | None = None
    #: Seconds until the next call to a callback is allowed; 0 when it is.
    wait: float = 0.0
    #: The form is right, but what it asks for is not possible now.
    in_conflict: bool = False

    @property
    def is_first(self) -> bool:
        """The configuration of the instance has its callback URL, secrets and format."""
        return self.subscription is not None and self.subscription.is_first

    @property
    def is_operational(self) -> bool:
        """It is stored as one that gets operational events only."""
        return self.subscription is not None and self.subscription.is_operational

    @property
    def is_feed(self) -> bool:
        """It is stored as one that is only read by its feed."""
        return self.subscription is not None and self.subscription.is_feed

    @property
    def feed_address(self) -> str:
        """Where the events of the stored subscription can be read."""
        assert self.subscription is not None
        path = f"instances/{self.instance.id}/subscriptions/{self.subscription.id}/feed"
        return f"{current_runtime().api_base()}/{path}"

    @property
    def credentials(self) -> CredentialsView:
        """Which secrets are stored."""
        return self.subscription.credentials if self.subscription else CredentialsView()

    @property
    def polled(self) -> list[str]:
        """Resources that the instance polls."""
        return [one.resource for one in self.instance.pollers]

    @property
    def resources(self) -> list[str]:
        """Resources to choose from: the polled ones, and others that are chosen already."""
        return list(dict.fromkeys([*self.polled, *(self.form.resources.data or ())]))

    @property
    def instance_format(self) -> Format:
        """The format of a subscription that chooses none."""
        return format_of({one.key: one.value for one in self.instance.configuration})

    @property
    def has_delivery(self) -> bool:
        """A field of how notifications are sent is filled in, or wrong."""
        fields = subscription_form.OF_DELIVERY
        return any(self.form[one].data or one in self.errors for one in fields)

    def add_error(self, error: InputError) -> None:
        """Add an error to the field that it concerns."""
        name, message = subscription_form.place_of(self.form, error)
        self.errors[name] = message


def register(blueprint: flask.Blueprint, calls: RateLimiter) -> None:
    """Add the routes.

    :param calls: limits how often each user calls stores and callbacks.
    """

    def form(instance_id: int, subscription_id: int | None = None) -> Answer:
        page = _page(instance_id, subscription_id)
        if flask.request.method == "GET":
            return _rendered(page)
        page.form = subscription_form.submitted(flask.request.form)
        act = flask.request.form.get("act")
        if act == "key":
            page.form.signature_key.data = secrets.token_urlsafe(32)
            return _rendered(page)
        return _test_form(page, calls) if act == "test" else _save(page)

    def test(instance_id: int, subscription_id: int) -> Answer:
        return _test_stored(_page(instance_id, subscription_id), calls)

    add, both = blueprint.add_url_rule, ["GET", "POST"]
    rule = f"/instances/{INSTANCE}/subscriptions"
    one = f"{rule}/{_SUBSCRIPTION}"
    add(f"{rule}/new", view_func=form, endpoint="subscription_new", methods=both)
    add(f"{one}/edit", view_func=form, endpoint="subscription_edit", methods=both)
    add(f"{one}/test", view_func=test, endpoint="subscription_test", methods=["POST"])
    add(f"{one}/pause", view_func=pause, endpoint="subscription_pause", methods=["POST"])
    add(f"{one}/resume", view_func=resume, endpoint="subscription_resume", methods=["POST"])
    add(f"{one}/remove", view_func=remove, endpoint="subscription_remove", methods=both)


def pause(instance_id: int, subscription_id: int) -> Answer:
    """Send nothing to a subscription until it is resumed."""
    return _switch(instance_id, subscription_id, paused=True)


def resume(instance_id: int, subscription_id: int) -> Answer:
    """Send to a paused subscription again, beginning with what has waited."""
    return _switch(instance_id, subscription_id, paused=False)


def remove(instance_id: int, subscription_id: int) -> Answer:
    """Ask whether a subscription is to be removed; remove it."""
    page = _page(instance_id, subscription_id)
    if page.is_first:
        raise InputError(
            "this subscription is the callback URL of the configuration; to remove it, empty the "
            "Event Notification Callback URL on the edit page of the instance"
        )
    if flask.request.method == "GET":
        return flask.render_template("woo_console/subscription_remove.html", page=page)
    with current_runtime().database.write() as session:
        subscriptions.delete(session, access.caller(), instance_id, subscription_id)
    formatting.flash("The subscription was removed.")
    return _back(instance_id)


def _page(instance_id: int, subscription_id: int | None) -> SubscriptionPage:
    """Return the page of a subscription of the signed-in user's organization, or of a new one."""
    runtime, caller = current_runtime(), access.caller()
    with runtime.database.read() as session:
        instance = views.get(session, caller, instance_id, runtime.clock())
        view = None
        if subscription_id is not None:
            cipher = runtime.cipher_or_none
            view = subscriptions.get(session, cipher, caller, instance_id, subscription_id)
    return SubscriptionPage(form=subscription_form.of(view), instance=instance, subscription=view)


def _rendered(page: SubscriptionPage) -> Answer:
    default = f"As the instance, whose format is {page.instance_format}."
    body = flask.render_template(
        "woo_console/subscription.html",
        page=page,
        form=page.form,
        types=EventType,
        mask=MASK,
        formats={"": default}
        | {one.value: text for one, text in forms.NOTIFICATION_FORMATS.items()},
        schedules=subscription_form.SCHEDULES,
        longest=current_runtime().settings.callback_total_timeout,
    )
    if page.wait:
        return body, 429, {"Retry-After": str(math.ceil(page.wait))}
    return body, 409 if page.in_conflict else 422 if page.errors else 200


def _checked(page: SubscriptionPage) -> SubscriptionRequest | None:
    """Return the request that the form stands for, or ``None`` after adding errors to the page."""
    is_sent = not (page.is_first or page.is_feed or page.form.feed.data)
    if is_sent and not page.form.text("callback_url"):
        page.errors["callback_url"] = store_page.REQUIRED
        return None
    try:
        return subscription_form.request_of(page.form, page.subscription)
    except InputError as exc:
        page.add_error(exc)
        return None


def _save(page: SubscriptionPage) -> Answer:
    request = _checked(page)
    if request is None:
        return _rendered(page)
    runtime, caller, before = current_runtime(), access.caller(), page.subscription
    known = (runtime.cipher, caller, page.instance.id)
    try:
        with runtime.database.write() as session:
            if before is None:
                subscriptions.create(session, *known, request, runtime.clock())
            else:
                subscriptions.change(session, *known, before.id, request, runtime.clock())
    except InputError as exc:
        page.add_error(exc)
        return _rendered(page)
    except ConflictError as exc:
        page.errors[""], page.in_conflict = str(exc), True
        return _rendered(page)
    formatting.flash(f"The subscription was {'added' if before is None else 'changed'}.")
    return _back(page.instance.id)


def _switch(instance_id: int, subscription_id: int, *, paused: bool) -> Answer:
    runtime, caller = current_runtime(), access.caller()
    request = validated(SubscriptionRequest, {"paused": paused})
    with runtime.database.write() as session:
        subscriptions.change(
            session, runtime.cipher, caller, instance_id, subscription_id, request, runtime.clock()
        )
    return _back(instance_id)


def _test_form(page: SubscriptionPage, calls: RateLimiter) -> Answer:
    """Send a test notification as the form says, without saving it."""
    request = _checked(page)
    if request is not None and (page.is_feed or page.form.feed.data):
        page.errors["feed"] = "Nothing is sent to it, so that there is nothing to test."
    if request is None or page.errors:
        return _rendered(page)
    url = page.form.text("callback_url") if not page.is_first else _stored(page).url
    try:
        credentials, sender = _as_typed(page, request, url)
    except InputError as exc:
        page.add_error(exc)
        return _rendered(page)
    page.wait = store_page.seconds_to_wait(calls)
    if page.wait:
        page.errors[""] = refusal(page.wait)
    else:
        with access.calling():
            page.outcome = sample.send_to(current_runtime(), url, credentials, sender)
    return _rendered(page)


def _as_typed(
    page: SubscriptionPage, request: SubscriptionRequest, url: str
) -> tuple[CallbackCredentials, Sender]:
    """Return what a test of the form is sent with.

    :raises InputError: a stored secret would be sent to another host than its own.
    """
    if page.is_first:
        return _of_first(page)
    runtime, before = current_runtime(), page.subscription
    present, options = SubscriptionCredentials(), subscription_options.NONE
    with runtime.database.read() as session:
        if before is not None:
            options = before.options
            kept = subscription_form.kept_secret(page.form, before.credentials)
            if kept and store_page.host(url) != store_page.host(before.url):
                raise InputError(f"{kept}: {store_page.OTHER_HOST}", kept)
            if not before.credentials.is_lost:
                present = SubscriptionCredentials.of(
                    configuration.credentials_of(
                        session, runtime.cipher, page.instance.id, before.id
                    )
                )
        chosen = request.options(options).format
        sender = destination.load_sender(session, page.instance.id, chosen)
    typed = request.credentials(present, runtime.clock())
    return destination.callback_credentials(typed, runtime.retired_after), sender


def _test_stored(page: SubscriptionPage, calls: RateLimiter) -> Answer:
    """Send a test notification to a subscription as it is stored."""
    if wait := store_page.seconds_to_wait(calls):
        raise werkzeug.exceptions.TooManyRequests(refusal(wait))
    view = _stored(page)
    try:
        with access.calling():
            outcome = sample.send_to_subscription(
                current_runtime(), access.caller(), page.instance.id, view.id
            )
    except SecretError as exc:
        raise InputError(str(exc)) from exc
    verb = "accepted" if outcome.delivered else "did not accept"
    host = store_page.host(view.url)
    formatting.flash(f"{host[:100]} {verb} the test notification: {outcome.reason}")
    return _back(page.instance.id)


def _of_first(page: SubscriptionPage) -> tuple[CallbackCredentials, Sender]:
    """Return what the first subscription is sent with.

    :raises InputError: a secret cannot be decrypted.
    """
    runtime, number = current_runtime(), page.instance.id
    with runtime.database.read() as session:
        sender = destination.load_sender(session, number, _stored(page).options.format)
        try:
            credentials = destination.load_credentials(
                session, runtime.cipher, number, runtime.retired_after
            )
        except SecretError as exc:
            raise InputError(str(exc)) from exc
    return credentials, sender


def _stored(page: SubscriptionPage) -> SubscriptionView:
    assert page.subscription is not None
    return page.subscription


def _back(instance_id: int) -> Answer:
    address = flask.url_for("woo_console.instance", instance_id=instance_id)
    return flask.redirect(f"{address}#subscriptions")
