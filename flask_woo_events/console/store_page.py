"""The page with the form of a store: its state, its checks and how it is rendered."""

from __future__ import annotations

import dataclasses
import math
import secrets
import typing as t
import urllib.parse

import flask

from ..delivery import sample
from ..delivery.retry import AttemptOutcome
from ..errors import DatePatternError, InputError, TransportError
from ..instances import configuration, lifecycle, specification, views
from ..instances.health import Health
from ..instances.polled_resources import CONFIGURATION_KEY, parse_poller_configuration
from ..instances.requests import DEFINITIONS, InstanceConfiguration, InstanceRequest, key_of
from ..instances.specification import CurrentSpec, InstanceSpec
from ..runtime import current_runtime
from ..values.java_dates import DatePattern
from ..values.validation import MASK, validated
from . import access, curl, forms, instance_status, json_errors
from .access import Answer
from .forms import StoreForm
from .json_errors import JsonProblem
from .rate_limit import RateLimiter, refusal

#: The message for a required field that is empty.
REQUIRED = "This field is required"
#: The message for a secret of another encryption key.
LOST = "the stored value cannot be decrypted; enter it again"
#: The message for a stored secret that a test would send to another host than its own.
OTHER_HOST = "the stored value belongs to another host; enter it again to test this one"
#: Fields that must not be empty.
REQUIRED_FIELDS = (
    "name",
    *(field for field, name in forms.KEYS.items() if DEFINITIONS[key_of(name)].required),
)
#: Tags offered for selection, the most frequent.
TAGS_OFFERED = 40
_POLLERS = f"configuration.{CONFIGURATION_KEY}"


@dataclasses.dataclass(kw_only=True)
class StorePage:
    """The state of the page: the form, what is wrong with it, and results of its buttons."""

    form: StoreForm
    #: Limits how often this user calls stores and callbacks.
    calls: RateLimiter
    #: The instance that is edited; ``None`` for a new one.
    instance: views.InstanceView | None = None
    reveal: bool = False
    optional: bool = False
    #: Identifies the form, so that submitting it again does not create a second instance.
    form_id: str = dataclasses.field(default_factory=lambda: secrets.token_urlsafe(16))
    #: Error messages by field name; ``""`` is the whole form.
    errors: dict[str, str] = dataclasses.field(default_factory=dict)
    problem: JsonProblem | None = None
    #: The store's answer to a successful connection check.
    store: dict[str, t.Any] | None = None
    store_error: TransportError | None = None
    outcome: AttemptOutcome | None = None
    command: str = ""
    #: Seconds until the next call to a store or a callback is allowed; 0 when it is.
    wait: float = 0.0
    #: Why the instance that is edited is failing or disabled.
    health_reason: str = ""

    def add_error(self, error: InputError) -> None:
        """Add an error to the field that it concerns."""
        field = error.field or ""
        if field.startswith(_POLLERS):
            text = self.form.poller_json.data or ""
            if self.form.mode.data != "json":
                text = ""
            self.problem = json_errors.problem(text, error, _POLLERS)
            return
        name = forms.FIELDS.get(field, "")
        message = str(error).removeprefix(f"{field}: ")
        self.errors[name] = message[:1].upper() + message[1:]
        self.optional |= name in (*forms.OPTIONAL, "format")

    def require(self, fields: t.Iterable[str]) -> bool:
        """Add an error to each of these fields that is empty; return whether none is."""
        missing = [field for field in fields if not (self.form[field].data or "").strip()]
        self.errors |= dict.fromkeys(missing, REQUIRED)
        return not missing


def new_page(calls: RateLimiter) -> StorePage:
    """Return the page of a new instance."""
    return StorePage(form=forms.blank(), calls=calls)


def edit_page(view: views.InstanceView, calls: RateLimiter) -> StorePage:
    """Return the page of an existing instance."""
    form = forms.of_instance(view.name, view.tags, configuration_of(view) or {}, _tags())
    page = StorePage(
        form=form,
        calls=calls,
        instance=view,
        optional=form.has_optional,
        health_reason=_health_reason(view.id),
    )
    runtime = current_runtime()
    with runtime.database.read() as session:
        lost = configuration.unreadable(session, runtime.cipher_or_none, view.id)
    for key in lost:
        page.add_error(InputError(LOST, f"configuration.{key}"))
    return page


def submitted_page(view: views.InstanceView | None, calls: RateLimiter) -> StorePage:
    """Return the page with the form of the request."""
    fields = flask.request.form
    form = forms.submitted(fields)
    return StorePage(
        form=form,
        calls=calls,
        instance=view,
        # Limited, because the session keeps it in a cookie.
        form_id=fields.get("form_id", "")[:40] or secrets.token_urlsafe(16),
        reveal=fields.get("reveal") == "1",
        optional=form.has_optional,
    )


