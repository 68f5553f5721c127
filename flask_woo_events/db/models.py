"""The tables of the extension, in metadata of their own."""

from __future__ import annotations

import datetime as dt
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..tracing import STORED_CHARS
from .base import BIG, LONG_BLOB, LONG_TEXT, OBJECT_ID, OthersText, key, refers
from .base import TABLE_PREFIX as TABLE_PREFIX
from .base import Base as Base
from .base import UtcDateTime as UtcDateTime
from .base import include_name as include_name
from .ledger_models import GONE_DIGEST as GONE_DIGEST
from .ledger_models import GONE_FIELDS as GONE_FIELDS
from .ledger_models import Object as Object
from .ledger_models import ObjectBody as ObjectBody
from .states import Channel, PollerState


class Epoch(Base):
    """One life of the database, which ends when an older backup is restored."""

    __tablename__ = "woo_epoch"
    #: Rises with each life; 0 until a backup is restored.
    number: orm.Mapped[int] = orm.mapped_column(BIG, primary_key=True, autoincrement=False)
    #: Random: two lives of one number are two.
    token: orm.Mapped[str] = orm.mapped_column(sa.String(4))
    #: What showed that a backup was restored.
    reason: orm.Mapped[str] = orm.mapped_column(sa.Text)
    #: PostgreSQL's number of this table, which a restored dump creates anew.
    table_oid: orm.Mapped[int | None] = orm.mapped_column(BIG)
    #: Whether new ids are above those of all earlier lives.
    complete: orm.Mapped[bool]
    began_at: orm.Mapped[dt.datetime]


class Organization(Base):
    """A tenant, to which all other rows belong."""

    __tablename__ = "woo_organization"
    id: orm.Mapped[int] = key()
    name: orm.Mapped[str] = orm.mapped_column(sa.String(190), unique=True)
    secret_hash: orm.Mapped[str] = orm.mapped_column(sa.String(64), unique=True)
    #: Account settings such as ``notification.webhook.failure.policy``; missing ones have defaults.
    settings: orm.Mapped[dict[str, t.Any]] = orm.mapped_column(default=dict)
    created_at: orm.Mapped[dt.datetime]
    #: The key of keyed hashes, encrypted, and the fields that were ever hidden; see
    #: ``instances/privacy.py``. Null until the first is needed.
    privacy: orm.Mapped[dict[str, t.Any] | None] = orm.mapped_column(sa.JSON(none_as_null=True))


class User(Base):
    """A user of an organisation, who may call the API."""

    __tablename__ = "woo_user"
    __table_args__ = (sa.UniqueConstraint("organization_id", "name"),)
    id: orm.Mapped[int] = key()
    organization_id: orm.Mapped[int] = refers("woo_organization.id", index=False)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(190))
    secret_hash: orm.Mapped[str] = orm.mapped_column(sa.String(64), unique=True)
    #: Signed-out sessions of the console whose cookies have not expired.
    ended_sessions: orm.Mapped[list[str]] = orm.mapped_column(default=list)
    created_at: orm.Mapped[dt.datetime]


