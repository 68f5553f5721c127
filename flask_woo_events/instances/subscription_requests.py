"""Requests for subscriptions, and their validation."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

import pydantic

from ..db.states import EventType
from ..errors import InputError
from ..events.subscription_options import SubscriptionOptions
from ..settings import Schedule
from ..values.cloud_elements import Format
from ..values.event_choice import EventChoice
from ..values.field_paths import PATHS_MOST, checked
from ..values.validation import MASK, Flag, not_a_flag, printable
from .requests import CallbackUrl, Secret, parse_headers, user_name
from .subscription_credentials import SubscriptionCredentials

#: Waits of a schedule at most, and the longest of them in seconds.
WAITS_MOST, WAIT_LONGEST = 20, 7 * 86400
_SCHEDULES = t.get_args(Schedule)


def _event_type(value: object) -> object:
    if isinstance(value, str) and value.strip().upper() in set(EventType):
        return value.strip().upper()
    raise ValueError(f"{', '.join(EventType)} are the types of events")


def _format(value: object) -> object:
    if isinstance(value, str) and value.strip().lower() in set(Format):
        return Format(value.strip().lower())
    raise ValueError(f"{', '.join(Format)} are the formats")


def _schedule(value: object) -> object:
    if value is None:
        return None
    waits = value if isinstance(value, list) else None
    if isinstance(value, str) and value.strip().lower() in _SCHEDULES:
        return value.strip().lower()
    if (
        waits is None
        or not 1 <= len(waits) <= WAITS_MOST
        or not all(type(one) is int and 1 <= one <= WAIT_LONGEST for one in waits)
    ):
        raise ValueError(
            f"{' or '.join(_SCHEDULES)} is expected, or a list of 1 to {WAITS_MOST} waits in "
            f"seconds, each from 1 to {WAIT_LONGEST:,}"
        )
    return tuple(waits)


ResourceName = t.Annotated[
    str,
    pydantic.StringConstraints(min_length=1, max_length=190),
    pydantic.AfterValidator(printable),
]
FieldPath = t.Annotated[str, pydantic.AfterValidator(checked)]
Description = t.Annotated[
    str,
    pydantic.StringConstraints(max_length=500, strip_whitespace=True),
    pydantic.AfterValidator(printable),
]
#: An object, or lines of ``Name: value`` as in the configuration.
Headers = t.Annotated[
    t.Any,
    pydantic.WithJsonSchema(
        {
            "anyOf": [
                {"type": "object", "additionalProperties": {"type": "string"}},
                {"type": ["string", "null"]},
            ]
        }
    ),
]
TypeName = t.Annotated[
    str,
    pydantic.BeforeValidator(_event_type),
    pydantic.WithJsonSchema({"type": "string", "enum": list(EventType)}),
]
Waits = t.Annotated[
    t.Any,
    pydantic.BeforeValidator(_schedule),
    pydantic.WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "enum": list(_SCHEDULES)},
                {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 1, "maximum": WAIT_LONGEST},
                    "minItems": 1,
                    "maxItems": WAITS_MOST,
                },
                {"type": "null"},
            ]
        }
    ),
]
Timeout = t.Annotated[
    float,
    pydantic.Field(ge=1, le=180, allow_inf_nan=False),
    pydantic.BeforeValidator(not_a_flag),
]
Rate = t.Annotated[
    float,
    pydantic.Field(ge=0.01, le=1000, allow_inf_nan=False),
    pydantic.BeforeValidator(not_a_flag),
]
Concurrency = t.Annotated[int, pydantic.Field(ge=1, le=100), pydantic.BeforeValidator(not_a_flag)]
#: Members of answers that a request may repeat; they say nothing.
READ_ONLY = frozenset(
    {
        "active",
        "createdDate",
        "credentialsLost",
        "failingSince",
        "failures",
        "first",
        "heldUntil",
        "id",
        "instanceId",
        "reason",
        "waiting",
    }
)


class SubscriptionRequest(pydantic.BaseModel):
    """The body of ``POST`` and ``PATCH /instances/{id}/subscriptions``.

    Both may leave out anything but the callback URL of a new subscription, unless it is one that is
    only read by its feed. ``null`` takes a choice
    back. Unknown members are refused: a filter that is misspelt would send everything.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    callback_url: CallbackUrl | None = pydantic.Field(None, alias="callbackUrl")
    signature_key: Secret | None = pydantic.Field(None, alias="signatureKey")
    headers: Headers = None
    username: t.Annotated[Secret, pydantic.AfterValidator(user_name)] | None = None
    password: Secret | None = None
    resources: t.Annotated[list[ResourceName], pydantic.Field(max_length=100)] | None = None
    types: list[TypeName] | None = pydantic.Field(None, alias="eventTypes", max_length=100)
    fields: t.Annotated[list[FieldPath], pydantic.Field(max_length=PATHS_MOST)] | None = None
    format: t.Annotated[Format, pydantic.BeforeValidator(_format)] | None = None
    schedule: Waits = pydantic.Field(None, alias="retrySchedule")
    timeout: Timeout | None = pydantic.Field(None, alias="timeoutSeconds")
    rate: Rate | None = pydantic.Field(None, alias="requestsPerSecond")
    concurrency: Concurrency | None = pydantic.Field(None, alias="concurrentRequests")
    operational: Flag | None = None
    checkpoint: Flag | None = None
    feed: Flag | None = None
    paused: Flag | None = None
    description: Description | None = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _without_read_only(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {name: one for name, one in value.items() if name not in READ_ONLY}

    def options(self, before: SubscriptionOptions) -> SubscriptionOptions:
        """Return the options of a subscription after this request.

        :param before: its present options, which stay where the request names none.
        """
        chosen = before.choice
        named = self.model_fields_set

        def value(name: str, present: t.Any, empty: t.Any = None) -> t.Any:
            if name not in named:
                return present
            given = getattr(self, name)
            return empty if given is None else given

        return SubscriptionOptions(
            choice=EventChoice(
                resources=frozenset(value("resources", chosen.resources, ())),
                types=frozenset(value("types", chosen.types, ())),
                fields=tuple(dict.fromkeys(value("fields", chosen.fields, ()))),
            ),
            format=value("format", before.format),
            schedule=value("schedule", before.schedule),
            timeout=value("timeout", before.timeout),
            rate=value("rate", before.rate),
            concurrency=value("concurrency", before.concurrency),
            checkpoint=value("checkpoint", before.checkpoint, False),
            description=value("description", before.description, ""),
        )

    def credentials(
        self,
        before: SubscriptionCredentials,
        now: dt.datetime,
    ) -> SubscriptionCredentials:
        """Return the credentials of a subscription after this request; a masked secret stays.

        :param now: from when a replaced signature key is retired.
        :raises InputError: a header cannot be sent, or a masked secret is not there.
        """
        named = self.model_fields_set
        found = before
        if "signature_key" in named and not self._keeps("signature_key", before.signature_key):
            found = before.with_key(self.signature_key or "", now)
        changes: dict[str, t.Any] = {}
        if "headers" in named and not self._keeps("headers", before.headers):
            changes["headers"] = parse_headers(self.headers or "", name="headers")
            for header, text in changes["headers"].items():
                if text == MASK:
                    changes["headers"][header] = before.headers.get(header) or _refuse_mask(
                        f"headers.{header}"
                    )
        for name in ("username", "password"):
            # A password may be empty.
            if name in named and not self._keeps(name, before.username):
                changes[name] = getattr(self, name) or ""
        return dataclasses.replace(found, **changes)

    def _keeps(self, name: str, present: object) -> bool:
        """Return whether the request has a masked secret, which stays.

        :raises InputError: there is none to stay.
        """
        if getattr(self, name) != MASK:
            return False
        if not present:
            _refuse_mask(type(self).model_fields[name].alias or name)
        return True


def _refuse_mask(field: str) -> t.NoReturn:
    raise InputError(f"{field}: {MASK} stands for a secret that is stored, and none is", field)


#: What a request names of the way to a receiver, which the reader of a feed does not have.
SENDING = (
    "callback_url", "signature_key", "headers", "username", "password", "schedule", "timeout",
    "rate", "concurrency", "operational", "checkpoint", "paused",
)  # fmt: skip
#: What a request names of the credentials.
CREDENTIALS = frozenset({"signature_key", "headers", "username", "password"})
