"""Deliveries: rate compared with a plain loop, latency, and rate next to a dead callback."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import multiprocessing
import os
import pathlib
import secrets
import statistics
import sys
import tempfile
import threading
import time
import typing as t

import orjson
import requests
import sqlalchemy as sa

from flask_woo_events.db import upgrade
from flask_woo_events.db.clock import utc_now
from flask_woo_events.db.database import Database
from flask_woo_events.db.leases import LeaseRenewer
from flask_woo_events.db.models import (
    Delivery,
    Instance,
    Notification,
    Organization,
    Poller,
    Subscription,
    User,
)
from flask_woo_events.db.states import Channel, EventType
from flask_woo_events.delivery.dispatcher import Dispatch
from flask_woo_events.delivery.payload import Sender, build_body
from flask_woo_events.events import outbox
from flask_woo_events.events.notifications import load
from flask_woo_events.events.outbox import Change, Rules
from flask_woo_events.instances import configuration
from flask_woo_events.instances.polled_resources import PollerConfiguration
from flask_woo_events.runtime import Runtime
from flask_woo_events.settings import Settings
from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.sync.cursor import Stream
from flask_woo_events.values.crypto import Cipher, sign_body
from flask_woo_events.worker.worker import Worker

from .serving import sink

KEY = "a-signature-key-of-32-characters"
COUNT, ROUNDS = 3_000, 5
BACKLOG = 100_000
#: Another database to measure, such as ``postgresql+psycopg://...``.
URI = os.environ.get("BENCH_DATABASE_URI", "")


def main() -> None:
    """Measure SQLite, and the database of BENCH_DATABASE_URI."""
    logging.getLogger("flask_woo_events").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        for uri in filter(None, (f"sqlite:///{pathlib.Path(folder)}/bench.sqlite3", URI)):
            bench = Bench(uri)
            print(f"deliveries, {uri.partition(':')[0]}: signed, one order each, to nginx")
            bench.throughput()
            bench.fan_out()
            if not uri.startswith("sqlite"):
                bench.processes()
            bench.latency()
            bench.next_to_a_dead_callback()
            bench.close()


class Bench:
    """A database with one instance for each callback.

    :param uri: of the database.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.key = Cipher.generate_key()
        self.engine = sa.create_engine(uri)
        upgrade.upgrade(self.engine)
        self.runtime = make_runtime(uri, self.key)
        store = SimulatedStore("11.0", consumer_key="ck", consumer_secret="cs")
        store.populate(orders=1, products=1, coupons=1, customers=1)
        self.body = orjson.dumps(next(iter(store.truth("orders").values())))

    def close(self) -> None:
        """Close all connections."""
        self.runtime.callback_session.close()
        self.runtime.database.dispose()
        self.engine.dispose()

    def throughput(self) -> None:
        """Compare one process with a plain loop of ``requests.Session.post``, alternately."""
        rates: dict[str, list[float]] = {"plain loop": [], "dispatch": []}
        with sink() as url:
            stream = self.instance(url)
            for round_number in range(ROUNDS + 1):
                self.post(stream, COUNT)
                bodies = self.bodies(stream)
                plain = plain_loop(url, bodies)
                began = time.perf_counter()
                report = dispatch(self.runtime)
                ours = report / (time.perf_counter() - began)
                assert report == COUNT, report
                if round_number:
                    rates["plain loop"].append(plain)
                    rates["dispatch"].append(ours)
        medians = {name: statistics.median(each) for name, each in rates.items()}
        for name, rate in medians.items():
            print(f"  {name:10} {rate:6.0f} a second")
        print(f"  ratio {medians['dispatch'] / medians['plain loop']:.2f} for one process")

    def fan_out(self) -> None:
        """Compare deliveries to five subscriptions with as many to one, alternately."""
        rates: dict[int, list[float]] = {1: [], 5: []}
        with sink() as url:
            streams = {count: self.instance(url) for count in rates}
            with self.runtime.database.write() as session:
                for _ in range(4):
                    session.add(
                        Subscription(
                            instance_id=streams[5].instance_id,
                            channel=Channel.CALLBACK,
                            url=url,
                            created_at=utc_now(),
                        )
                    )
            for round_number in range(ROUNDS + 1):
                for count, stream in streams.items():
                    self.post(stream, COUNT // count)
                    began = time.process_time()
                    report = dispatch(self.runtime)
                    assert report == COUNT, report
                    if round_number:
                        rates[count].append((time.process_time() - began) / COUNT)
        one, five = (statistics.median(each) for each in rates.values())
        print(f"  to five subscriptions: {five / one:.2f} of the CPU of a delivery to one")

    def processes(self) -> None:
        """Compare both with one process for each core."""
        cores = os.cpu_count() or 1
        with sink() as url:
            stream = self.instance(url)
            ratios = []
            for _ in range(3):
                self.post(stream, COUNT * cores)
                bodies = self.bodies(stream)[:COUNT]
                began = time.perf_counter()
                _run_processes(cores, plain_loop, url, bodies)
                plain = COUNT * cores / (time.perf_counter() - began)
                began = time.perf_counter()
                _run_processes(cores, dispatch_at, self.uri, self.key)
                ours = COUNT * cores / (time.perf_counter() - began)
                assert self.waiting(stream) == 0
                ratios.append(ours / plain)
        print(f"  ratio {statistics.median(ratios):.2f} for {cores} processes")

    def latency(self) -> None:
        """Measure the time from a commit to the callback, without other load."""
        arrived: list[float] = []
        received = threading.Event()

        def answer(_: object) -> int:
            arrived.append(time.perf_counter())
            received.set()
            return 200

        with CallbackReceiver(answer).serve() as url:
            stream = self.instance(url)
            latencies = []
            with running_worker(self.runtime):
                for _ in range(200):
                    received.clear()
                    self.post(stream, 1)
                    committed = time.perf_counter()
                    received.wait(5)
                    latencies.append((arrived[-1] - committed) * 1000)
                    time.sleep(0.02)
        quantiles = statistics.quantiles(latencies, n=100)
        print(f"  commit to callback: p50 {quantiles[49]:.1f} ms, p99 {quantiles[98]:.1f} ms")

    def next_to_a_dead_callback(self) -> None:
        """Compare a callback's rate with and without the backlog of a dead one."""
        with sink() as url:
            stream = self.instance(url)
            alone = self._rate(stream)
            dead = self.instance("http://127.0.0.1:9/")
            for _ in range(BACKLOG // 10_000):
                self.post(dead, 10_000)
            with_backlog = self._rate(stream)
        ratio = with_backlog / alone
        print(f"  with {BACKLOG:,} notifications for a dead callback: {ratio:.2f} of the rate")

    def _rate(self, stream: Stream) -> float:
        rates = []
        for _ in range(3):
            self.post(stream, COUNT)
            began = time.perf_counter()
            with running_worker(self.runtime):
                while self.waiting(stream):
                    time.sleep(0.02)
            rates.append(COUNT / (time.perf_counter() - began))
        return statistics.median(rates)

    def waiting(self, stream: Stream) -> int:
        """Count the deliveries of an instance without an attempt."""
        with self.runtime.database.read() as session:
            return (
                session.scalar(
                    sa.select(sa.func.count(Delivery.id))
                    .join(Notification, Notification.id == Delivery.notification_id)
                    .where(
                        Notification.instance_id == stream.instance_id,
                        Delivery.status == "created",
                    )
                )
                or 0
            )

    def instance(self, url: str) -> Stream:
        """Create an instance whose notifications go to a URL."""
        now = utc_now()
        with self.runtime.database.write() as session:
            name = secrets.token_hex(8)
            organization = Organization(name=name, secret_hash=name, created_at=now)
            session.add(organization)
            session.flush()
            user = User(
                organization_id=organization.id, name="bench", secret_hash=name, created_at=now
            )
            session.add(user)
            session.flush()
            instance = Instance(
                organization_id=organization.id,
                user_id=user.id,
                name="bench",
                tags=[],
                token_hash=name,
                vendor_type="polling",
                events_enabled=False,
                refresh_minutes=15,
                created_at=now,
                store_facts={},
            )
            session.add(instance)
            session.flush()
            poller_configuration = PollerConfiguration(
                resource="orders", url="/hubs/ecommerce/orders"
            )
            poller = Poller(
                instance_id=instance.id,
                resource="orders",
                configuration=poller_configuration.model_dump(mode="json"),
                created_at=now,
            )
            session.add(poller)
            session.add(Subscription(instance_id=instance.id, url=url, created_at=now))
            session.flush()
            key = {"event.notification.signature.key": KEY}
            configuration.write(session, self.runtime.cipher, instance.id, key)
            return Stream(
                poller_id=poller.id,
                instance_id=instance.id,
                resource="orders",
                configuration=poller_configuration,
            )

    def post(self, stream: Stream, count: int) -> None:
        """Record notifications of one event each."""
        now = utc_now()
        changes = [
            Change(
                object_id=str(number),
                event_type=EventType.UPDATED,
                version=1,
                date=now,
                source="poll",
                body=self.body,
                changed_fields=("status",),
            )
            for number in range(count)
        ]
        with self.runtime.database.write() as session:
            outbox.post(session, stream, changes, now, Rules(now=now, batch_size=1))

    def bodies(self, stream: Stream) -> list[bytes]:
        """Return the bodies of the deliveries without an attempt, as they will be sent."""
        sender = Sender(
            instance_id=stream.instance_id,
            name="bench",
            tags=(),
            account_id=1,
            company_id=1,
            user_id=1,
        )
        with self.runtime.database.read() as session:
            numbers = session.scalars(
                sa.select(Delivery.notification_id)
                .join(Notification, Notification.id == Delivery.notification_id)
                .where(Notification.instance_id == stream.instance_id, Delivery.status == "created")
            ).all()
            return [
                build_body(one, sender)
                for start in range(0, len(numbers), 500)
                for one in load(session, numbers[start : start + 500]).values()
            ]


def make_runtime(uri: str, key: str) -> Runtime:
    """Create a runtime with the default settings."""
    settings = Settings(encryption_keys=(key,), allow_private_callbacks=True)
    return Runtime(settings, Database(sa.create_engine(uri)))


def dispatch(runtime: Runtime) -> int:
    """Send the due deliveries; return how many succeeded."""
    length = dt.timedelta(seconds=runtime.settings.lease_seconds)
    with LeaseRenewer(runtime.database, runtime.clock, length) as renewer:
        return Dispatch(runtime, renewer).run().delivered


def dispatch_at(uri: str, key: str) -> None:
    """Send the due deliveries in a new process."""
    runtime = make_runtime(uri, key)
    dispatch(runtime)
    runtime.callback_session.close()


def plain_loop(url: str, bodies: t.Sequence[bytes]) -> float:
    """Sign and post the bodies one by one, as a simple script does; return the rate."""
    began = time.perf_counter()
    with requests.Session() as session:
        for body in bodies:
            headers = {
                "Content-Type": "application/json",
                "Elements-Webhook-Signature": sign_body(body, KEY),
            }
            session.post(url, data=body, headers=headers, timeout=(5, 15)).raise_for_status()
    return len(bodies) / (time.perf_counter() - began)


def _run_processes(count: int, function: t.Callable[..., object], *args: object) -> None:
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    processes = [context.Process(target=function, args=args) for _ in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0


@contextlib.contextmanager
def running_worker(runtime: Runtime) -> t.Iterator[None]:
    """Run a worker that delivers while the block runs."""
    worker = Worker(runtime, poll=False)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join()
