"""The tables of the extension, in metadata of their own, and the states of their rows."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import enum
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import mysql

#: Every table of ours begins with this, so that a host's migrations can leave them alone.
TABLE_PREFIX = "woo_"


class UtcDateTime(sa.types.TypeDecorator[dt.datetime]):
    """Aware datetimes in, aware UTC out; stored without zone, with microseconds."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[t.Any]:
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())

    def process_bind_param(
        self, value: dt.datetime | None, dialect: sa.Dialect
    ) -> dt.datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("only aware datetimes are stored")
        return value.astimezone(dt.UTC).replace(tzinfo=None)

    def process_result_value(
        self, value: dt.datetime | None, dialect: sa.Dialect
    ) -> dt.datetime | None:
        return None if value is None else value.replace(tzinfo=dt.UTC)


_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_LONG_BLOB = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
_LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_OBJECT_ID = sa.String(190)  # ids of custom resources may be slugs; 190 fits a MariaDB index


class PollerState(enum.StrEnum):
    """Where the poller of one resource stands."""

    BASELINE = "baseline"  #: reading what exists, without a word
    ACTIVE = "active"  #: telling what changes
    DISABLED = "disabled"  #: stopped after repeated failures


class EventType(enum.StrEnum):
    """What happened to an object, in the documented words."""

    CREATED = "CREATED"  #: it was not there before
    UPDATED = "UPDATED"  #: its content changed
    DELETED = "DELETED"  #: it is gone, in the trash, or left the polled role


class Source(enum.StrEnum):
    """Who saw it."""

    POLL = "poll"  #: a window of modified dates
    COMPARE = "compare"  #: a comparison with the ledger, for what dates do not show
    BASELINE = "baseline"  #: the first reading of a store
    WEBHOOK = "webhook"  #: a delivery of WooCommerce
    JOURNAL = "journal"  #: the companion plugin


class Channel(enum.StrEnum):
    """What a subscription hands notifications to."""

    WEBHOOK = "webhook"  #: a callback URL
    HANDLER = "handler"  #: a function of the application


class DeliveryStatus(enum.StrEnum):
    """Where one notification stands on its way to one subscription, in the documented words."""

    CREATED = "created"  #: never tried
    RETRY = "retry"  #: tried without success, due again later
    QUEUED = "queued"  #: waits for a person: the subscription is inactive, or the policy is queue
    DELIVERED = "delivered"  #: the callback answered 2xx


#: A delivery in one of these still holds back later versions of its objects.
UNSETTLED = (DeliveryStatus.CREATED, DeliveryStatus.RETRY, DeliveryStatus.QUEUED)


