"""The extension's tables in a database: their names, keys, structure and differences."""

from __future__ import annotations

import collections.abc as cabc
import json
import typing as t

import alembic.autogenerate
import alembic.runtime.migration
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from flask_woo_events.db import upgrade
from flask_woo_events.db.models import TABLE_PREFIX, Base


def names(engine: sa.Engine) -> list[str]:
    """Return the names of the extension's tables, with the version table."""
    found = sa.inspect(engine).get_table_names()
    return [name for name in found if name.startswith(TABLE_PREFIX)]


def keys(engine: sa.Engine) -> dict[str, set[tuple[t.Any, ...]]]:
    """Return the primary keys of all rows, by table, without the version table."""
    metadata = sa.MetaData()
    metadata.reflect(engine, only=names(engine))
    with engine.connect() as connection:
        return {
            name: {tuple(row) for row in connection.execute(sa.select(*table.primary_key.columns))}
            for name, table in metadata.tables.items()
            if name != upgrade.VERSION_TABLE
        }


def structure(engine: sa.Engine) -> dict[str, t.Any]:
    """Return columns, keys and indexes of every table, in a form that can be compared."""
    with engine.connect() as connection:
        inspector = sa.inspect(connection)
        return {
            name: {
                "columns": [
                    (one["name"], str(one["type"]), one["nullable"], one["default"])
                    for one in inspector.get_columns(name)
                ],
                "primary key": inspector.get_pk_constraint(name)["constrained_columns"],
                "foreign keys": _sorted(inspector.get_foreign_keys(name)),
                "unique": _sorted(inspector.get_unique_constraints(name)),
                "indexes": _sorted(inspector.get_indexes(name)),
            }
            for name in names(engine)
        }


def _sorted(found: cabc.Iterable[t.Any]) -> list[str]:
    # The condition of a partial index is an object without equality.
    return sorted(json.dumps(one, default=str, sort_keys=True) for one in found)


def differences(engine: sa.Engine) -> list[t.Any]:
    """Return the changes that Alembic's autogenerate finds between models and tables."""
    with engine.connect() as connection:
        context = alembic.runtime.migration.MigrationContext.configure(
            connection, opts={"version_table": upgrade.VERSION_TABLE, "compare_type": _differs}
        )
        return t.cast("list[t.Any]", alembic.autogenerate.compare_metadata(context, Base.metadata))


def _differs(
    context: object, one: object, other: object, found: object, wanted: object
) -> bool | None:
    # MariaDB calls a BLOB of 16 bytes a TINYBLOB.
    return False if isinstance(found, mysql.TINYBLOB) else None
