"""Statements that write rows of the ledger."""

from __future__ import annotations

import collections.abc as cabc
import functools
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ...db.models import Object

# Without the mapper, which costs more than the database does.
_TABLE = t.cast(sa.Table, Object.__table__)
INSERT = sa.insert(_TABLE)
_KEY = ("poller_id", "object_id")


def update_rows(session: orm.Session, rows: cabc.Sequence[dict[str, t.Any]]) -> None:
    """Change rows, each with the same columns; the key is taken from them."""
    statement = _update(tuple(rows[0]))
    for row in rows:
        # Parameters with the name of a column would be set.
        for name in _KEY:
            row[f"its_{name}"] = row.pop(name)
    session.execute(statement, rows)


@functools.cache
def _update(names: tuple[str, ...]) -> sa.Update:
    """Return the statement that changes these columns of a row."""
    key = [_TABLE.c[name] == sa.bindparam(f"its_{name}") for name in _KEY]
    values: dict[str, t.Any] = {name: sa.bindparam(name) for name in names if name not in _KEY}
    return sa.update(_TABLE).where(*key).values(values)