class Base(orm.DeclarativeBase):
    """The base of our tables; never the host's, so that neither migrates the other."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: t.ClassVar[dict[t.Any, t.Any]] = {
        dt.datetime: UtcDateTime(),
        float: sa.Double(),
        dict[str, t.Any]: sa.JSON(),
        list[str]: sa.JSON(),
        list[dict[str, t.Any]]: sa.JSON(),
        list[str] | None: sa.JSON(none_as_null=True),
        list[int] | None: sa.JSON(none_as_null=True),
    }


def _key() -> orm.MappedColumn[int]:
    return orm.mapped_column(_BIG, primary_key=True, autoincrement=True)


def _refers(target: str, *, index: bool = True) -> orm.MappedColumn[int]:
    return orm.mapped_column(_BIG, sa.ForeignKey(target, ondelete="CASCADE"), index=index)


class Organization(Base):
    """A tenant; every other row belongs to one."""

    __tablename__ = "woo_organization"
    id: orm.Mapped[int] = _key()
    name: orm.Mapped[str] = orm.mapped_column(sa.String(190), unique=True)
    secret_hash: orm.Mapped[str] = orm.mapped_column(sa.String(64), unique=True)
    #: Account settings such as ``notification.webhook.failure.policy``; what is missing is default.
    settings: orm.Mapped[dict[str, t.Any]] = orm.mapped_column(default=dict)
    created_at: orm.Mapped[dt.datetime]


class User(Base):
    """Somebody of an organisation who may call the API."""

    __tablename__ = "woo_user"
    __table_args__ = (sa.UniqueConstraint("organization_id", "name"),)
    id: orm.Mapped[int] = _key()
    organization_id: orm.Mapped[int] = _refers("woo_organization.id", index=False)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(190))
    secret_hash: orm.Mapped[str] = orm.mapped_column(sa.String(64), unique=True)
    #: Sessions of the console that were signed out, while their cookies would be good.
    ended_sessions: orm.Mapped[list[str]] = orm.mapped_column(default=list)
    created_at: orm.Mapped[dt.datetime]


class Instance(Base):
    """One connected store."""

    __tablename__ = "woo_instance"
    # Without AUTOINCREMENT SQLite gives the id of a deleted instance to the next one.
    __table_args__ = (
        sa.Index("ix_woo_instance_due", "next_poll_at", "id"),
        {"sqlite_autoincrement": True},
    )
    id: orm.Mapped[int] = _key()
    organization_id: orm.Mapped[int] = _refers("woo_organization.id")
    user_id: orm.Mapped[int] = _refers("woo_user.id")
    name: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    token_hash: orm.Mapped[str] = orm.mapped_column(sa.String(64), unique=True)
    tags: orm.Mapped[list[str]]
    vendor_type: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    events_enabled: orm.Mapped[bool]
    disabled: orm.Mapped[bool] = orm.mapped_column(default=False)
    refresh_minutes: orm.Mapped[int]
    created_at: orm.Mapped[dt.datetime]
    #: What the store told of itself when it was last asked: version, time zone, order storage.
    store_facts: orm.Mapped[dict[str, t.Any]]
    #: What a person should know of this store, the newest last.
    notices: orm.Mapped[list[dict[str, t.Any]]] = orm.mapped_column(default=list)
    #: Our webhooks at the store, as they were when last looked at.
    hooks: orm.Mapped[list[dict[str, t.Any]]] = orm.mapped_column(default=list)
    #: Where the API is to be reached from the store; null before the first was registered.
    hooks_base: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    #: Which secret they have; grows when it is replaced.
    hooks_epoch: orm.Mapped[int] = orm.mapped_column(default=1)
    #: When the guardian looks at them next; null for instances without webhooks.
    hooks_due_at: orm.Mapped[dt.datetime | None] = orm.mapped_column(index=True)
    #: What the companion plugin's journal told: where we are in it, and whether it can be used.
    journal: orm.Mapped[dict[str, t.Any]] = orm.mapped_column(default=dict)
    #: When the store last reached us with a ping.
    pinged_at: orm.Mapped[dt.datetime | None]
    #: When the next poll is due; null while nothing is to be polled.
    next_poll_at: orm.Mapped[dt.datetime | None]
    #: When all of its resources are due; before that only those that try again after a failure.
    regular_poll_at: orm.Mapped[dt.datetime | None]
    lease_until: orm.Mapped[dt.datetime | None]
    #: Grows with every claim; who writes must still hold the number that was claimed.
    lease_fence: orm.Mapped[int] = orm.mapped_column(default=0)


class Configuration(Base):
    """One entry of an instance's flat ``configuration``."""

    __tablename__ = "woo_configuration"
    __table_args__ = (sa.UniqueConstraint("instance_id", "key"),)
    id: orm.Mapped[int] = _key()
    instance_id: orm.Mapped[int] = _refers("woo_instance.id", index=False)
    key: orm.Mapped[str] = orm.mapped_column(sa.String(190))
    #: As the API reads it back; ciphertext when ``sealed``.
    value: orm.Mapped[str] = orm.mapped_column(_LONG_TEXT)
    sealed: orm.Mapped[bool]


