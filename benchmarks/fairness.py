"""Fairness: how long due stores wait for their polls, alone and next to busy or slow stores."""

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
from flask_woo_events.db.models import Delivery, Instance, Poller, Subscription
from flask_woo_events.db.states import PollerState
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

#: Number of ordinary stores, each polled every minute.
STORES = int(os.environ.get("BENCH_STORES", "400"))
#: Duration of a measurement, seconds.
SECONDS = float(os.environ.get("BENCH_SECONDS", "60"))
#: Objects that change at the same time in the busy store.
CHANGES = int(os.environ.get("BENCH_CHANGES", "60000"))
#: Response time of the slow store, seconds.
SLOW_SECONDS = 30.0
SMALL = {"orders": 10, "products": 5, "coupons": 2, "customers": 3}
RESOURCES = ("orders", "products", "discounts", "customers")


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
        busy = bench.connect(large, callback, "orders")
        with worker_process(url, bench.key):
            began = time.perf_counter()
            bench.wait_for_baselines(ordinary)
            rate = STORES / (time.perf_counter() - began)
            print(f"  baselines       {rate:6.1f} stores a second")
            bench.measure_capacity(ordinary)
            bench.wait_for_baselines([busy])
            bench.spread_polls(ordinary, pause=busy)
            bench.measure_waits(ordinary, "alone")
            send_command(process, "change-orders")
            bench.poll_now(busy)
            bench.measure_waits(ordinary, f"with {CHANGES:,} changes of one store")
            slow = bench.connect(stack.enter_context(slow_store()), callback)
            bench.measure_waits(ordinary, f"with a store that responds in {SLOW_SECONDS:g} s")
            bench.stop_polling(slow)
            dead = bench.connect(small, "http://127.0.0.1:9/")
            bench.add_backlog(dead)
            bench.measure_waits(ordinary, "with a dead callback")


class Bench:
    """Stores of one organisation.

    :param url: of the database.
    """

    def __init__(self, url: str) -> None:
        self.key = Cipher.generate_key()
        self.engine = sa.create_engine(url)
        upgrade.upgrade(self.engine)
        self.runtime = create_runtime(url, self.key)
        self.database = self.runtime.database
        now = utc_now()
        with self.database.write() as session:
            user = accounts.add_user(session, "bench", "bench", now)
            self.caller = accounts.Caller(
                organization_id=user.organization_id, user_id=user.user_id
            )

    def close(self) -> None:
        """Close all connections."""
        self.database.dispose()
        self.engine.dispose()

    def connect(self, store: str, callback: str, *resources: str, minutes: int = 1) -> int:
        """Connect a store; return the instance's id.

        :param minutes: between two polls.
        """
        configuration = {
            "store.url": store,
            "oauth.api.key": "ck_bench",
            "oauth.api.secret": "cs_bench",
            "event.notification.enabled": True,
            "event.notification.callback.url": callback,
            "event.vendor.type": "polling",
            "event.poller.refresh_interval": str(minutes),
            "event.poller.configuration": {
                name: {"url": f"/hubs/ecommerce/{name}"} for name in resources or RESOURCES
            },
        }
        body = {"element": {"key": "woocommercerest"}, "name": "bench"}
        spec = specification.plan(
            InstanceRequest.model_validate({**body, "configuration": configuration})
        )
        now = utc_now()
        facts = {"version": "11.0.1", "date": now.isoformat()}
        with self.database.write() as session:
            created, _ = lifecycle.create(
                session, self.runtime.cipher, self.caller, spec, facts, now
            )
        return created

    def wait_for_baselines(self, numbers: cabc.Sequence[int]) -> None:
        """Wait until each of these instances has its baselines."""
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

    def make_due(self, numbers: cabc.Sequence[int]) -> sa.Select[tuple[int]]:
        """Make these instances due now; return a query that counts those still due."""
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

    def measure_capacity(self, numbers: cabc.Sequence[int]) -> None:
        """Make these instances due, and measure the rate of their polls and the database's CPU."""
        before, began = self.database_cpu(), time.perf_counter()
        self._wait(self.make_due(numbers))
        rate = len(numbers) / (time.perf_counter() - began)
        each = (self.database_cpu() - before) / len(numbers) * 1000
        print(f"  idle polls      {rate:6.1f} a second: {rate * 900:,.0f} stores every 15 minutes;")
        print(f"                  {each:6.1f} ms of the database's CPU for each poll")

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

    def spread_polls(self, numbers: cabc.Sequence[int], pause: int) -> None:
        """Spread the instances' due times over the next minute, as in normal operation.

        :param pause: an instance that is not polled any more.
        """
        now = utc_now()
        with self.database.write() as session:
            for place, number in enumerate(numbers):
                due = now + dt.timedelta(seconds=60 * place / len(numbers))
                instance = session.get_one(Instance, number)
                instance.next_poll_at = instance.regular_poll_at = due
        self.stop_polling(pause)

    def stop_polling(self, number: int) -> None:
        """Stop the polls of this instance."""
        with self.database.write() as session:
            session.get_one(Instance, number).next_poll_at = None

    def poll_now(self, number: int) -> None:
        """Make this instance due now."""
        with self.database.write() as session:
            instance = session.get_one(Instance, number)
            instance.next_poll_at = instance.regular_poll_at = utc_now()

    def add_backlog(self, number: int) -> None:
        """Add all notifications to the backlog of this instance's dead callback."""
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

    def measure_waits(self, numbers: cabc.Sequence[int], what: str) -> float:
        """Print the longest wait of a due instance, sampled over the measurement.

        :return: the 99th percentile, seconds.
        """
        due = sa.select(sa.func.min(Instance.next_poll_at)).where(
            Instance.id.in_(numbers), Instance.lease_until.is_(None)
        )
        waits = []
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            with self.database.read() as session:
                oldest = session.scalars(due).one()
                now = self.database.clock()
            waits.append(max((now - oldest).total_seconds(), 0.0) if oldest else 0.0)
            time.sleep(0.1)
        median, worst = statistics.median(waits), statistics.quantiles(waits, n=100)[98]
        print(f"  longest wait    p50 {median:.2f} s, p99 {worst:.2f} s {what}")
        return worst


@contextlib.contextmanager
def slow_store() -> cabc.Iterator[str]:
    """Serve a store that responds slowly."""
    store = SimulatedStore("11.0", consumer_key="ck_bench", consumer_secret="cs_bench")
    store.populate(orders=10, products=5, coupons=2, customers=3)
    store.faults.add("delay", times=1_000_000, seconds=SLOW_SECONDS)
    with store.serve() as url:
        yield url


def create_runtime(url: str, key: str) -> Runtime:
    """Create a runtime with the default settings."""
    settings = Settings(encryption_keys=(key,), allow_private_callbacks=True)
    return Runtime(settings, Database(sa.create_engine(url)))


def run_worker(url: str, key: str) -> None:
    """Run a worker, as ``flask woo poll`` does."""
    Worker(create_runtime(url, key)).run()


@contextlib.contextmanager
def worker_process(url: str, key: str) -> cabc.Iterator[None]:
    """Run a worker process while the block runs."""
    process = multiprocessing.get_context("spawn").Process(target=run_worker, args=(url, key))
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


if __name__ == "__main__":
    main()
