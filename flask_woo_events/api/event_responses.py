"""The answers about events and notifications: what they hold, and how it is serialized."""

from __future__ import annotations

import collections
import typing as t

import orjson
import pydantic

from ..db.states import HTTP_CHANNELS, Channel, DeliveryStatus
from ..delivery.redelivery import RedeliveryEntry, SubscriptionEntry
from ..values.cloud_elements import ELEMENT_KEY
from .analytics import Bucket
from .event_records import Disposition, EventStatus, Record
from .responses import ApiResponse, Attribute, Date, MessageResponse


class EventOfInstanceResponse(ApiResponse):
    """An event as one instance had it."""

    eventId: str
    elementInstanceId: t.Annotated[int, Attribute("instance_id")]
    notificationId: str
    notifiedData: list[dict[str, t.Any]]
    createdDate: t.Annotated[Date, Attribute("created_at")]
    updatedDate: t.Annotated[Date, Attribute("updated_at")]


class EventResponse(ApiResponse):
    """The changes of one notification, and the status of its delivery."""

    id: t.Annotated[str, Attribute("event_id")]
    eventDate: t.Annotated[Date, Attribute("created_at")]
    status: EventStatus
    providerData: str = pydantic.Field(description="The raw records, as JSON text")
    notifiedData: list[dict[str, t.Any]]
    eventElementInstances: list[EventOfInstanceResponse]

    @classmethod
    def of_record(cls, record: Record) -> EventResponse:
        """Build the answer for a notification."""
        body = orjson.loads(record.body)
        sent = [body] if record.status is EventStatus.NOTIFIED else []
        number = str(record.notification_id)
        inner = EventOfInstanceResponse.of(record, notificationId=number, notifiedData=sent)
        raw = orjson.dumps(body["message"]["raw"]).decode()
        return cls.of(record, providerData=raw, notifiedData=sent, eventElementInstances=[inner])


class EventCountResponse(ApiResponse):
    """Events in one bucket of time."""

    count: t.Annotated[int, Attribute("total")]
    timestamp: t.Annotated[Date, Attribute("start")]


class InstanceCountResponse(ApiResponse):
    """Events of one instance."""

    instanceId: int
    count: int
    success: int
    failed: int


class InstanceCountsResponse(ApiResponse):
    """Events in one bucket of time, by instance."""

    records: list[InstanceCountResponse]
    total: int
    timestamp: t.Annotated[Date, Attribute("start")]

    @classmethod
    def of_bucket(cls, bucket: Bucket) -> InstanceCountsResponse:
        """Build the answer for one bucket."""
        return cls.of(bucket, records=[InstanceCountResponse.of(one) for one in bucket.counts])


class AccountCountResponse(ApiResponse):
    """Events of one user's instances."""

    accountId: int
    count: int
    success: int
    failed: int


class AccountCountsResponse(ApiResponse):
    """Events in one bucket of time, by user."""

    records: list[AccountCountResponse]
    total: int
    timestamp: t.Annotated[Date, Attribute("start")]

    @classmethod
    def of_bucket(cls, bucket: Bucket) -> AccountCountsResponse:
        """Build the answer for one bucket: the sums over the instances of each user."""
        summed: dict[int, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        for one in bucket.counts:
            summed[one.user_id].update(count=one.count, success=one.success, failed=one.failed)
        records = [AccountCountResponse(accountId=one, **sums) for one, sums in summed.items()]
        return cls.of(bucket, records=records)


class DispositionResponse(ApiResponse):
    """The attempts to deliver one event."""

    eventId: str
    elementInstanceId: t.Annotated[int, Attribute("instance_id")]
    notificationData: list[MessageResponse]

    @classmethod
    def of_attempts(cls, one: Disposition) -> DispositionResponse:
        """Build the answer for the attempts of one notification."""
        return cls.of(one, notificationData=[{"message": text} for text in one.messages])


class PollerRecordResponse(ApiResponse):
    """One polled resource of one instance."""

    id: int
    elementInstanceId: t.Annotated[int, Attribute("instance_id")]
    objectName: t.Annotated[str, Attribute("resource")]
    pollUrl: t.Annotated[str, Attribute("url")]
    state: str
    failures: int
    error: str | None
    lastPollDate: t.Annotated[Date | None, Attribute("polled_at")]
    createdDate: t.Annotated[Date, Attribute("created_at")]


class NotificationResponse(ApiResponse):
    """A notification as it is sent."""

    severity: str
    createdDate: str
    topic: str
    action: str
    id: str
    message: dict[str, t.Any]
    user: str

    @classmethod
    def of_body(cls, body: bytes) -> NotificationResponse:
        """Build the answer from the body that a callback gets."""
        return cls.model_validate(orjson.loads(body))


class SubscriptionConfigResponse(ApiResponse):
    """Where a subscription's notifications are sent."""

    url: str | None


class SubscriptionResponse(ApiResponse):
    """The destination of an instance's notifications."""

    id: int
    channel: str
    topics: list[str]
    config: SubscriptionConfigResponse
    active: bool
    # The members from here on are additions to the documented ones.
    instanceId: int
    current: bool
    reason: str | None
    failures: int
    failingSince: Date | None
    heldUntil: Date | None
    createdDate: t.Annotated[Date, Attribute("created_at")]

    @classmethod
    def of_entry(cls, entry: SubscriptionEntry) -> SubscriptionResponse:
        """Build the answer for a subscription."""
        topic = f"instance-{entry.instance_id}-{ELEMENT_KEY}-events"
        # The documented API has one name for all callbacks.
        channel = Channel.WEBHOOK if entry.channel in HTTP_CHANNELS else entry.channel
        return cls.of(entry, channel=channel, topics=[topic], config={"url": entry.url})


class DeliveryResponse(ApiResponse):
    """The delivery of one notification to one subscription."""

    # id, dividedFrom, eventId, attempts and nextAttempt are additions to the documented members.
    id: int
    notificationId: int
    dividedFrom: t.Annotated[int | None, Attribute("origin_id")]
    subscriptionId: t.Annotated[int, Attribute("subscription.id")]
    eventId: str
    status: DeliveryStatus
    attempts: int
    nextAttempt: t.Annotated[Date | None, Attribute("due_at")]
    createdDate: t.Annotated[Date, Attribute("created_at")]
    updatedDate: t.Annotated[Date, Attribute("updated_at")]
    subscription: SubscriptionResponse
    notification: NotificationResponse | None = None

    @classmethod
    def of_entry(cls, entry: RedeliveryEntry, body: bytes | None) -> DeliveryResponse:
        """Build the answer for a delivery.

        :param body: the notification as it is sent; ``None`` leaves it out.
        """
        return cls.of(
            entry,
            subscription=SubscriptionResponse.of_entry(entry.subscription),
            notification=None if body is None else NotificationResponse.of_body(body),
        )


class RedeliveredResponse(ApiResponse):
    """How many deliveries are sent again."""

    redelivered: int