class Poller(Base):
    """The cursor of one resource of one instance."""

    __tablename__ = "woo_poller"
    __table_args__ = (sa.UniqueConstraint("instance_id", "resource"),)
    id: orm.Mapped[int] = _key()
    instance_id: orm.Mapped[int] = _refers("woo_instance.id", index=False)
    #: The configuration's key, which becomes ``objectType``.
    resource: orm.Mapped[str] = orm.mapped_column(sa.String(190))
    #: Its block of ``event.poller.configuration``, normalised.
    configuration: orm.Mapped[dict[str, t.Any]]
    #: False once the configuration no longer names it; the cursor is kept for its return.
    selected: orm.Mapped[bool] = orm.mapped_column(default=True)
    state: orm.Mapped[str] = orm.mapped_column(sa.String(16), default=PollerState.BASELINE)
    #: Whether the baseline is told as CREATED events.
    backfill: orm.Mapped[bool] = orm.mapped_column(default=False)
    #: Greatest modified date that the ledger holds, the store's clock.
    cursor_at: orm.Mapped[dt.datetime | None]
    #: When the baseline began, the store's clock.
    baseline_at: orm.Mapped[dt.datetime | None]
    #: Where the baseline goes on: rows before it, and the last id of them.
    baseline_offset: orm.Mapped[int] = orm.mapped_column(default=0)
    baseline_id: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    baseline_total: orm.Mapped[int | None]
    #: Where the rolling comparison goes on, as above.
    compare_offset: orm.Mapped[int] = orm.mapped_column(default=0)
    compare_id: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    #: What the source must remember besides, for example the order statuses it knows.
    memory: orm.Mapped[dict[str, t.Any]] = orm.mapped_column(default=dict)
    #: Grows with every change of its ledger; see ``Object.stamp``.
    stamp: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, default=0)
    #: The store's clock when the last complete poll began.
    polled_at: orm.Mapped[dt.datetime | None]
    failures: orm.Mapped[int] = orm.mapped_column(default=0)
    #: When it tries again after a failure; null while all is well.
    retry_at: orm.Mapped[dt.datetime | None]
    error: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    created_at: orm.Mapped[dt.datetime]


#: The digest and the field checksums of an object that is gone.
GONE_DIGEST, GONE_FIELDS = b"\0" * 16, b""


class Object(Base):
    """The ledger: what is known of one object of one resource."""

    __tablename__ = "woo_object"
    __table_args__ = (
        sa.Index("ix_woo_object_number", "poller_id", "live", "number"),
        sa.Index("ix_woo_object_modified", "poller_id", "modified_at"),
        sa.Index("ix_woo_object_parent", "poller_id", "parent"),
        {"sqlite_with_rowid": False},
    )
    poller_id: orm.Mapped[int] = orm.mapped_column(
        _BIG, sa.ForeignKey("woo_poller.id", ondelete="CASCADE"), primary_key=True
    )
    object_id: orm.Mapped[str] = orm.mapped_column(_OBJECT_ID, primary_key=True)
    #: The id as a number, where it is one: the order in which stores list.
    number: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    #: The id of the order or product that a refund or variation belongs to.
    parent: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    live: orm.Mapped[bool]
    digest: orm.Mapped[bytes] = orm.mapped_column(sa.LargeBinary(16))
    #: Checksums of the top-level fields, for ``changedFields``.
    fields: orm.Mapped[bytes] = orm.mapped_column(_LONG_BLOB)
    modified_at: orm.Mapped[dt.datetime | None]
    #: Never moves, so that it tells objects of one id in two stores apart.
    created_at: orm.Mapped[dt.datetime | None]
    #: When the content was read, the store's clock.
    seen_at: orm.Mapped[dt.datetime]
    version: orm.Mapped[int]
    #: ``Poller.stamp`` of the last change: what was read from the store before it is stale.
    stamp: orm.Mapped[int] = orm.mapped_column(sa.BigInteger)
    #: The last notification that told of it, to keep its versions in order.
    notification_id: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)


class Arrival(Base):
    """What a webhook of a store said, until it is looked after: where to look, never what is."""

    __tablename__ = "woo_arrival"
    __table_args__ = (sa.Index("ix_woo_arrival_instance", "instance_id", "id"),)
    id: orm.Mapped[int] = _key()
    instance_id: orm.Mapped[int] = _refers("woo_instance.id", index=False)
    #: As the store names it: ``order.updated``, ``action.woocommerce_delete_order``.
    topic: orm.Mapped[str] = orm.mapped_column(sa.String(190))
    #: The hub's name of the collection that it is about; null when it says nothing of one.
    collection: orm.Mapped[str | None] = orm.mapped_column(sa.String(40))
    #: Null when the body names none.
    object_id: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    #: The order or product that the object belongs to, as far as the body says.
    parent: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    received_at: orm.Mapped[dt.datetime]


class WebhookCoverage(Base):
    """How well the webhooks of one resource of an instance told what happened."""

    __tablename__ = "woo_tally"
    instance_id: orm.Mapped[int] = orm.mapped_column(
        _BIG, sa.ForeignKey("woo_instance.id", ondelete="CASCADE"), primary_key=True
    )
    resource: orm.Mapped[str] = orm.mapped_column(sa.String(190), primary_key=True)
    #: Changes that a webhook told first.
    told: orm.Mapped[int] = orm.mapped_column(default=0)
    #: Changes that polling told and no webhook did.
    missed: orm.Mapped[int] = orm.mapped_column(default=0)
    #: Webhooks that came after polling had told the change.
    late: orm.Mapped[int] = orm.mapped_column(default=0)
    #: Webhooks that said again what a webhook had said.
    repeated: orm.Mapped[int] = orm.mapped_column(default=0)
    #: Webhooks that named an object to which nothing had happened.
    wrong: orm.Mapped[int] = orm.mapped_column(default=0)
    since: orm.Mapped[dt.datetime]