class Instance(Base):
    """One connected store."""

    __tablename__ = "woo_instance"
    __table_args__ = (sa.Index("ix_woo_instance_due", "next_poll_at", "id"),)
    id: orm.Mapped[int] = key()
    organization_id: orm.Mapped[int] = refers("woo_organization.id")
    user_id: orm.Mapped[int] = refers("woo_user.id")
    name: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    token_hash: orm.Mapped[str] = orm.mapped_column(sa.String(64), unique=True)
    tags: orm.Mapped[list[str]]
    vendor_type: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    events_enabled: orm.Mapped[bool]
    disabled: orm.Mapped[bool] = orm.mapped_column(default=False)
    refresh_minutes: orm.Mapped[int]
    created_at: orm.Mapped[dt.datetime]
    #: What the store reported at its last check: version, time zone, order storage.
    store_facts: orm.Mapped[dict[str, t.Any]]
    #: Notices about the store for operators, the newest last.
    notices: orm.Mapped[list[dict[str, t.Any]]] = orm.mapped_column(default=list)
    #: Problems as of the last poll, see ``instances/problems.py``; null if there are none.
    problems: orm.Mapped[list[dict[str, t.Any]] | None]
    #: Begins that were recorded as operational events and have not ended, each with its date; see
    #: ``events/operational.py``.
    reported: orm.Mapped[dict[str, t.Any] | None] = orm.mapped_column(sa.JSON(none_as_null=True))
    #: When the next checkpoint is due; null if no receiver has asked for it.
    checkpoint_at: orm.Mapped[dt.datetime | None] = orm.mapped_column(index=True)
    #: Our webhooks at the store, as of their last check.
    hooks: orm.Mapped[list[dict[str, t.Any]]] = orm.mapped_column(default=list)
    #: URL at which the store reaches the API; null before the first registration.
    hooks_base: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    #: What the store is recognized by, and whether the instance holds; see ``sync/belief.py``.
    belief: orm.Mapped[dict[str, t.Any] | None] = orm.mapped_column(sa.JSON(none_as_null=True))
    #: Number of the webhooks' secret; incremented when it is replaced.
    hooks_epoch: orm.Mapped[int] = orm.mapped_column(default=1)
    #: Time of the next check of the webhooks; null for instances without webhooks.
    hooks_due_at: orm.Mapped[dt.datetime | None] = orm.mapped_column(index=True)
    #: State of the companion plugin's journal: our position, and whether it can be used.
    journal: orm.Mapped[dict[str, t.Any]] = orm.mapped_column(default=dict)
    #: When a ping of the store last arrived.
    pinged_at: orm.Mapped[dt.datetime | None]
    #: When the next poll is due; null while the instance is not polled.
    next_poll_at: orm.Mapped[dt.datetime | None]
    #: When all resources are due; before, only those that try again after a failure.
    regular_poll_at: orm.Mapped[dt.datetime | None]
    lease_until: orm.Mapped[dt.datetime | None]
    #: Since when the store has not answered promptly; see ``instances/circuit.py``.
    slow_since: orm.Mapped[dt.datetime | None]
    #: Since when the store's check is still to be made, and what it last said; null once it is
    #: connected. See ``instances/connecting.py``.
    connecting: orm.Mapped[dict[str, t.Any] | None] = orm.mapped_column(sa.JSON(none_as_null=True))
    #: Incremented by each claim; a worker must hold the number to write.
    lease_fence: orm.Mapped[int] = orm.mapped_column(default=0)


class Configuration(Base):
    """One entry of an instance's flat ``configuration``."""

    __tablename__ = "woo_configuration"
    __table_args__ = (sa.UniqueConstraint("instance_id", "key"),)
    id: orm.Mapped[int] = key()
    instance_id: orm.Mapped[int] = refers("woo_instance.id", index=False)
    key: orm.Mapped[str] = orm.mapped_column(sa.String(190))
    #: Text as the API returns it; ciphertext when ``sealed``.
    value: orm.Mapped[str] = orm.mapped_column(LONG_TEXT)
    sealed: orm.Mapped[bool]


