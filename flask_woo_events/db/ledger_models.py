"""The tables of the ledger: what is known of the objects of the stores."""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from .base import BIG, LONG_BLOB, OBJECT_ID, Base, Blob

#: Digest and field checksums of a deleted object.
GONE_DIGEST, GONE_FIELDS = b"\0" * 16, b""


class Object(Base):
    """The ledger: the last known state of one object of one resource."""

    __tablename__ = "woo_object"
    __table_args__ = (
        sa.Index("ix_woo_object_number", "poller_id", "live", "number"),
        sa.Index("ix_woo_object_modified", "poller_id", "modified_at"),
        sa.Index("ix_woo_object_parent", "poller_id", "parent"),
        {"sqlite_with_rowid": False},
    )
    poller_id: orm.Mapped[int] = orm.mapped_column(
        BIG, sa.ForeignKey("woo_poller.id", ondelete="CASCADE"), primary_key=True
    )
    object_id: orm.Mapped[str] = orm.mapped_column(OBJECT_ID, primary_key=True)
    #: The id as a number, if it is one: the order of stores' lists.
    number: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    #: The id of the order or product that a refund or variation belongs to.
    parent: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    live: orm.Mapped[bool]
    digest: orm.Mapped[bytes] = orm.mapped_column(Blob(16))
    #: Checksums of the top-level fields, for ``changedFields``.
    fields: orm.Mapped[bytes] = orm.mapped_column(LONG_BLOB)
    modified_at: orm.Mapped[dt.datetime | None]
    #: Never changes, so that it distinguishes objects with one id in two stores.
    created_at: orm.Mapped[dt.datetime | None]
    #: When the content was read, by the store's clock.
    seen_at: orm.Mapped[dt.datetime]
    version: orm.Mapped[int]
    #: ``Poller.revision`` of the last change; content that was read before it is stale.
    revision: orm.Mapped[int] = orm.mapped_column("stamp", sa.BigInteger)
    #: The last notification with an event of the object; read by workers of earlier releases.
    notification_id: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    #: Number of the function that made ``digest`` and ``fields``.
    digest_version: orm.Mapped[int] = orm.mapped_column(sa.SmallInteger, server_default="1")
    #: The store's version and time zone when it showed this content; empty if unknown.
    store_version: orm.Mapped[str] = orm.mapped_column(sa.String(40), server_default="")
    store_zone: orm.Mapped[str] = orm.mapped_column(sa.String(64), server_default="")
    #: ``revision`` to which the three columns above belong. Releases before them change only
    #: ``revision``; the columns then do not count.
    described_revision: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, server_default="0")
    #: Whether the store's lists show it; otherwise only its own address does.
    listed: orm.Mapped[bool] = orm.mapped_column(default=True, server_default=sa.true())
    #: When a reading first contradicted what is known, by our clock: the object was missing, or
    #: as it was before. A second reading decides.
    held_at: orm.Mapped[dt.datetime | None]
    #: ``revision`` to which the object's row of ``ObjectBody`` belongs. Releases before it change
    #: only ``revision``; the body then does not count.
    body_revision: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    #: What of the body is kept; null if it has no row. See ``sync/ledger/bodies.py``.
    body_fields: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)


class ObjectBody(Base):
    """What the ledger keeps of an object's last known body, apart from what every poll reads."""

    __tablename__ = "woo_object_body"
    poller_id: orm.Mapped[int] = orm.mapped_column(
        BIG, sa.ForeignKey("woo_poller.id", ondelete="CASCADE"), primary_key=True
    )
    object_id: orm.Mapped[str] = orm.mapped_column(OBJECT_ID, primary_key=True)
    #: Number of the dictionary that it is compressed with.
    dictionary: orm.Mapped[int] = orm.mapped_column(sa.SmallInteger)
    data: orm.Mapped[bytes] = orm.mapped_column(LONG_BLOB)
