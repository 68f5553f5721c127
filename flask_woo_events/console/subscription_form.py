"""The form of a subscription: its fields, and the API request that it stands for."""

from __future__ import annotations

import re
import typing as t

import werkzeug.datastructures
import wtforms

from ..errors import InputError
from ..instances.requests import parse_headers
from ..instances.subscription_requests import SubscriptionRequest
from ..instances.subscriptions import CredentialsView, SubscriptionView
from ..settings import Schedule
from ..values.validation import MASK, validated

#: The choice of a retry schedule whose waits are typed.
OWN = "own"
#: The retry schedules offered, each with what it means.
SCHEDULES = {
    "": "The schedule of the organization.",
    "standard": "After 5 s, 5 min, 30 min and so on, for three days.",
    "cloud-elements": "4, 16, 64 and so on seconds after the first failure, for three days.",
    OWN: "The waits below.",
}
#: The form's field for each member of the request.
FIELDS = {
    "callbackUrl": "callback_url",
    "signatureKey": "signature_key",
    "headers": "headers",
    "username": "username",
    "password": "password",
    "resources": "resources",
    "eventTypes": "types",
    "fields": "trigger_fields",
    "format": "format",
    "retrySchedule": "schedule",
    "timeoutSeconds": "timeout",
    "requestsPerSecond": "rate",
    "concurrentRequests": "concurrency",
    "feed": "feed",
    "operational": "operational",
    "checkpoint": "checkpoint",
    "description": "description",
}
#: Fields of what is behind "Delivery" in the form.
OF_DELIVERY = ("schedule", "waits", "timeout", "rate", "concurrency")


class SubscriptionForm(wtforms.Form):
    """The form of one subscription; ``instances.subscription_requests`` validates its values."""

    callback_url = wtforms.StringField("Callback URL")
    signature_key = wtforms.StringField("Signature Key")
    remove_key = wtforms.BooleanField("Remove the signature key")
    headers = wtforms.TextAreaField("Headers")
    username = wtforms.StringField("User Name")
    password = wtforms.StringField("Password")
    remove_password = wtforms.BooleanField("Remove the user name and the password")
    resources = wtforms.SelectMultipleField("Resources", validate_choice=False)
    types = wtforms.SelectMultipleField("Event Types", validate_choice=False)
    trigger_fields = wtforms.TextAreaField("Trigger Fields")
    format = wtforms.StringField("Format of the notifications")
    schedule = wtforms.StringField("Retry Schedule")
    waits = wtforms.StringField("Waits (seconds)")
    timeout = wtforms.StringField("Time-out (seconds)")
    rate = wtforms.StringField("Requests per second")
    concurrency = wtforms.StringField("Concurrent requests")
    feed = wtforms.BooleanField("Only read by its feed")
    operational = wtforms.BooleanField("Operational events only")
    checkpoint = wtforms.BooleanField("Also a checkpoint once a day")
    description = wtforms.StringField("Description")

    def text(self, name: str) -> str:
        """Return what was typed into a field, without spaces around it."""
        return (self[name].data or "").strip()


def submitted(fields: werkzeug.datastructures.MultiDict[str, str]) -> SubscriptionForm:
    """Return the form with submitted values."""
    return SubscriptionForm(fields)


def of(view: SubscriptionView | None) -> SubscriptionForm:
    """Return the form of a subscription, without its secrets; ``None`` for a new one."""
    if view is None:
        return SubscriptionForm()
    options, schedule = view.options, view.options.schedule
    own = isinstance(schedule, tuple)
    return SubscriptionForm(
        callback_url=view.url,
        headers="" if view.is_first else _masked(view.credentials),
        resources=sorted(options.choice.resources),
        types=sorted(options.choice.types),
        trigger_fields="\n".join(options.choice.fields),
        format=options.format.value if options.format is not None else "",
        schedule=OWN if own else schedule or "",
        waits=", ".join(map(str, schedule)) if isinstance(schedule, tuple) else "",
        timeout=_number(options.timeout),
        rate=_number(options.rate),
        concurrency=_number(options.concurrency),
        feed=view.is_feed,
        operational=view.is_operational,
        checkpoint=options.checkpoint,
        description=options.description,
    )


