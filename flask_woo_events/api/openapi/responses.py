"""Models of the API's answers, for its description; the tests hold the answers against them."""

from __future__ import annotations

import typing as t

import pydantic

from ...db.models import DeliveryStatus
from ..event_records import EventStatus


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")


class Error(_Model):
    """What every error looks like."""

    message: str
    requestId: str = pydantic.Field(description="Also in the header Elements-Request-Id")
    providerMessage: str | None = pydantic.Field(None, description="What the store said")


class Empty(_Model):
    """An object without members."""


class Message(_Model):
    """A sentence for people."""

    message: str


class Taken(Message):
    """Webhooks are taken here."""

    upSeconds: float = pydantic.Field(description="How long the process that answers has run")


class User(_Model):
    """The user that an instance belongs to."""

    id: int
    emailAddress: str
    firstName: str
    lastName: str


class Authentication(_Model):
    """How the element authenticates."""

    type: str


class ElementSummary(_Model):
    """The element."""

    id: int
    name: str
    key: str
    description: str
    active: bool
    deleted: bool
    typeOauth: bool
    trialAccount: bool
    resources: list[t.Any]
    transformationsEnabled: bool
    bulkDownloadEnabled: bool
    bulkUploadEnabled: bool
    cloneable: bool
    extendable: bool
    beta: bool
    authentication: Authentication
    extended: bool
    hub: str
    protocolType: str
    parameters: list[t.Any]
    private: bool


class ConfigurationDefinition(_Model):
    """A key that an instance's configuration may have."""

    id: int
    name: str
    key: str
    description: str
    defaultValue: str
    resellerConfig: bool
    companyConfig: bool
    active: bool
    internal: bool
    groupControl: bool
    isPrivate: bool
    displayOrder: int
    type: str
    hideFromConsole: bool
    required: bool


class Element(ElementSummary):
    """The element, with its configuration."""

    configuration: list[ConfigurationDefinition]


class PolledResource(_Model):
    """A resource that can be polled."""

    eventTypes: list[str]
    pollUrl: str


class HookedResource(_Model):
    """A resource of which webhooks tell."""

    eventTypes: list[str]


class EventsMetadata(_Model):
    """Which events there are, and how they are found."""

    supported: bool
    methods: list[str]
    polling: dict[str, PolledResource]
    webhook: dict[str, HookedResource]


class ObjectMetadata(_Model):
    """A resource, and which events it has."""

    name: str
    vendorName: str
    type: str
    eventsEnabled: bool
    eventCreatedSupported: bool
    eventUpdatedSupported: bool
    eventDeletedSupported: bool
    vendorEventTypes: list[str]


class Endpoint(_Model):
    """What the element speaks to its store."""

    type: str


class Supported(_Model):
    """Whether there is something."""

    supported: bool


class BulkMetadata(_Model):
    """Whether there are bulk jobs."""

    upload: bool
    download: bool


class Metadata(_Model):
    """What the element can do."""

    id: int
    key: str
    name: str
    description: str
    hub: str
    beta: bool
    authentication: Authentication
    endpoint: Endpoint
    normalizedPaging: Supported
    bulk: BulkMetadata
    events: EventsMetadata
    objects: list[str | ObjectMetadata]


class Poller(_Model):
    """How the poller of one resource is doing."""

    resource: str
    url: str
    state: str
    failures: int
    error: str | None
    lastPoll: str | None
    nextRetry: str | None


class Webhook(_Model):
    """One of our webhooks at the store, or why there is none."""

    topic: str | None
    id: int | None
    status: str | None
    error: str | None


class Instance(_Model):
    """A connected store."""

    id: int
    name: str
    createdDate: str
    token: str | None = pydantic.Field(None, description="Only in the answer that creates it")
    element: ElementSummary
    elementId: int
    tags: list[str]
    provisionInteractions: list[t.Any]
    valid: bool
    disabled: bool
    maxCacheSize: int
    cacheTimeToLive: int
    configuration: dict[str, str] = pydantic.Field(description="Secrets read back as ********")
    eventsEnabled: bool
    eventsNotificationCallbackUrl: str | None = None
    subscriptionId: int | None = None
    traceLoggingEnabled: bool
    cachingEnabled: bool
    externalAuthentication: str
    user: User
    pollers: list[Poller]
    store: dict[str, t.Any] = pydantic.Field(description="What the store tells of itself")
    webhooks: list[Webhook]
    webhookTally: list[dict[str, t.Any]]
    journal: dict[str, t.Any]
    notices: list[dict[str, t.Any]]


class ConfigurationEntry(_Model):
    """One entry of an instance's configuration."""

    id: int
    name: str
    key: str
    propertyValue: str
    description: str
    type: str
    required: bool
    active: bool
    hideFromConsole: bool


class Ping(_Model):
    """The store answered."""

    dateTime: str = pydantic.Field(description="The store's clock, UTC")
    endpoint: str


class HubObject(_Model):
    """A resource of the hub."""

    name: str
    vendorName: str
    type: str


class StoreObject(pydantic.BaseModel):
    """An object as the store gives it."""

    model_config = pydantic.ConfigDict(extra="allow")


class EventOfInstance(_Model):
    """An event as one instance had it."""

    eventId: str
    elementInstanceId: int
    notificationId: str
    notifiedData: list[dict[str, t.Any]]
    createdDate: str
    updatedDate: str


class Event(_Model):
    """What was told in one notification, and how far it came."""

    id: str
    eventDate: str
    status: EventStatus
    providerData: str = pydantic.Field(description="The raw records, as JSON text")
    notifiedData: list[dict[str, t.Any]]
    eventElementInstances: list[EventOfInstance]


class EventCount(_Model):
    """Events in one stretch of time."""

    count: int
    timestamp: str


class InstanceCount(_Model):
    """Events of one instance."""

    instanceId: int
    count: int
    success: int
    failed: int


class InstanceCounts(_Model):
    """Events in one stretch of time, by instance."""

    records: list[InstanceCount]
    total: int
    timestamp: str


class AccountCount(_Model):
    """Events of one user's instances."""

    accountId: int
    count: int
    success: int
    failed: int


class AccountCounts(_Model):
    """Events in one stretch of time, by user."""

    records: list[AccountCount]
    total: int
    timestamp: str


class Disposition(_Model):
    """What was tried with one event."""

    eventId: str
    elementInstanceId: int
    notificationData: list[Message]


class PollerRecord(_Model):
    """One polled resource of one instance."""

    id: int
    elementInstanceId: int
    objectName: str
    pollUrl: str
    state: str
    failures: int
    error: str | None
    lastPollDate: str | None
    createdDate: str


class Notification(_Model):
    """A notification as it is sent."""

    severity: str
    createdDate: str
    topic: str
    action: str
    id: str
    message: dict[str, t.Any]
    user: str


class SubscriptionConfig(_Model):
    """Where a subscription's notifications go."""

    url: str | None


class Subscription(_Model):
    """Where the notifications of an instance go."""

    id: int
    channel: str
    topics: list[str]
    config: SubscriptionConfig
    active: bool
    instanceId: int
    current: bool
    reason: str | None
    failures: int
    failingSince: str | None
    heldUntil: str | None
    createdDate: str


class Delivery(_Model):
    """One notification on its way to one subscription."""

    id: int
    notificationId: int
    subscriptionId: int
    eventId: str
    status: DeliveryStatus
    attempts: int
    nextAttempt: str | None
    createdDate: str
    updatedDate: str
    subscription: Subscription
    notification: Notification | None = None


class Redelivered(_Model):
    """How many deliveries are sent again."""

    redelivered: int
