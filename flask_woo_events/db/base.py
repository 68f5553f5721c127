"""The base of our tables: their metadata, the types of their columns, and their prefix."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import mysql

#: Prefix of our tables, by which :func:`include_name` keeps the application's migrations away.
TABLE_PREFIX = "woo_"
#: Attribute of a dialect whose database does not hold all characters: the codec of those it holds.
ENCODING = "woo_encoding"


class UtcDateTime(sa.types.TypeDecorator[dt.datetime]):
    """A column of aware datetimes, stored as UTC without zone, with microseconds."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[t.Any]:
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())

    def bind_processor(self, dialect: sa.Dialect) -> t.Any:
        """Return the function that prepares values for a database."""
        # Two generic functions for each date were a tenth of the time of a first reading.
        return _as_sqlite if dialect.name == "sqlite" else super().bind_processor(dialect)

    def process_bind_param(
        self, value: dt.datetime | None, dialect: sa.Dialect
    ) -> dt.datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("only aware datetimes are stored")
        return (value if value.tzinfo is dt.UTC else value.astimezone(dt.UTC)).replace(tzinfo=None)

    def process_result_value(
        self, value: dt.datetime | None, dialect: sa.Dialect
    ) -> dt.datetime | None:
        return None if value is None else value.replace(tzinfo=dt.UTC)


def _as_sqlite(value: dt.datetime | None) -> str | None:
    """Return a date as SQLAlchemy's type for SQLite writes it, without its zone."""
    if value is None:
        return None
    if value.tzinfo is None:
        raise ValueError("only aware datetimes are stored")
    utc = value if value.tzinfo is dt.UTC else value.astimezone(dt.UTC)
    return utc.isoformat(" ", "microseconds")[:26]


class OthersText(sa.types.TypeDecorator[str]):
    """A column of text that stores, callbacks and handlers wrote, which may be anything.

    What a database refuses is escaped: NUL, surrogates without their other half, and characters
    that the database's encoding lacks. A longer text than MariaDB's ``TEXT`` holds is cut.
    """

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        if value is None:
            return None
        text = value[:10_000].replace("\0", "\\x00")
        if text.isascii():
            return text
        codec = getattr(dialect, ENCODING, "utf-8")
        return text.encode(codec, "backslashreplace").decode(codec)


class Blob(sa.LargeBinary):
    """A column of bytes, which SQLite takes as they are."""

    def bind_processor(self, dialect: sa.Dialect) -> t.Any:
        """Return the function that prepares values for a database."""
        # The generic one wraps each value, which takes longer than all the rest.
        if dialect.name == "sqlite":
            return None
        return super().bind_processor(dialect)  # type: ignore[no-untyped-call]


BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG_BLOB = Blob().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
#: Ids of custom resources may be slugs; 190 characters fit an index of MariaDB.
OBJECT_ID = sa.String(190)


class Base(orm.DeclarativeBase):
    """The base of our tables, apart from the application's, so that neither migrates the other."""

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
        list[dict[str, t.Any]] | None: sa.JSON(none_as_null=True),
        list[str] | None: sa.JSON(none_as_null=True),
        list[int] | None: sa.JSON(none_as_null=True),
    }

    @classmethod
    def __table_cls__(cls, *args: t.Any, **options: t.Any) -> sa.Table:
        """Return a table that compares text by its bytes, as SQLite and PostgreSQL do."""
        for dialect in ("mysql", "mariadb"):
            options[f"{dialect}_charset"] = "utf8mb4"
            options[f"{dialect}_collate"] = "utf8mb4_nopad_bin"
        return sa.Table(*args, **options)


def key() -> orm.MappedColumn[int]:
    """Return the column of a row's own number."""
    return orm.mapped_column(BIG, primary_key=True, autoincrement=True)


def refers(target: str, *, index: bool = True) -> orm.MappedColumn[int]:
    """Return a column with the number of another row, with which the row is deleted."""
    return orm.mapped_column(BIG, sa.ForeignKey(target, ondelete="CASCADE"), index=index)


def include_name(name: str | None, type_: str, parent_names: cabc.Mapping[str, str | None]) -> bool:
    """Return whether the application's Alembic may handle a database object.

    It leaves out the extension's tables. Pass it to Flask-Migrate as
    ``Migrate(app, db, include_name=flask_woo_events.include_name)``; without it the
    application's autogenerate writes ``drop_table`` for each of them.

    :param name: name of the object.
    :param type_: its kind, for example ``table``.
    :param parent_names: names of its schema and table, which are not used.
    """
    return not (type_ == "table" and name is not None and name.startswith(TABLE_PREFIX))
