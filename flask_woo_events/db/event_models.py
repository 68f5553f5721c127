"""The tables of the outbox and the event log: events, feeds, notifications and their deliveries."""

from __future__ import annotations

import datetime as dt
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..tracing import STORED_CHARS
from .base import BIG, LONG_BLOB, OBJECT_ID, Base, OthersText, key, refers
from .states import Channel


class StoredEvent(Base):
    """One CREATED, UPDATED or DELETED of one object."""

    __tablename__ = "woo_event"
    __table_args__ = (
        sa.Index("ix_woo_event_object", "poller_id", "object_id", "version"),
        sa.Index("ix_woo_event_instance", "instance_id", "id"),
        sa.Index("ix_woo_event_feed", "instance_id", "feed_position", "id"),
    )
    id: orm.Mapped[int] = key()
    instance_id: orm.Mapped[int] = refers("woo_instance.id", index=False)
    poller_id: orm.Mapped[int] = refers("woo_poller.id", index=False)
    notification_id: orm.Mapped[int] = refers("woo_notification.id")
    resource: orm.Mapped[str] = orm.mapped_column(sa.String(190))
    object_id: orm.Mapped[str] = orm.mapped_column(OBJECT_ID)
    version: orm.Mapped[int]
    event_type: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    #: The object's own date of the change, if it has one.
    date: orm.Mapped[dt.datetime]
    #: A value of ``Source``.
    source: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    changed_fields: orm.Mapped[list[str] | None]
    #: JSON of their values before and after, if they are known; see ``events/changes.py``.
    changes: orm.Mapped[bytes | None] = orm.mapped_column(LONG_BLOB)
    #: The object's JSON as the store returned it.
    body: orm.Mapped[bytes] = orm.mapped_column(LONG_BLOB)
    #: The only subscription that gets it, see ``notifications.target_of``; null for all.
    only_for: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    #: Its place in the organization's feed; null until the feed is read after the commit.
    feed_position: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    #: Of an operational event; null for the events of the store.
    kind: orm.Mapped[str | None] = orm.mapped_column(sa.String(40))
    created_at: orm.Mapped[dt.datetime]


class Feed(Base):
    """The order in which an organization's events can be read; see ``events/feed_positions.py``."""

    __tablename__ = "woo_feed"
    organization_id: orm.Mapped[int] = orm.mapped_column(
        BIG, sa.ForeignKey("woo_organization.id", ondelete="CASCADE"), primary_key=True
    )
    #: The last position that was assigned.
    position: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, default=0)
    #: The lives of the database in which positions were assigned, each with the last one before.
    lives: orm.Mapped[list[dict[str, t.Any]]] = orm.mapped_column(default=list)


class FeedPurge(Base):
    """Up to which position of the feed retention has deleted events of an instance."""

    __tablename__ = "woo_feed_purge"
    instance_id: orm.Mapped[int] = orm.mapped_column(
        BIG, sa.ForeignKey("woo_instance.id", ondelete="CASCADE"), primary_key=True
    )
    position: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, default=0)


class Notification(Base):
    """Up to 10 or 20 events of one resource, sent as one body."""

    __tablename__ = "woo_notification"
    __table_args__ = (
        sa.Index("ix_woo_notification_instance", "instance_id", "id"),
        sa.Index(
            "ix_woo_notification_origin",
            "origin_id",
            sqlite_where=sa.text("origin_id IS NOT NULL"),
            postgresql_where=sa.text("origin_id IS NOT NULL"),
        ),
    )
    id: orm.Mapped[int] = key()
    instance_id: orm.Mapped[int] = refers("woo_instance.id", index=False)
    poller_id: orm.Mapped[int] = refers("woo_poller.id")
    #: The first notification of its events, if a division moved them here; it may be deleted.
    origin_id: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    #: ``message.eventId``: 20 characters, unique.
    event_id: orm.Mapped[str] = orm.mapped_column(sa.String(20), unique=True)
    resource: orm.Mapped[str] = orm.mapped_column(sa.String(190))
    #: When the poll that found the events began, by the store's clock.
    poll_date: orm.Mapped[dt.datetime]
    #: Number of events, so that they can be counted without being read.
    size: orm.Mapped[int] = orm.mapped_column(default=1)
    #: Context of the span that recorded its events, see ``tracing.py``; null without tracing.
    trace: orm.Mapped[str | None] = orm.mapped_column(sa.String(STORED_CHARS))
    #: Of its one operational event; null for the events of the store.
    kind: orm.Mapped[str | None] = orm.mapped_column(sa.String(40))
    created_at: orm.Mapped[dt.datetime] = orm.mapped_column(index=True)


class OperationalRecord(Base):
    """An operational event that was recorded with its cause, and is not a notification yet."""

    __tablename__ = "woo_operational"
    #: Its version; rises over all instances.
    id: orm.Mapped[int] = key()
    #: No foreign key: MariaDB would lock the instance, which others lock before what we hold.
    instance_id: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, index=True)
    kind: orm.Mapped[str] = orm.mapped_column(sa.String(40))
    #: What begins and ends; becomes ``objectId``.
    subject: orm.Mapped[str] = orm.mapped_column(OBJECT_ID)
    #: The subscription that it is about, which does not get it.
    subscription_id: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    record: orm.Mapped[dict[str, t.Any]]
    created_at: orm.Mapped[dt.datetime]