def request_of(form: SubscriptionForm, before: SubscriptionView | None) -> SubscriptionRequest:
    """Return the API request that the form stands for: all that differs from what is stored.

    :param before: the subscription that is changed; ``None`` for a new one.
    :raises InputError: a value is not valid.
    """
    kept = before.credentials if before is not None else CredentialsView()
    body, present = _options(form), _options(of(before))
    body = {name: value for name, value in body.items() if value != present[name]}
    for name in ("feed", "operational"):
        if before is None and form[name].data:
            body[name] = True
    if before is not None and before.is_first:
        # The configuration of the instance has the rest.
        body.pop("format", None)
    else:
        body |= _credentials(form, kept)
        url = form.text("callback_url")
        if before is None or url != before.url:
            body["callbackUrl"] = url
    request = validated(SubscriptionRequest, body)
    if request.headers != MASK:
        headers = parse_headers(request.headers or "", name="headers")
        if any(text == MASK and name not in kept.headers for name, text in headers.items()):
            raise InputError("headers: enter the value of a header with a new name", "headers")
    return request


def kept_secret(form: SubscriptionForm, kept: CredentialsView) -> str:
    """Return a member of the request whose stored secret stays as it is; empty if none does."""
    if kept.is_signed and not form.text("signature_key") and not form.remove_key.data:
        return "signatureKey"
    if kept.headers and MASK in form.text("headers"):
        return "headers"
    typed = form.text("username") and form.text("password")
    if kept.has_password and not typed and not form.remove_password.data:
        return "password"
    return ""


def place_of(form: SubscriptionForm, error: InputError) -> tuple[str, str]:
    """Return the field of the form that an error concerns, and the message beside it."""
    member, _, number = (error.field or "").partition(".")
    message = str(error).removeprefix(f"{error.field}: ")
    name = FIELDS.get(member, "")
    if name == "schedule" and form.schedule.data == OWN:
        name, message = "waits", message.rpartition(" expected, or ")[2]
    if name == "trigger_fields" and number.isdigit():
        lines = (form.trigger_fields.data or "").splitlines()
        filled = [place for place, line in enumerate(lines, start=1) if line.strip()]
        return name, f"Line {filled[int(number)]}: {message}"
    return name, message[:1].upper() + message[1:]


def _options(form: SubscriptionForm) -> dict[str, t.Any]:
    """Return members of the request that are no secrets; ``None`` for a choice that is not made."""
    lines = (form.trigger_fields.data or "").splitlines()
    return {
        "resources": sorted(set(form.resources.data or ())) or None,
        "eventTypes": sorted(set(form.types.data or ())) or None,
        "fields": [line.strip() for line in lines if line.strip()] or None,
        "format": form.text("format") or None,
        "retrySchedule": _schedule(form),
        "timeoutSeconds": form.text("timeout") or None,
        "requestsPerSecond": form.text("rate") or None,
        "concurrentRequests": form.text("concurrency") or None,
        "checkpoint": bool(form.checkpoint.data),
        "description": form.text("description") or None,
    }


def _credentials(form: SubscriptionForm, kept: CredentialsView) -> dict[str, t.Any]:
    """Return the secrets to be changed; all of them if the stored ones are lost."""
    key, headers = form.text("signature_key"), form.text("headers")
    named: dict[str, t.Any] = {}
    if key or form.remove_key.data or kept.is_lost:
        named["signatureKey"] = key
    if headers.splitlines() != _masked(kept).splitlines() or kept.is_lost:
        named["headers"] = _headers(headers)
    for name in ("username", "password"):
        if form.text(name) or form.remove_password.data or kept.is_lost:
            named[name] = form.text(name)
    return named


def _headers(text: str) -> dict[str, str] | str:
    """Return lines of ``Name: value``, whose values may hold commas; other text as it is."""
    lines = [line.partition(":") for line in text.splitlines() if line.strip()]
    if text.startswith("{") or not all(colon for _, colon, _ in lines):
        return text
    return {name.strip(): value.strip() for name, _, value in lines}


def _masked(kept: CredentialsView) -> str:
    return "\n".join(f"{name}: {MASK}" for name in kept.headers)


def _schedule(form: SubscriptionForm) -> Schedule | str | list[int | str] | None:
    if form.schedule.data != OWN:
        return form.schedule.data or None
    waits = re.split(r"[\s,;]+", form.text("waits"))
    # What is too long for a wait is refused as text.
    return [int(one) if re.fullmatch("[0-9]{1,9}", one) else one for one in waits]


def _number(value: float | None) -> str:
    return "" if value is None else str(value).removesuffix(".0")
