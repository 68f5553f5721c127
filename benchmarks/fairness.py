"""Fairness: how long stores wait for their polls, alone and next to busy or slow stores."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import logging
import multiprocessing
import os
import pathlib
import statistics
import tempfile
import time

import sqlalchemy as sa

from flask_woo_events.db import upgrade
from flask_woo_events.db.clock import utc_now
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Delivery, Instance, Poller, PollerState, Subscription
from flask_woo_events.instances import accounts, lifecycle, specification
from flask_woo_events.instances.requests import InstanceRequest
from flask_woo_events.runtime import Runtime
from flask_woo_events.settings import Settings
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.values.crypto import Cipher
from flask_woo_events.worker.worker import Worker
from tests import servers

from .serving import sink
from .store import send_command, store_process

#: Ordinary stores, each polled every minute, and the time of a measurement, seconds.
STORES = int(os.environ.get("BENCH_STORES", "400"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "60"))
#: Objects that change at the same time in the busy store.
CHANGES = int(os.environ.get("BENCH_CHANGES", "60000"))
#: How long the slow store takes to answer, seconds.
SLOW = 30.0
SMALL = {"orders": 10, "products": 5, "coupons": 2, "customers": 3}
KINDS = ("orders", "products", "discounts", "customers")


def main() -> None:
    """Measure with one worker process on PostgreSQL."""
    logging.getLogger("flask_woo_events").setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(servers.postgresql(folder / "postgresql"))
        callback = stack.enter_context(sink())
        small, _ = stack.enter_context(store_process(**SMALL))
        large, process = stack.enter_context(
            store_process(orders=CHANGES, products=1, coupons=1, customers=1)
        )
        bench = Bench(url)
        stack.callback(bench.close)
        print(f"fairness: {STORES} stores, one worker, PostgreSQL")
        ordinary = [bench.connect(small, callback) for _ in range(STORES)]
        much = bench.connect(large, callback, "orders")
        with working(url, bench.key):
            began = time.perf_counter()
            bench.wait_until_read(ordinary)
            rate = STORES / (time.perf_counter() - began)
            print(f"  baselines       {rate:6.1f} stores a second")
            bench.capacity(ordinary)
            bench.wait_until_read([much])
            bench.spread(ordinary, pause=much)
            alone = bench.lag(ordinary, "alone")
            send_command(process, "change-orders")
            bench.poll_now(much)
            bench.lag(ordinary, f"with {CHANGES:,} changes of one store", alone)
            slow = bench.connect(stack.enter_context(slowly()), callback)
            bench.lag(ordinary, f"with a store that answers in {SLOW:g} s", alone)
            bench.stop(slow)
            dead = bench.connect(small, "http://127.0.0.1:9/")
            bench.let_fail(dead)
            bench.lag(ordinary, "beside a dead callback", alone)


class Bench:
    """Stores of one organisation.

    :param url: of the database.
    """

    def __init__(self, url: str) -> None:
        self.key = Cipher.generate_key()
        self.engine = sa.create_engine(url)
        upgrade.upgrade(self.engine)
        self.runtime = runtime_at(url, self.key)
        self.database = self.runtime.database
        now = utc_now()
        with self.database.write() as session:
            user = accounts.add_user(session, "bench", "bench", now)
            self.who = accounts.Caller(organization_id=user.organization_id, user_id=user.user_id)

    def close(self) -> None:
        """Close what is open."""
        self.database.dispose()
        self.engine.dispose()

    def connect(self, store: str, callback: str, *kinds: str) -> int:
        """Connect a store; it is polled from now on, every minute."""
        configuration = {
            "store.url": store,
            "oauth.api.key": "ck_bench",
            "oauth.api.secret": "cs_bench",
            "event.notification.enabled": True,
            "event.notification.callback.url": callback,
            "event.vendor.type": "polling",
            "event.poller.refresh_interval": "1",
            "event.poller.configuration": {
                name: {"url": f"/hubs/ecommerce/{name}"} for name in kinds or KINDS
            },
        }
        body = {"element": {"key": "woocommercerest"}, "name": "bench"}
        plan = specification.plan(
            InstanceRequest.model_validate({**body, "configuration": configuration})
        )
        now = utc_now()
        facts = {"version": "11.0.1", "date": now.isoformat()}
        with self.database.write() as session:
            created, _ = lifecycle.create(session, self.runtime.cipher, self.who, plan, facts, now)
        return created

    def wait_until_read(self, numbers: cabc.Sequence[int]) -> None:
        """Wait until each of these has a baseline."""
        unread = sa.select(sa.func.count(Poller.id)).where(
            Poller.instance_id.in_(numbers), Poller.state != PollerState.ACTIVE
        )
        self._wait(unread)

    def _wait(self, count: sa.Select[tuple[int]]) -> None:
        while True:
            with self.database.read() as session:
                if not session.scalars(count).one():
                    return
            time.sleep(0.1)

    def all_due(self, numbers: cabc.Sequence[int]) -> sa.Select[tuple[int]]:
        """Make all of these due now; return a query that counts those that still wait."""
        now = utc_now()
        with self.database.write() as session:
            session.execute(
                sa.update(Instance)
                .where(Instance.id.in_(numbers))
                .values(next_poll_at=now, regular_poll_at=now, lease_until=None)
            )
        return sa.select(sa.func.count(Instance.id)).where(
            Instance.id.in_(numbers), Instance.next_poll_at <= now
        )

    def capacity(self, numbers: cabc.Sequence[int]) -> None:
        """Make all stores due, and measure the rate and the cost of their polls."""
        before, began = self.database_cpu(), time.perf_counter()
        self._wait(self.all_due(numbers))
        rate = len(numbers) / (time.perf_counter() - began)
        each = (self.database_cpu() - before) / len(numbers) * 1000
        print(f"  idle polls      {rate:6.1f} a second: {rate * 900:,.0f} stores at 15 minutes;")
        print(f"                  {each:6.1f} ms of the database's CPU for each")

    def database_cpu(self) -> float:
        """Return the CPU seconds of the database's processes."""
        with self.engine.connect() as connection:
            pids = connection.exec_driver_sql("SELECT pid FROM pg_stat_activity").scalars().all()
        ticks = 0
        for pid in pids:
            with contextlib.suppress(FileNotFoundError):
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def spread(self, numbers: cabc.Sequence[int], pause: int) -> None:
        """Make them due one after the other over the next minute, as in normal operation."""
        now = utc_now()
        with self.database.write() as session:
            for place, number in enumerate(numbers):
                due = now + dt.timedelta(seconds=60 * place / len(numbers))
                instance = session.get_one(Instance, number)
                instance.next_poll_at = instance.regular_poll_at = due
        self.stop(pause)

    def stop(self, number: int) -> None:
        """Stop polling this store."""
        with self.database.write() as session:
            session.get_one(Instance, number).next_poll_at = None

    def poll_now(self, number: int) -> None:
        """Make this store due."""
        with self.database.write() as session:
            instance = session.get_one(Instance, number)
            instance.next_poll_at = instance.regular_poll_at = utc_now()

    def let_fail(self, number: int) -> None:
        """Give a dead callback a long backlog."""
        with self.database.write() as session:
            subscription = session.scalars(
                sa.select(Subscription).where(Subscription.instance_id == number)
            ).one()
            notification_ids = session.scalars(sa.select(Delivery.notification_id)).all()
            now = utc_now()
            session.add_all(
                Delivery(
                    notification_id=one,
                    subscription_id=subscription.id,
                    status="created",
                    due_at=now,
                    attempts=0,
                    created_at=now,
                    updated_at=now,
                )
                for one in notification_ids
            )
            subscription.next_due_at = now
        print(f"  ({len(notification_ids):,} notifications wait for the dead callback)")

    def lag(self, numbers: cabc.Sequence[int], what: str, alone: float | None = None) -> float:
        """Sample the longest wait of any store for its poll."""
        due = sa.select(sa.func.min(Instance.next_poll_at)).where(
            Instance.id.in_(numbers), Instance.lease_until.is_(None)
        )
        seen = []
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            with self.database.read() as session:
                oldest = session.scalars(due).one()
                now = self.database.clock()
            seen.append(max((now - oldest).total_seconds(), 0.0) if oldest else 0.0)
            time.sleep(0.1)
        middle, worst = statistics.median(seen), statistics.quantiles(seen, n=100)[98]
        print(f"  longest wait    p50 {middle:.2f} s, p99 {worst:.2f} s {what}")
        return worst


@contextlib.contextmanager
def slowly() -> cabc.Iterator[str]:
    """Serve a store that answers slowly."""
    store = SimulatedStore("11.0", consumer_key="ck_bench", consumer_secret="cs_bench")
    store.populate(orders=10, products=5, coupons=2, customers=3)
    store.faults.add("delay", times=1_000_000, seconds=SLOW)
    with store.serve() as url:
        yield url


def runtime_at(url: str, key: str) -> Runtime:
    """Create a runtime with the default settings."""
    settings = Settings(encryption_keys=(key,), allow_private_callbacks=True)
    return Runtime(settings, Database(sa.create_engine(url)))


def work(url: str, key: str) -> None:
    """Do what ``flask woo poll`` does."""
    Worker(runtime_at(url, key)).run()


@contextlib.contextmanager
def working(url: str, key: str) -> cabc.Iterator[None]:
    """Run a worker process while the block runs."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=(url, key))
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


if __name__ == "__main__":
    main()