class Subscription(Base):
    """A receiver of an instance's notifications."""

    __tablename__ = "woo_subscription"
    id: orm.Mapped[int] = key()
    instance_id: orm.Mapped[int] = refers("woo_instance.id")
    channel: orm.Mapped[str] = orm.mapped_column(sa.String(16), default=Channel.WEBHOOK)
    #: The callback's URL, or the handler's name.
    url: orm.Mapped[str] = orm.mapped_column(sa.Text)
    active: orm.Mapped[bool] = orm.mapped_column(default=True)
    #: Why the subscription is not active.
    reason: orm.Mapped[str | None] = orm.mapped_column(OthersText)
    #: False after another callback URL has replaced it.
    current: orm.Mapped[bool] = orm.mapped_column(default=True)
    #: When to search for due deliveries; never later than the first of them.
    next_due_at: orm.Mapped[dt.datetime | None] = orm.mapped_column(index=True)
    #: Consecutive failures, the time of the first, and until when nothing is sent.
    failures: orm.Mapped[int] = orm.mapped_column(default=0)
    failing_since: orm.Mapped[dt.datetime | None]
    held_until: orm.Mapped[dt.datetime | None]
    #: What it gets and how it is sent; null for all events, see ``events/subscription_options.py``.
    options: orm.Mapped[dict[str, t.Any] | None] = orm.mapped_column(sa.JSON(none_as_null=True))
    #: Nothing is sent until a person resumes it.
    paused: orm.Mapped[bool] = orm.mapped_column(default=False, server_default=sa.false())
    #: Up to when its rate is used; null if it has none.
    rate_used_until: orm.Mapped[dt.datetime | None]
    created_at: orm.Mapped[dt.datetime]


class Delivery(Base):
    """The delivery of one notification to one subscription."""

    __tablename__ = "woo_delivery"
    __table_args__ = (
        sa.Index("ix_woo_delivery_due", "subscription_id", "status", "due_at", "id"),
        sa.Index("ix_woo_delivery_lease", "subscription_id", "lease_until"),
        # A partial index stays small: few of all deliveries are not delivered.
        sa.Index(
            "ix_woo_delivery_unsettled",
            "status",
            "id",
            sqlite_where=sa.text("status <> 'delivered'"),
            postgresql_where=sa.text("status <> 'delivered'"),
        ),
        sa.UniqueConstraint("notification_id", "subscription_id"),
    )
    id: orm.Mapped[int] = key()
    notification_id: orm.Mapped[int] = refers("woo_notification.id", index=False)
    subscription_id: orm.Mapped[int] = refers("woo_subscription.id", index=False)
    status: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    attempts: orm.Mapped[int] = orm.mapped_column(default=0)
    #: When it is due; null if only an operator may send it.
    due_at: orm.Mapped[dt.datetime | None]
    first_failed_at: orm.Mapped[dt.datetime | None]
    #: Ids of the events that a handler has processed, if others failed.
    handled: orm.Mapped[list[int] | None]
    #: Ids of the events that its subscription wanted when it was created; null for all.
    wanted: orm.Mapped[list[int] | None]
    #: What it holds fails by itself, so later versions of its objects get notifications of theirs.
    isolated: orm.Mapped[bool] = orm.mapped_column(default=False, server_default=sa.false())
    #: It has failed with its last attempt; it is queued, and later versions are sent without it.
    exhausted: orm.Mapped[bool] = orm.mapped_column(default=False, server_default=sa.false())
    #: Token of the claim, and its end.
    lease_token: orm.Mapped[str | None] = orm.mapped_column(sa.String(32), index=True)
    lease_until: orm.Mapped[dt.datetime | None]
    created_at: orm.Mapped[dt.datetime]
    updated_at: orm.Mapped[dt.datetime]


class Wait(Base):
    """The order of two deliveries with events of the same object."""

    __tablename__ = "woo_wait"
    delivery_id: orm.Mapped[int] = orm.mapped_column(
        BIG, sa.ForeignKey("woo_delivery.id", ondelete="CASCADE"), primary_key=True
    )
    after_id: orm.Mapped[int] = orm.mapped_column(
        BIG, sa.ForeignKey("woo_delivery.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class Attempt(Base):
    """One attempt of a delivery and its result."""

    __tablename__ = "woo_attempt"
    id: orm.Mapped[int] = key()
    delivery_id: orm.Mapped[int] = refers("woo_delivery.id")
    at: orm.Mapped[dt.datetime]
    seconds: orm.Mapped[float]
    #: HTTP status; null without an answer.
    status_code: orm.Mapped[int | None]
    reason: orm.Mapped[str] = orm.mapped_column(OthersText)
    #: Begin of the answer's body.
    answer: orm.Mapped[str] = orm.mapped_column(OthersText)
