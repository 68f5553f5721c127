"""A simulated store in another process: ``python -m benchmarks.store ORDERS PRODUCTS ...``."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import subprocess
import sys

from flask_woo_events.simulation.store import SimulatedStore


@contextlib.contextmanager
def store_process(
    *, orders: int, products: int, coupons: int, customers: int
) -> cabc.Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start a store; yield its URL and the process, which reads commands from its input."""
    sizes = [str(size) for size in (orders, products, coupons, customers)]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.store", *sizes],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdin is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.stdin.close()
        process.wait()


def send_command(process: subprocess.Popen[str], command: str) -> str:
    """Send a command to the store; return its reply."""
    assert process.stdout is not None and process.stdin is not None
    process.stdin.write(command + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def _serve(orders: int, products: int, coupons: int, customers: int) -> None:
    store = SimulatedStore("11.0", consumer_key="ck_bench", consumer_secret="cs_bench")
    store.populate(orders=orders, products=products, coupons=coupons, customers=customers)
    with store.serve() as url:
        print(url, flush=True)
        for line in sys.stdin:
            if line.strip() == "change-order":
                store.acts.order_meta(max(store.truth("orders")))
            elif line.strip() == "change-orders":
                for number in [row.id for row in store.shop.tables["orders"]]:
                    store.acts.order_meta(number)
            print("done", flush=True)


if __name__ == "__main__":
    _serve(*(int(size) for size in sys.argv[1:]))