class Usage(Base):
    """What one instance asked of its store in one hour."""

    __tablename__ = "woo_usage"
    instance_id: orm.Mapped[int] = orm.mapped_column(
        _BIG, sa.ForeignKey("woo_instance.id", ondelete="CASCADE"), primary_key=True
    )
    #: The beginning of the hour, our own clock.
    hour: orm.Mapped[dt.datetime] = orm.mapped_column(primary_key=True, index=True)
    turns: orm.Mapped[int] = orm.mapped_column(default=0)
    #: Requests to the store, and the seconds that its answers took in all.
    requests: orm.Mapped[int] = orm.mapped_column(default=0)
    seconds: orm.Mapped[float] = orm.mapped_column(default=0.0)
    failures: orm.Mapped[int] = orm.mapped_column(default=0)


class Connection(Base):
    """A store that somebody is about to connect by WooCommerce's own approval of keys."""

    __tablename__ = "woo_connection"
    id: orm.Mapped[int] = _key()
    organization_id: orm.Mapped[int] = _refers("woo_organization.id")
    user_id: orm.Mapped[int] = _refers("woo_user.id")
    #: Of the unguessable state that goes through the store.
    state_hash: orm.Mapped[str] = orm.mapped_column(sa.String(64), unique=True)
    store_url: orm.Mapped[str] = orm.mapped_column(sa.Text)
    #: The request for the instance, without the keys; ciphertext, since it may hold secrets.
    request: orm.Mapped[str] = orm.mapped_column(_LONG_TEXT)
    #: The instance that came of it; null while the store has not answered.
    instance_id: orm.Mapped[int | None] = orm.mapped_column(_BIG)
    #: Why it failed, for people.
    error: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    created_at: orm.Mapped[dt.datetime]
    expires_at: orm.Mapped[dt.datetime] = orm.mapped_column(index=True)


class StoredEvent(Base):
    """One CREATED, UPDATED or DELETED of one object."""

    __tablename__ = "woo_event"
    __table_args__ = (
        sa.Index("ix_woo_event_object", "poller_id", "object_id", "version"),
        sa.Index("ix_woo_event_instance", "instance_id", "id"),
    )
    id: orm.Mapped[int] = _key()
    instance_id: orm.Mapped[int] = _refers("woo_instance.id", index=False)
    poller_id: orm.Mapped[int] = _refers("woo_poller.id", index=False)
    notification_id: orm.Mapped[int] = _refers("woo_notification.id")
    resource: orm.Mapped[str] = orm.mapped_column(sa.String(190))
    object_id: orm.Mapped[str] = orm.mapped_column(_OBJECT_ID)
    version: orm.Mapped[int]
    event_type: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    #: The object's own date of the change, as far as it has one.
    date: orm.Mapped[dt.datetime]
    #: Which source saw it: poll, compare, webhook, journal.
    source: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    changed_fields: orm.Mapped[list[str] | None]
    #: The object as the store gave it, JSON.
    body: orm.Mapped[bytes] = orm.mapped_column(_LONG_BLOB)
    created_at: orm.Mapped[dt.datetime]


class Notification(Base):
    """Up to 10 or 20 events of one resource, sent as one body."""

    __tablename__ = "woo_notification"
    __table_args__ = (sa.Index("ix_woo_notification_instance", "instance_id", "id"),)
    id: orm.Mapped[int] = _key()
    instance_id: orm.Mapped[int] = _refers("woo_instance.id", index=False)
    poller_id: orm.Mapped[int] = _refers("woo_poller.id")
    #: ``message.eventId``: 20 characters, unique.
    event_id: orm.Mapped[str] = orm.mapped_column(sa.String(20), unique=True)
    resource: orm.Mapped[str] = orm.mapped_column(sa.String(190))
    #: When the poll that saw the events began, the store's clock.
    poll_date: orm.Mapped[dt.datetime]
    #: How many events it holds, so that they can be counted without reading them.
    size: orm.Mapped[int] = orm.mapped_column(default=1)
    created_at: orm.Mapped[dt.datetime] = orm.mapped_column(index=True)


