"""Workers: rates of two and four worker processes compared with one, on PostgreSQL."""

from __future__ import annotations

import asyncio
import collections.abc as cabc
import contextlib
import logging
import multiprocessing
import pathlib
import statistics
import tempfile
import time

import sqlalchemy as sa

from flask_woo_events.db.models import Delivery
from tests import servers
from tests.ports import reserve_port

from . import deliveries, fairness
from .serving import sink
from .store import store_process

#: Numbers of workers, and how often each is measured, alternately.
WORKERS, ROUNDS = (1, 2, 4), 3
#: Number of callbacks, and notifications for each.
CALLBACKS, EACH = 40, 150
#: Response time of a distant callback, seconds.
DISTANT_SECONDS = 0.05
STORES = 120


def main() -> None:
    """Measure deliveries to near and distant callbacks, and polls of idle stores."""
    logging.getLogger("flask_woo_events").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        with servers.postgresql(pathlib.Path(folder) / "postgresql") as url:
            print("workers, PostgreSQL: " + ", ".join(map(str, WORKERS)))
            bench = deliveries.Bench(url)
            with sink() as near_url:
                measure_deliveries(bench, near_url, "callbacks that respond immediately")
            with distant_callback() as distant_url:
                measure_deliveries(
                    bench, distant_url, f"callbacks that respond in {DISTANT_SECONDS * 1000:.0f} ms"
                )
            bench.close()
        with servers.postgresql(pathlib.Path(folder) / "polls") as url:
            measure_polls(url)


def measure_deliveries(bench: deliveries.Bench, url: str, title: str) -> None:
    """Measure deliveries from the same backlog with each number of workers."""
    streams = [bench.instance(url) for _ in range(CALLBACKS)]
    rates: dict[int, list[float]] = {number: [] for number in WORKERS}
    for _ in range(ROUNDS):
        for number in WORKERS:
            for stream in streams:
                bench.post(stream, EACH)
            began = time.perf_counter()
            with worker_processes(number, bench.uri, bench.key):
                wait_for(bench, sa.select(sa.func.count(Delivery.id)).where(
                    Delivery.status == "created"))  # fmt: skip
            rates[number].append(CALLBACKS * EACH / (time.perf_counter() - began))
    report(f"deliveries to {title}", rates)


def measure_polls(url: str) -> None:
    """Measure polls of due stores with each number of workers."""
    bench = fairness.Bench(url)
    rates: dict[int, list[float]] = {number: [] for number in WORKERS}
    with sink() as callback, store_process(**fairness.SMALL) as (store, _):
        stores = [bench.connect(store, callback) for _ in range(STORES)]
        with fairness.worker_process(url, bench.key):
            bench.wait_for_baselines(stores)
        for _ in range(ROUNDS):
            for number in WORKERS:
                began = time.perf_counter()
                due = bench.make_due(stores)
                with worker_processes(number, url, bench.key):
                    wait_for(bench, due)
                rates[number].append(STORES / (time.perf_counter() - began))
    bench.close()
    report("polls of idle stores", rates)


def report(title: str, rates: dict[int, list[float]]) -> None:
    """Print the rate of one worker, and the ratios of the other numbers of workers."""
    one = statistics.median(rates[1])
    more = ", ".join(
        f"{number} workers {statistics.median(rates[number]) / one:.2f}" for number in WORKERS[1:]
    )
    print(f"  {title}: {one:,.0f} a second with one worker; ratios: {more}")


def wait_for(bench: deliveries.Bench | fairness.Bench, count: sa.Select[tuple[int]]) -> None:
    """Wait until a query returns 0."""
    while True:
        with bench.runtime.database.read() as session:
            if not session.scalars(count).one():
                return
        time.sleep(0.02)


@contextlib.contextmanager
def worker_processes(number: int, url: str, key: str) -> cabc.Iterator[None]:
    """Run forked worker processes while the block runs, as these start immediately."""
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=fairness.run_worker, args=(url, key)) for _ in range(number)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


async def _serve(port: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                await asyncio.sleep(DISTANT_SECONDS)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def _run_server(port: int) -> None:
    asyncio.run(_serve(port))


@contextlib.contextmanager
def distant_callback() -> cabc.Iterator[str]:
    """Serve a callback that responds after a delay; yield its URL."""
    port = reserve_port()
    process = multiprocessing.get_context("spawn").Process(target=_run_server, args=(port,))
    process.start()
    try:
        time.sleep(1.0)
        yield f"http://127.0.0.1:{port}/events"
    finally:
        process.kill()
        process.join()


if __name__ == "__main__":
    main()