class Poller(Base):
    """The cursor of one resource of one instance."""

    __tablename__ = "woo_poller"
    __table_args__ = (sa.UniqueConstraint("instance_id", "resource"),)
    id: orm.Mapped[int] = key()
    instance_id: orm.Mapped[int] = refers("woo_instance.id", index=False)
    #: The configuration's key, which becomes ``objectType``.
    resource: orm.Mapped[str] = orm.mapped_column(sa.String(190))
    #: The resource's block of ``event.poller.configuration``, normalised.
    configuration: orm.Mapped[dict[str, t.Any]]
    #: False if the configuration no longer names the resource; the cursor is kept.
    selected: orm.Mapped[bool] = orm.mapped_column(default=True)
    state: orm.Mapped[str] = orm.mapped_column(sa.String(16), default=PollerState.BASELINE)
    #: Whether the baseline sends CREATED events.
    backfill: orm.Mapped[bool] = orm.mapped_column(default=False)
    #: Greatest modified date in the ledger, by the store's clock.
    cursor_at: orm.Mapped[dt.datetime | None]
    #: When the baseline began, by the store's clock.
    baseline_at: orm.Mapped[dt.datetime | None]
    #: Position of the baseline: number of rows read, and the last id of them.
    baseline_offset: orm.Mapped[int] = orm.mapped_column(default=0)
    baseline_id: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    baseline_total: orm.Mapped[int | None]
    #: Position of the rolling comparison, as above.
    compare_offset: orm.Mapped[int] = orm.mapped_column(default=0)
    compare_id: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    #: Other state of the source, for example the known order statuses.
    memory: orm.Mapped[dict[str, t.Any]] = orm.mapped_column(default=dict)
    #: Revision of the ledger, incremented by each change; see ``Object.revision``.
    revision: orm.Mapped[int] = orm.mapped_column("stamp", sa.BigInteger, default=0)
    #: When the last complete poll began, by the store's clock.
    polled_at: orm.Mapped[dt.datetime | None]
    failures: orm.Mapped[int] = orm.mapped_column(default=0)
    #: Time of the next try after a failure; null without failure.
    retry_at: orm.Mapped[dt.datetime | None]
    error: orm.Mapped[str | None] = orm.mapped_column(OthersText)
    created_at: orm.Mapped[dt.datetime]
    #: The last erasure that began; whoever records knows the persons of all before it.
    erasure_id: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)


#: The beginning of the topics of arrivals that wait since what they name could not be read.
WAITING_TOPICS = "waits."


class Arrival(Base):
    """A received webhook until it is processed: which object to read, never its content."""

    __tablename__ = "woo_arrival"
    __table_args__ = (sa.Index("ix_woo_arrival_instance", "instance_id", "id"),)
    id: orm.Mapped[int] = key()
    instance_id: orm.Mapped[int] = refers("woo_instance.id", index=False)
    #: Topic of WooCommerce: ``order.updated``, ``action.woocommerce_delete_order``.
    topic: orm.Mapped[str] = orm.mapped_column(sa.String(190))
    #: The hub's name of the collection; null if the webhook names none.
    collection: orm.Mapped[str | None] = orm.mapped_column(sa.String(40))
    #: Null if the body names no object.
    object_id: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    #: The order or product that the object belongs to, if the body says so.
    parent: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    received_at: orm.Mapped[dt.datetime]
    #: Context of the span that received it, see ``tracing.py``; null without tracing.
    trace: orm.Mapped[str | None] = orm.mapped_column(sa.String(STORED_CHARS))


class WebhookCoverage(Base):
    """How completely the webhooks of one resource reported its changes."""

    __tablename__ = "woo_tally"
    instance_id: orm.Mapped[int] = orm.mapped_column(
        BIG, sa.ForeignKey("woo_instance.id", ondelete="CASCADE"), primary_key=True
    )
    resource: orm.Mapped[str] = orm.mapped_column(sa.String(190), primary_key=True)
    #: Changes that a webhook reported first.
    told: orm.Mapped[int] = orm.mapped_column(default=0)
    #: Changes that only polling found.
    missed: orm.Mapped[int] = orm.mapped_column(default=0)
    #: Webhooks that arrived after polling had found the change.
    late: orm.Mapped[int] = orm.mapped_column(default=0)
    #: Webhooks that repeated an earlier webhook.
    repeated: orm.Mapped[int] = orm.mapped_column(default=0)
    #: Webhooks for an object that had not changed.
    wrong: orm.Mapped[int] = orm.mapped_column(default=0)
    since: orm.Mapped[dt.datetime]


