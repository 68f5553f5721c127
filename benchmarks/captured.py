"""Recorded objects: what a ledger keeps of each, and of its change, with bodies and without."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import json
import pathlib
import re
import tempfile
import typing as t

import sqlalchemy as sa

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Base, StoredEvent
from flask_woo_events.sync.ledger import compression, digest
from tests.integration import ledger_env

CAPTURES = pathlib.Path(__file__).resolve().parents[1] / "tests" / "captures"
KINDS = {"orders": "orders", "products": "products", "customers": "customers"}
#: Times that each recorded object is kept, each with an id of its own.
COPIES = 40
_PATH = re.compile(r"/wp-json/wc/v3/(\w+)(?:/\d+)?\Z")
_CHANGES: dict[str, dict[str, t.Any]] = {
    "orders": {"status": "on-hold", "date_modified_gmt": "2026-11-24T08:00:00"},
    "products": {"stock_quantity": 3, "date_modified_gmt": "2026-11-24T08:00:00"},
    "customers": {"first_name": "Eva", "date_modified_gmt": "2026-11-24T08:00:00"},
}

Json = dict[str, t.Any]


def objects(kind: str) -> list[Json]:
    """Return every recorded state of the objects of one kind."""
    found: dict[bytes, Json] = {}
    for file in sorted(CAPTURES.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            path = _PATH.fullmatch(record.get("path", ""))
            if record["kind"] != "rest" or record["status"] >= 300 or path is None:
                continue
            response = record["response"]
            for body in response if isinstance(response, list) else [response]:
                if path[1] == kind and isinstance(body, dict) and "date_created" in body:
                    found.setdefault(digest.content_of(body).data, body)
    return list(found.values())


def main(urls: cabc.Mapping[str, str]) -> None:
    """Print the bytes of recorded objects and of their changes in empty databases.

    :param urls: of the databases, by name.
    """
    print("  recorded objects   JSON  compressed  greatest")
    for kind in KINDS:
        sizes = [len(digest.content_of(one).data) for one in objects(kind)]
        number = compression.number_for(kind)
        packed = [
            len(compression.compress(digest.content_of(one).data, number)) for one in objects(kind)
        ]
        count = len(sizes)
        print(f"  {kind:16} {sum(sizes) / count:>6,.0f} {sum(packed) / count:>11,.0f}", end="")
        print(f" {max(packed):>9,}")
    print("  bytes                       object without  with body   event without  with changes")
    for name, url in urls.items():
        for kind in KINDS:
            without, kept = (_filled(url, kind, bodies) for bodies in (False, True))
            print(
                f"  {name:12} {kind:12} {without[0]:>15,.0f} {kept[0]:>10,.0f} "
                f"{without[1]:>15,.0f} {kept[1]:>13,.0f}"
            )


def _filled(url: str, kind: str, bodies: bool) -> tuple[float, float]:
    """Return the bytes of an object, and those of an event."""
    with tempfile.TemporaryDirectory() as folder:
        engine = sa.create_engine(url.format(folder=folder))
        database = Database(engine)
        Base.metadata.create_all(database.engine)
        env = ledger_env.build(database, callback=None)
        configuration = env.stream.configuration.model_copy(
            update={"url": f"/hubs/ecommerce/{kind}"}
        )
        env.stream = dataclasses.replace(
            env.stream, configuration=configuration, resource=kind, keeps_bodies=bodies
        )
        # A store's ids are not those of recorded objects, which are all low.
        copies = [
            one | {"id": 10_000 + place * COPIES + copy, "modified": ledger_env.at(-900)}
            for place, one in enumerate(objects(kind))
            for copy in range(COPIES)
        ]
        empty = _size(database)
        _see(env, copies, since=ledger_env.NOW)
        known = _size(database)
        _see(env, [one | _CHANGES[kind] for one in copies])
        events = _size(database, StoredEvent.__tablename__)
        database.dispose()
        Base.metadata.drop_all(engine)
        engine.dispose()
    return (known - empty) / len(copies), events / len(copies)


def _see(env: ledger_env.LedgerEnv, bodies: list[Json], since: dt.datetime | None = None) -> None:
    for start in range(0, len(bodies), 100):
        env.see(*bodies[start : start + 100], since=since)


def _size(database: Database, table: str | None = None) -> int:
    """Return the bytes of a table with its indexes, or of all tables."""
    with database.engine.connect() as connection:
        if database.engine.dialect.name == "postgresql":
            names = [table] if table else [one.name for one in Base.metadata.sorted_tables]
            query = sa.select(sa.func.pg_total_relation_size(sa.bindparam("name")))
            return sum(int(connection.scalar(query, {"name": one}) or 0) for one in names)
        # SQLite is built without the sizes of tables: the payload of their rows.
        if table:
            columns = [f"length(CAST({one.name} AS BLOB))" for one in Base.metadata.tables[table].c]
            parts = " + ".join(f"coalesce({one}, 0)" for one in columns)
            query_text = f"SELECT sum({parts}) FROM {table}"
            return int(connection.exec_driver_sql(query_text).scalar_one() or 0)
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        return int(pages) * int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())