def rendered(page: StorePage) -> Answer:
    """Return the page as HTML, with status 422 if something is wrong with a submitted form."""
    page.command = command(page)
    failed = page.errors or page.problem or page.store_error
    body = flask.render_template(
        "woo_console/store.html",
        page=page,
        form=page.form,
        tags=_tags(),
        patterns=[(pattern, example(pattern)) for pattern in forms.FORMATS],
        formats=forms.NOTIFICATION_FORMATS,
        example=example,
    )
    if page.wait:
        return body, 429, {"Retry-After": str(math.ceil(page.wait))}
    return body, 422 if failed and flask.request.method == "POST" else 200


def check(page: StorePage) -> InstanceSpec | None:
    """Return what the form specifies, or ``None`` after adding errors to the page."""
    complete = page.require(REQUIRED_FIELDS)
    try:
        if page.form.mode.data == "json":
            parse_poller_configuration(forms.read_json(page.form))
        if not complete:
            return None
        before = current_spec(page.instance) if page.instance is not None else None
        return specification.plan(request_of(page), before, partial=before is not None)
    except InputError as exc:
        page.add_error(exc)
        return None


def check_callback(page: StorePage) -> InstanceConfiguration | None:
    """Return the configuration of the callback, whatever else is wrong with the form."""
    before = current_spec(page.instance) if page.instance is not None else None
    texts = before.texts if before is not None else {}
    given = {}
    stored_host = host(texts.get(key_of(forms.KEYS["callback_url"]), ""))
    same_host = host(page.form.callback_url.data or "") == stored_host
    try:
        for field in ("callback_url", *forms.OF_CALLBACK):
            key, value = key_of(forms.KEYS[field]), (page.form[field].data or "").strip()
            if value == MASK and not same_host:
                raise InputError(OTHER_HOST, f"configuration.{key}")
            if value == MASK and before is not None and key in before.unreadable:
                raise InputError(LOST, f"configuration.{key}")
            given[key] = texts.get(key, "") if value == MASK else value
        filled = {key: value for key, value in given.items() if value}
        configuration = validated(InstanceConfiguration, filled, ("configuration",))
        sample.credentials_of(configuration)
        if not configuration.callback_url:
            raise InputError("enter a URL", f"configuration.{key_of('callback_url')}")
        return configuration
    except InputError as exc:
        page.add_error(exc)
        return None


def may_call(page: StorePage) -> bool:
    """Count a call to a store or a callback; add an error to the page if it exceeds the limit."""
    page.wait = seconds_to_wait(page.calls)
    if page.wait:
        page.errors[""] = refusal(page.wait)
    return not page.wait


def seconds_to_wait(calls: RateLimiter) -> float:
    """Count a call of the signed-in user; return the seconds to wait if it exceeds the limit."""
    return calls.wait(str(access.caller().user_id), current_runtime().clock())


def request_of(page: StorePage) -> InstanceRequest:
    """Return the API request that the form stands for.

    :raises InputError: a value is not valid.
    """
    return validated(InstanceRequest, forms.request_of(page.form, configuration_of(page.instance)))


def command(page: StorePage) -> str:
    """Return the form as a cURL command; empty if its resources cannot be read."""
    try:
        body = forms.request_of(page.form, configuration_of(page.instance))
    except InputError:
        return ""
    url = f"{current_runtime().api_base()}/instances"
    if page.instance is None:
        return curl.command("POST", url, body, reveal=page.reveal)
    return curl.command("PATCH", f"{url}/{page.instance.id}", body, reveal=page.reveal)


def example(pattern: str | None) -> str:
    """Return the current date in a format, or what is wrong with the format."""
    if not pattern:
        return ""
    try:
        return DatePattern(pattern).format(current_runtime().clock())
    except DatePatternError as exc:
        return str(exc)


def view_of(instance_id: int) -> views.InstanceView:
    """Return an instance of the signed-in user's organization."""
    runtime = current_runtime()
    with runtime.database.read() as session:
        return views.get(session, access.caller(), instance_id, runtime.clock())


def current_spec(view: views.InstanceView) -> CurrentSpec:
    """Return the stored specification of an instance."""
    runtime = current_runtime()
    with runtime.database.read() as session:
        return lifecycle.before(session, runtime.cipher, access.caller(), view.id)


def configuration_of(view: views.InstanceView | None) -> dict[str, str] | None:
    """Return the configuration of an instance, secrets masked."""
    return {entry.key: entry.value for entry in view.configuration} if view is not None else None


def _health_reason(instance_id: int) -> str:
    runtime = current_runtime()
    with runtime.database.read() as session:
        status = instance_status.status(session, access.caller(), instance_id, runtime.clock())
    return status.reason if status.health in (Health.FAILING, Health.DISABLED) else ""


def _tags() -> list[str]:
    with current_runtime().database.read() as session:
        return instance_status.tags(session, access.caller())[:TAGS_OFFERED]


def host(url: str) -> str:
    """Return the host of a URL with its port."""
    return urllib.parse.urlsplit(url.strip()).netloc.lower()
