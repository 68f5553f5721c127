"""Hostile: how long healthy stores and callbacks wait next to hanging, dripping and dead ones."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import logging
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import socketserver
import statistics
import tempfile
import threading
import time

import sqlalchemy as sa

from flask_woo_events.db.clock import utc_now
from flask_woo_events.db.models import Delivery, Instance, Subscription
from tests import servers

from . import fairness
from .serving import sink
from .store import send_command, store_process

#: Number of instances, of which each kind of hostility has a tenth.
INSTANCES = int(os.environ.get("BENCH_STORES", "1000"))
#: Minutes between two polls of an instance; each round takes as long.
MINUTES = int(os.environ.get("BENCH_MINUTES", "2"))
DEAD = "http://127.0.0.1:9/"


class _Hanging(socketserver.BaseRequestHandler):
    """Reads a request and answers nothing."""

    def handle(self) -> None:
        self.request.recv(65536)
        time.sleep(3600)


class _Dripping(socketserver.BaseRequestHandler):
    """Answers one byte a second."""

    def handle(self) -> None:
        self.request.recv(65536)
        self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3600\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                self.request.sendall(b" ")
                time.sleep(1)


def _serve(ports: multiprocessing.connection.Connection) -> None:
    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 1024

    found = [Server(("127.0.0.1", 0), one) for one in (_Hanging, _Dripping)]
    ports.send([one.server_address[1] for one in found])
    for one in found:
        threading.Thread(target=one.serve_forever, daemon=True).start()
    ports.recv()


@contextlib.contextmanager
def hostile_stores() -> cabc.Iterator[tuple[str, str]]:
    """Serve a hanging and a dripping store in another process; yield their URLs."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,))
    process.start()
    try:
        hanging, dripping = ours.recv()
        yield f"http://127.0.0.1:{hanging}", f"http://127.0.0.1:{dripping}"
    finally:
        process.terminate()
        process.join()


def main() -> None:
    """Measure with one worker process on PostgreSQL."""
    logging.getLogger("flask_woo_events").setLevel(logging.CRITICAL)
    tenth = INSTANCES // 10
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(servers.postgresql(folder / "postgresql"))
        callback = stack.enter_context(sink())
        small, process = stack.enter_context(store_process(**fairness.SMALL))
        hanging, dripping = stack.enter_context(hostile_stores())
        bench = fairness.Bench(url)
        stack.callback(bench.close)
        print(
            f"hostile: {INSTANCES} instances polled every {MINUTES} min, a tenth of them hanging, "
            "a tenth dripping, a tenth with a dead callback; one worker, PostgreSQL"
        )
        healthy = [
            bench.connect(small, callback, minutes=MINUTES) for _ in range(INSTANCES - 3 * tenth)
        ]
        dead = [bench.connect(small, DEAD, minutes=MINUTES) for _ in range(tenth)]
        with fairness.worker_process(url, bench.key):
            bench.wait_for_baselines([*healthy, *dead])
        others = [
            bench.connect(one, callback, minutes=MINUTES)
            for one in (hanging, dripping)
            for _ in range(tenth)
        ]
        _spread(bench, [*healthy, *dead, *others])
        stack.enter_context(fairness.worker_process(url, bench.key))
        for what in ("first", "second", "third"):
            send_command(process, "change-orders")
            _measure(bench, healthy, f"in the {what} round")


def _spread(bench: fairness.Bench, numbers: cabc.Sequence[int]) -> None:
    """Spread the due times over one interval, with every kind in each part of it."""
    now = utc_now()
    # A step that shares no factor with a number of instances such as 1,000.
    mixed = sorted(range(len(numbers)), key=lambda place: place * 617 % len(numbers))
    with bench.database.write() as session:
        for place, index in enumerate(mixed):
            instance = session.get_one(Instance, numbers[index])
            due = now + dt.timedelta(minutes=MINUTES) * place / len(numbers)
            instance.next_poll_at = instance.regular_poll_at = due


def _measure(bench: fairness.Bench, healthy: cabc.Sequence[int], what: str) -> None:
    """Print the longest waits of due polls and deliveries, sampled over one interval."""
    polls = sa.select(sa.func.min(Instance.next_poll_at)).where(
        Instance.id.in_(healthy), Instance.lease_until.is_(None)
    )
    deliveries = (
        sa.select(sa.func.min(Delivery.due_at))
        .join(Subscription)
        .where(
            Subscription.instance_id.in_(healthy),
            Subscription.next_due_at.is_not(None),
            Delivery.status == "created",
        )
    )
    waits: dict[str, list[float]] = {"polls": [], "deliveries": []}
    end = time.monotonic() + MINUTES * 60
    while time.monotonic() < end:
        with bench.database.read() as session:
            for name, query in (("polls", polls), ("deliveries", deliveries)):
                oldest, now = session.scalars(query).one(), bench.database.clock()
                waits[name].append(max((now - oldest).total_seconds(), 0.0) if oldest else 0.0)
        time.sleep(0.25)
    for name, seconds in waits.items():
        worst = statistics.quantiles(seconds, n=100)[98]
        print(
            f"  healthy {name:<10}  longest wait p50 {statistics.median(seconds):.2f} s, "
            f"p99 {worst:.2f} s, at most {max(seconds):.2f} s {what}",
            flush=True,
        )


if __name__ == "__main__":
    main()
