"""The answers about the subscriptions of an instance: what they hold, and how it is serialized."""

from __future__ import annotations

import typing as t

import pydantic

from ..delivery.retry import AttemptOutcome
from ..instances.subscriptions import SubscriptionView
from ..settings import Schedule
from ..values.cloud_elements import Format
from ..values.validation import MASK
from .responses import ApiResponse, Attribute, Date


class InstanceSubscriptionResponse(ApiResponse):
    """A receiver of an instance's notifications; what may be changed has the request's names."""

    id: int
    instanceId: int
    first: t.Annotated[bool, Attribute("is_first")] = pydantic.Field(
        description="It belongs to event.notification.callback.url of the configuration, which "
        "also has its key, headers, password and format"
    )
    operational: t.Annotated[bool, Attribute("is_operational")] = pydantic.Field(
        description="It gets operational events only"
    )
    feed: t.Annotated[bool, Attribute("is_feed")] = pydantic.Field(
        description="It is only read by its feed, and nothing is sent"
    )
    callbackUrl: t.Annotated[str, Attribute("url")] = pydantic.Field(
        description="Empty if nothing is sent"
    )
    signatureKey: str | None = pydantic.Field(description="******** if its requests are signed")
    headers: dict[str, str] = pydantic.Field(description="Names of its headers, values masked")
    username: str | None
    password: str | None
    credentialsLost: t.Annotated[bool, Attribute("credentials.is_lost")] = pydantic.Field(
        description="Its key, headers and password cannot be decrypted"
    )
    resources: list[str] = pydantic.Field(description="Empty: all")
    eventTypes: list[str] = pydantic.Field(description="Empty: all")
    fields: t.Annotated[list[str], Attribute("options.choice.fields")] = pydantic.Field(
        description="Fields of which one has to change for an UPDATED; empty: any"
    )
    format: t.Annotated[Format | None, Attribute("options.format")] = pydantic.Field(
        description="Null: that of the instance"
    )
    retrySchedule: t.Annotated[Schedule | list[int] | None, Attribute("options.schedule")] = (
        pydantic.Field(description="Null: that of the account; a list has waits in seconds")
    )
    timeoutSeconds: t.Annotated[float | None, Attribute("options.timeout")]
    requestsPerSecond: t.Annotated[float | None, Attribute("options.rate")]
    concurrentRequests: t.Annotated[int | None, Attribute("options.concurrency")]
    checkpoint: t.Annotated[bool, Attribute("options.checkpoint")] = pydantic.Field(
        description="An operational subscription gets a checkpoint once a day, too"
    )
    paused: bool
    description: t.Annotated[str, Attribute("options.description")]
    active: bool
    reason: str | None = pydantic.Field(description="Why it is not active")
    failures: int = pydantic.Field(description="Failed attempts in a row")
    failingSince: Date | None
    heldUntil: Date | None = pydantic.Field(
        description="After failures in a row nothing is sent until then"
    )
    waiting: int = pydantic.Field(
        description="Notifications that are not sent yet, to which a change applies"
    )
    createdDate: t.Annotated[Date, Attribute("created_at")]

    @classmethod
    def of_view(cls, view: SubscriptionView) -> InstanceSubscriptionResponse:
        """Build the answer for a subscription."""
        credentials, chosen, schedule = view.credentials, view.options.choice, view.options.schedule
        password = MASK if credentials.has_password else None
        return cls.of(
            view,
            signatureKey=MASK if credentials.is_signed else None,
            headers=dict.fromkeys(credentials.headers, MASK),
            username=password,
            password=password,
            resources=sorted(chosen.resources),
            eventTypes=sorted(chosen.types),
            fields=list(chosen.fields),
            retrySchedule=list(schedule) if isinstance(schedule, tuple) else schedule,
        )


class TestedSubscriptionResponse(ApiResponse):
    """What the receiver answered to a test notification."""

    delivered: bool = pydantic.Field(description="It answered with a status from 200 to 299")
    statusCode: int | None = pydantic.Field(description="Null if it did not answer")
    reason: str
    answer: str = pydantic.Field(description="The beginning of the answer, secrets masked")
    seconds: float

    @classmethod
    def of_outcome(cls, outcome: AttemptOutcome) -> TestedSubscriptionResponse:
        """Build the answer for an attempt."""
        return cls.of(outcome, seconds=round(outcome.seconds, 3))