class Usage(Base):
    """The requests of one instance to its store in one hour."""

    __tablename__ = "woo_usage"
    instance_id: orm.Mapped[int] = orm.mapped_column(
        BIG, sa.ForeignKey("woo_instance.id", ondelete="CASCADE"), primary_key=True
    )
    #: Begin of the hour, by our own clock.
    hour: orm.Mapped[dt.datetime] = orm.mapped_column(primary_key=True, index=True)
    turns: orm.Mapped[int] = orm.mapped_column(default=0)
    #: Requests to the store, and the total duration of its answers in seconds.
    requests: orm.Mapped[int] = orm.mapped_column(default=0)
    seconds: orm.Mapped[float] = orm.mapped_column(default=0.0)
    failures: orm.Mapped[int] = orm.mapped_column(default=0)


class Connection(Base):
    """A store that is being connected by WooCommerce's own approval of keys."""

    __tablename__ = "woo_connection"
    id: orm.Mapped[int] = key()
    organization_id: orm.Mapped[int] = refers("woo_organization.id")
    user_id: orm.Mapped[int] = refers("woo_user.id")
    #: Hash of the random state that passes through the store.
    state_hash: orm.Mapped[str] = orm.mapped_column(sa.String(64), unique=True)
    store_url: orm.Mapped[str] = orm.mapped_column(sa.Text)
    #: The request for the instance, without the keys; encrypted, since it may hold secrets.
    request: orm.Mapped[str] = orm.mapped_column(LONG_TEXT)
    #: The connected instance; null while the store has not answered.
    instance_id: orm.Mapped[int | None] = orm.mapped_column(BIG)
    #: Message of a failure.
    error: orm.Mapped[str | None] = orm.mapped_column(OthersText)
    created_at: orm.Mapped[dt.datetime]
    expires_at: orm.Mapped[dt.datetime] = orm.mapped_column(index=True)


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


class WorkerProcess(Base):
    """One process that polls or delivers, as long as it runs; see ``db/presence.py``."""

    __tablename__ = "woo_worker"
    #: Its machine and process id, and a random part.
    name: orm.Mapped[str] = orm.mapped_column(sa.String(190), primary_key=True)
    seen_at: orm.Mapped[dt.datetime] = orm.mapped_column(index=True)
    #: The last migration that its release knows; empty for releases before 0011.
    revision: orm.Mapped[str] = orm.mapped_column(sa.String(32), server_default="")


class Suppression(Base):
    """A person whose data is not stored, although the store may still have it."""

    __tablename__ = "woo_suppression"
    __table_args__ = (sa.UniqueConstraint("organization_id", "address_hash"),)
    id: orm.Mapped[int] = key()
    organization_id: orm.Mapped[int] = refers("woo_organization.id", index=False)
    #: Keyed hash of the normalized address.
    address_hash: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    #: The person's ids as a customer, by the instance's id.
    customers: orm.Mapped[dict[str, t.Any]] = orm.mapped_column(default=dict)
    created_at: orm.Mapped[dt.datetime]


class Erasure(Base):
    """The record that a person was erased, or that the suppression was lifted."""

    __tablename__ = "woo_erasure"
    id: orm.Mapped[int] = key()
    organization_id: orm.Mapped[int] = refers("woo_organization.id")
    #: ``erase`` or ``lift``.
    action: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    address_hash: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    #: Who asked for it: a user of the API, or the command.
    asked_by: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    began_at: orm.Mapped[dt.datetime]
    #: Null while parts are left to do.
    ended_at: orm.Mapped[dt.datetime | None]
    #: What was erased so far, as numbers of rows.
    counts: orm.Mapped[dict[str, t.Any]] = orm.mapped_column(default=dict)
    #: Where the next part begins.
    position: orm.Mapped[dict[str, t.Any]] = orm.mapped_column(default=dict)


for _table in Base.metadata.sorted_tables:
    if _table.autoincrement_column is not None:
        # Otherwise SQLite would assign the id of the last row again once it is deleted.
        _table.dialect_options["sqlite"]["autoincrement"] = True
