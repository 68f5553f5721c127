"""Sizes: bytes of a store, an object, an event and its delivery in PostgreSQL.

Also those of recorded objects and of their changes, with bodies in the ledger and without.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import tempfile
import time

import sqlalchemy as sa

from flask_woo_events.db.models import Base, Delivery
from tests import servers

from . import captured, fairness
from .serving import sink
from .store import send_command, store_process

#: Orders of the large store, all of which change after the baseline.
ORDERS = int(os.environ.get("BENCH_ORDERS", "10000"))
STORES = 100

_ROWS = "SELECT count(*) FROM {table}"
_SIZES = (
    "SELECT pg_table_size('{table}') AS data, pg_indexes_size('{table}') AS indexes, "
    "pg_total_relation_size('{table}') AS total"
)


def main() -> None:
    """Fill a database by polls and deliveries, and print the bytes a row of each table."""
    logging.getLogger("flask_woo_events").setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(servers.postgresql(folder / "postgresql"))
        callback = stack.enter_context(sink())
        small, _ = stack.enter_context(store_process(**fairness.SMALL))
        large, process = stack.enter_context(
            store_process(orders=ORDERS, products=1, coupons=1, customers=1)
        )
        captured.main({"SQLite": "sqlite:///{folder}/sizes.sqlite3", "PostgreSQL": url})
        bench = fairness.Bench(url)
        stack.callback(bench.close)
        stores = [bench.connect(small, callback) for _ in range(STORES)]
        one = bench.connect(large, callback, "orders")
        stack.enter_context(fairness.worker_process(url, bench.key))
        bench.wait_for_baselines([one, *stores])
        send_command(process, "change-orders")
        bench.poll_now(one)
        _wait_until_delivered(bench)
        print(f"sizes, PostgreSQL: {STORES} small stores, and one with {ORDERS:,} changed orders")
        print("  table                      rows  bytes a row  of which indexes")
        with bench.engine.connect() as connection:
            for table in Base.metadata.sorted_tables:
                _print_size(connection, table.name)


def _wait_until_delivered(bench: fairness.Bench) -> None:
    """Wait until every change is delivered; a notification has ten events."""
    query = sa.select(sa.func.count(Delivery.id)).where(Delivery.status == "delivered")
    while True:
        with bench.database.read() as session:
            if session.scalars(query).one() >= ORDERS / 10:
                return
        time.sleep(0.2)


def _print_size(connection: sa.Connection, table: str) -> None:
    rows = connection.exec_driver_sql(_ROWS.format(table=table)).scalar_one()
    size = connection.exec_driver_sql(_SIZES.format(table=table)).one()
    if rows:
        print(
            f"  {table:22} {rows:>8,}  {size.total / rows:>11,.0f}  {size.indexes / rows:>16,.0f}"
        )


if __name__ == "__main__":
    main()
