"""The answers about instances, elements and stores: what they hold, and how it is serialized.

The description of the API is made from these models. ``XResponse`` is described as ``X``.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import functools
import operator
import typing as t

import pydantic
from pydantic.alias_generators import to_snake

from ..instances.views import InstanceView
from ..values.cloud_elements import ELEMENT_ID, ELEMENT_KEY, HUB_KEY
from ..values.dates import iso_z

SUFFIX = "Response"
R = t.TypeVar("R", bound="ApiResponse")

#: A date in an answer: ``2018-08-20T15:29:06Z``.
Date = t.Annotated[
    str, pydantic.BeforeValidator(lambda one: iso_z(one) if isinstance(one, dt.datetime) else one)
]


@dataclasses.dataclass(frozen=True)
class Attribute:
    """Names the attribute that a member is read from; dots lead deeper."""

    path: str


class ApiResponse(pydantic.BaseModel):
    """An answer of the API.

    Members with a default are the same in every answer, or are left out of the JSON while they
    are ``None``. The others can be read from the attributes of a value: ``createdDate`` from
    ``created_date``, unless an :class:`Attribute` names another one.
    """

    model_config = pydantic.ConfigDict(
        extra="forbid",
        model_title_generator=lambda model: model.__name__.removesuffix(SUFFIX),
    )

    @classmethod
    def of(cls: type[R], source: object, **more: object) -> R:
        """Build the answer.

        :param source: its attributes are read.
        :param more: members that it does not have.
        """
        # Not ``from_attributes`` of pydantic, which takes ten times as long.
        read = {name: get(source) for name, get in _readers(cls).items() if name not in more}
        return cls.model_validate(read | more)


@functools.cache
def _readers(model: type[ApiResponse]) -> dict[str, cabc.Callable[[object], object]]:
    """Return how each member without a default is read."""
    readers: dict[str, cabc.Callable[[object], object]] = {}
    for name, field in model.model_fields.items():
        if field.is_required():
            named = [one.path for one in field.metadata if isinstance(one, Attribute)]
            readers[name] = operator.attrgetter(*named or [to_snake(name)])
    return readers


def dump(answer: ApiResponse) -> dict[str, t.Any]:
    """Return an answer as the object that is sent as JSON."""
    absent = {
        name
        for name, field in type(answer).model_fields.items()
        if field.default is None and getattr(answer, name) is None
    }
    return answer.model_dump(mode="json", exclude=absent)


def dump_all(answers: cabc.Iterable[ApiResponse]) -> list[dict[str, t.Any]]:
    """Return a list of answers as it is sent as JSON."""
    return [dump(answer) for answer in answers]


class ErrorResponse(ApiResponse):
    """Every error."""

    message: str
    requestId: str = pydantic.Field(description="Also in the header Elements-Request-Id")
    providerMessage: str | None = pydantic.Field(None, description="The store's own message")


class EmptyResponse(ApiResponse):
    """An object without members."""


class MessageResponse(ApiResponse):
    """A message to read."""

    message: str


class TakenResponse(MessageResponse):
    """This address receives webhooks."""

    upSeconds: float = pydantic.Field(
        description="How long the answering process has stored every webhook, in seconds"
    )


class UserResponse(ApiResponse):
    """The user that an instance belongs to."""

    id: int
    emailAddress: str = ""
    firstName: str
    lastName: str = ""


class AuthenticationResponse(ApiResponse):
    """How the element authenticates."""

    type: str = "custom"


#: The element's image. In the answer itself, because it has no public address.
IMAGE = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E"
    "%3Cpath fill='%237f54b3' d='M1 3h6L6 8H2zM2 3a2 2 0 0 1 4 0H5a1 1 0 0 0-2 0z'/%3E%3C/svg%3E"
)


class ElementSummaryResponse(ApiResponse):
    """The element, as the documented service describes it."""

    id: int = ELEMENT_ID
    name: str = "WooCommerce"
    hookName: str = "WooCommercewp"
    key: str = ELEMENT_KEY
    description: str = "Connects a WooCommerce store through its REST API"
    image: str = IMAGE
    active: bool = True
    deleted: bool = False
    typeOauth: bool = False
    trialAccount: bool = False
    resources: list[t.Any] = []
    transformationsEnabled: bool = False
    bulkDownloadEnabled: bool = False
    bulkUploadEnabled: bool = False
    cloneable: bool = False
    extendable: bool = False
    beta: bool = False
    authentication: AuthenticationResponse = AuthenticationResponse()
    extended: bool = False
    hub: str = HUB_KEY
    protocolType: str = "http"
    parameters: list[t.Any] = []
    private: bool = False


ELEMENT = ElementSummaryResponse()


class PollerResponse(ApiResponse):
    """The state of the poller of one resource."""

    resource: str
    url: str
    state: str
    failures: int
    error: str | None
    lastPoll: t.Annotated[Date | None, Attribute("polled_at")]
    nextRetry: t.Annotated[Date | None, Attribute("retry_at")]
    ignoredFields: t.Annotated[list[str], Attribute("ignored_fields")]


class WebhookResponse(ApiResponse):
    """One of our webhooks at the store, or the error that prevented it."""

    topic: str | None
    id: int | None
    status: str | None
    error: str | None


class HeldResourceResponse(ApiResponse):
    """What accepting a hold may send for one resource."""

    resource: str
    objects: int
    eventType: t.Annotated[str, Attribute("event_type")]


class HoldResponse(ApiResponse):
    """What an instance holds back."""

    kind: t.Literal["copy", "another", "unknown", "alternating", "deletions"]
    since: Date
    reason: str
    resources: list[HeldResourceResponse]
    command: str = pydantic.Field(description="Accepts what is held")


class ProblemResponse(ApiResponse):
    """What makes an instance send less or later than it should."""

    code: str
    resource: str | None = pydantic.Field(description="Null if it concerns all resources")
    since: Date
    text: str
    costs: str = pydantic.Field(description="What is late or missing while it lasts")
    ends: str = pydantic.Field(description="What ends it")
    command: str = pydantic.Field(description="A command that helps; empty if there is none")
    subscriptionId: t.Annotated[int | None, Attribute("subscription_id")] = pydantic.Field(
        description="The subscription that it concerns, but not the first one of the instance"
    )


class InstanceResponse(ApiResponse):
    """A connected store."""

    id: int
    name: str
    createdDate: t.Annotated[Date, Attribute("created_at")]
    # Not ELEMENT itself as the default: pydantic would copy it for every instance.
    element: ElementSummaryResponse = pydantic.Field(default_factory=lambda: ELEMENT)
    elementId: int = ELEMENT_ID
    tags: list[str]
    provisionInteractions: list[t.Any] = []
    valid: bool = True
    disabled: bool
    maxCacheSize: int = 0
    cacheTimeToLive: int = 0
    configuration: dict[str, str] = pydantic.Field(description="Secrets read back as ********")
    eventsEnabled: bool
    eventsNotificationCallbackUrl: str | None = None
    subscriptionId: int | None = None
    traceLoggingEnabled: bool = False
    cachingEnabled: bool = False
    externalAuthentication: str = "none"
    user: UserResponse
    # The members from here on are additions to the documented ones.
    state: t.Literal["connecting", "refused", "connected"] = pydantic.Field(
        description="connecting while a worker has to check the store; refused if it refused the "
        "keys then"
    )
    pollers: list[PollerResponse]
    store: t.Annotated[dict[str, t.Any], Attribute("store_facts")] = pydantic.Field(
        description="What the store reports about itself"
    )
    webhooks: list[WebhookResponse]
    webhookTally: list[dict[str, t.Any]]
    journal: dict[str, t.Any]
    notices: list[dict[str, t.Any]]
    hold: HoldResponse | None
    problems: list[ProblemResponse]
    token: str | None = pydantic.Field(
        None,
        description="In the answer to the request that creates the instance; in others only with "
        "WOO_EVENTS_KEEP_TOKENS",
    )

    @classmethod
    def of_view(cls, view: InstanceView, token: str | None = None) -> InstanceResponse:
        """Build the answer for an instance.

        :param token: of an instance that was created just now, or that is kept.
        """
        subscribed = view.events_enabled and view.subscription_id is not None
        return cls.of(
            view,
            configuration={one.key: one.value for one in view.configuration},
            eventsNotificationCallbackUrl=view.callback_url if subscribed else None,
            subscriptionId=view.subscription_id if subscribed else None,
            user=UserResponse(id=view.user_id, firstName=view.user_name),
            pollers=[PollerResponse.of(one) for one in view.pollers],
            webhooks=[
                {name: one.get(name) for name in WebhookResponse.model_fields}
                for one in view.webhooks
            ],
            webhookTally=[
                {"resource": resource, **dataclasses.asdict(counts), "since": iso_z(since)}
                for resource, (counts, since) in view.tally.items()
            ],
            hold=None
            if view.hold is None
            else HoldResponse.of(
                view.hold,
                resources=[HeldResourceResponse.of(one) for one in view.hold.resources],
            ),
            problems=[ProblemResponse.of(one) for one in view.problems],
            token=token,
        )


class TokenResponse(ApiResponse):
    """The new token of an instance."""

    token: str


class ConfigurationEntryResponse(ApiResponse):
    """One entry of an instance's configuration."""

    id: int
    name: t.Annotated[str, Attribute("definition.name")]
    key: str
    propertyValue: t.Annotated[str, Attribute("value")]
    description: t.Annotated[str, Attribute("definition.description")]
    type: t.Annotated[str, Attribute("definition.type")]
    required: t.Annotated[bool, Attribute("definition.required")]
    active: bool = True
    hideFromConsole: t.Annotated[bool, Attribute("definition.hidden")]


class PingResponse(ApiResponse):
    """The store answered."""

    dateTime: str = pydantic.Field(description="The store's clock, UTC")
    endpoint: str = ELEMENT_KEY


class HubObjectResponse(ApiResponse):
    """A resource of the hub."""

    name: str
    vendorName: str
    type: t.Literal["ceCanonical", "vendor"] = pydantic.Field(
        description="ceCanonical for the documented resources, which have events by default"
    )


class StoreObject(pydantic.BaseModel):
    """An object as the store returns it."""

    model_config = pydantic.ConfigDict(extra="allow")
