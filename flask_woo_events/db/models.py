"""The tables of the extension, in metadata of their own."""

from __future__ import annotations

import datetime as dt
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..tracing import STORED_CHARS
from .base import BIG, LONG_TEXT, OthersText, key, refers
from .base import TABLE_PREFIX as TABLE_PREFIX
from .base import Base as Base
from .base import UtcDateTime as UtcDateTime
from .base import include_name as include_name
from .event_models import Attempt as Attempt
from .event_models import Delivery as Delivery
from .event_models import Feed as Feed
from .event_models import FeedPurge as FeedPurge
from .event_models import Notification as Notification
from .event_models import OperationalRecord as OperationalRecord
from .event_models import StoredEvent as StoredEvent
from .event_models import Subscription as Subscription
from .event_models import Wait as Wait
from .ledger_models import GONE_DIGEST as GONE_DIGEST
from .ledger_models import GONE_FIELDS as GONE_FIELDS
from .ledger_models import Object as Object
from .ledger_models import ObjectBody as ObjectBody
from .states import PollerState


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
    #: The last erasure that began; what is recorded later respects it and all before it.
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