class Subscription(Base):
    """Where an instance's notifications go."""

    __tablename__ = "woo_subscription"
    id: orm.Mapped[int] = _key()
    instance_id: orm.Mapped[int] = _refers("woo_instance.id")
    channel: orm.Mapped[str] = orm.mapped_column(sa.String(16), default=Channel.WEBHOOK)
    #: The callback's address, or the handler's name.
    url: orm.Mapped[str] = orm.mapped_column(sa.Text)
    active: orm.Mapped[bool] = orm.mapped_column(default=True)
    #: Why it is not active, for people.
    reason: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    #: False once another callback URL took its place.
    current: orm.Mapped[bool] = orm.mapped_column(default=True)
    #: When to look for deliveries that are due; never later than the first of them.
    next_due_at: orm.Mapped[dt.datetime | None] = orm.mapped_column(index=True)
    #: Failures in a row, when the first of them was, and until when nothing is tried.
    failures: orm.Mapped[int] = orm.mapped_column(default=0)
    failing_since: orm.Mapped[dt.datetime | None]
    held_until: orm.Mapped[dt.datetime | None]
    created_at: orm.Mapped[dt.datetime]


class Delivery(Base):
    """The attempts to hand one notification to one subscription."""

    __tablename__ = "woo_delivery"
    __table_args__ = (
        sa.Index("ix_woo_delivery_due", "subscription_id", "status", "due_at", "id"),
        sa.Index("ix_woo_delivery_lease", "subscription_id", "lease_until"),
        # Small for ever: what did not arrive is looked for among everything that did.
        sa.Index(
            "ix_woo_delivery_unsettled",
            "status",
            "id",
            sqlite_where=sa.text("status <> 'delivered'"),
            postgresql_where=sa.text("status <> 'delivered'"),
        ),
        sa.UniqueConstraint("notification_id", "subscription_id"),
    )
    id: orm.Mapped[int] = _key()
    notification_id: orm.Mapped[int] = _refers("woo_notification.id", index=False)
    subscription_id: orm.Mapped[int] = _refers("woo_subscription.id", index=False)
    status: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    attempts: orm.Mapped[int] = orm.mapped_column(default=0)
    #: When it may be tried; null when nobody shall try it by himself.
    due_at: orm.Mapped[dt.datetime | None]
    first_failed_at: orm.Mapped[dt.datetime | None]
    #: Ids of events that a handler has had already, while others of them failed.
    handled: orm.Mapped[list[int] | None]
    #: Who has claimed it, and until when.
    lease_token: orm.Mapped[str | None] = orm.mapped_column(sa.String(32), index=True)
    lease_until: orm.Mapped[dt.datetime | None]
    created_at: orm.Mapped[dt.datetime]
    updated_at: orm.Mapped[dt.datetime]


class Wait(Base):
    """A delivery that must not overtake another: both tell of the same object."""

    __tablename__ = "woo_wait"
    delivery_id: orm.Mapped[int] = orm.mapped_column(
        _BIG, sa.ForeignKey("woo_delivery.id", ondelete="CASCADE"), primary_key=True
    )
    after_id: orm.Mapped[int] = orm.mapped_column(
        _BIG, sa.ForeignKey("woo_delivery.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class Attempt(Base):
    """One attempt of a delivery and its outcome."""

    __tablename__ = "woo_attempt"
    id: orm.Mapped[int] = _key()
    delivery_id: orm.Mapped[int] = _refers("woo_delivery.id")
    at: orm.Mapped[dt.datetime]
    seconds: orm.Mapped[float]
    #: HTTP status, null when there was no answer.
    status_code: orm.Mapped[int | None]
    reason: orm.Mapped[str] = orm.mapped_column(sa.Text)
    #: The beginning of the answer.
    answer: orm.Mapped[str] = orm.mapped_column(sa.Text)


def include_name(name: str | None, type_: str, parent_names: cabc.Mapping[str, str | None]) -> bool:
    """Keep a host's Alembic from touching our tables.

    Pass it as ``Migrate(app, db, include_name=flask_woo_events.include_name)``; without it a
    host's autogenerate writes ``drop_table`` for every table of ours that it finds.
    """
    return not (type_ == "table" and name is not None and name.startswith(TABLE_PREFIX))
