"""Polling: the cost of a baseline, of an idle poll, and of one change."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import pathlib
import resource
import tempfile
import time

import flask
import flask_sqlalchemy
import requests

from benchmarks.store import send_command, store_process
from flask_woo_events import Flask, WooEvents
from flask_woo_events.db import upgrade
from flask_woo_events.instances import accounts
from flask_woo_events.runtime import EXTENSION, Runtime
from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.sync.report import PollReport
from flask_woo_events.values.crypto import Cipher
from flask_woo_events.worker.worker import Worker

SIZES = {"orders": 10_000, "products": 2_000, "coupons": 300, "customers": 1_000}
RESOURCES = ("customers", "discounts", "orders", "products")
IDLE_POLLS = 10


@contextlib.contextmanager
def application() -> cabc.Iterator[flask.Flask]:
    """Create an application with the default settings and a SQLite file."""
    with tempfile.TemporaryDirectory() as folder:
        app = Flask("bench", instance_path=folder)
        app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{pathlib.Path(folder)}/bench.sqlite3"
        app.config["WOO_EVENTS_ENCRYPTION_KEYS"] = [Cipher.generate_key()]
        app.config["WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS"] = True
        flask_sqlalchemy.SQLAlchemy().init_app(app)
        app.register_extension(WooEvents())
        upgrade.upgrade(app.extensions[EXTENSION].database.engine)
        yield app


def create_instance(
    app: flask.Flask, store_url: str, callback_url: str, names: cabc.Iterable[str] = RESOURCES
) -> int:
    """Create an instance for these resources; return its id."""
    runtime: Runtime = app.extensions[EXTENSION]
    with runtime.database.write() as session:
        user = accounts.add_user(session, "bench", "bench", runtime.clock())
    answer = app.test_client().post(
        "/elements/api-v2/instances",
        headers={
            "Authorization": f"User {user.user_secret}, Organization {user.organization_secret}"
        },
        json={
            "element": {"key": "woocommercerest"},
            "name": "bench",
            "configuration": {
                "store.url": store_url,
                "oauth.api.key": "ck_bench",
                "oauth.api.secret": "cs_bench",
                "event.notification.enabled": True,
                "event.vendor.type": "polling",
                "event.notification.callback.url": callback_url,
                "event.poller.configuration": {
                    name: {"url": f"/hubs/ecommerce/{name}", "idField": "id"} for name in names
                },
            },
        },
    )
    assert answer.status_code == 200, answer.text
    return int(answer.get_json()["id"])


def poll(runtime: Runtime, instance_id: int) -> tuple[list[PollReport], float, float]:
    """Poll the four resources once; return reports, seconds, and CPU seconds of this process."""
    worker = Worker(runtime)
    began, cpu = time.perf_counter(), time.process_time()
    reports = worker.poll_once([instance_id])
    for report in reports:
        assert report.error is None, report.error
    return reports, time.perf_counter() - began, time.process_time() - cpu


def bare_reading(store_url: str) -> float:
    """Read and parse the same pages without a ledger; return objects a second."""
    began, count = time.perf_counter(), 0
    from flask_woo_events.woocommerce.client import StoreClient

    client = StoreClient(store_url, "ck_bench", "cs_bench", session=requests.Session())
    for path in SIZES:
        offset = 0
        while True:
            params: dict[str, str | int] = {
                "orderby": "id",
                "order": "asc",
                "per_page": 100,
                "offset": offset,
            }
            rows = client.get(path, params).data
            count, offset = count + len(rows), offset + len(rows)
            if len(rows) < 100:
                break
    return count / (time.perf_counter() - began)


def main() -> None:
    """Measure a baseline, idle polls, and one change."""
    receiver = CallbackReceiver()
    print("polling:", ", ".join(f"{count:,} {name}" for name, count in SIZES.items()))
    with (
        store_process(**SIZES) as (url, store),
        application() as app,
        receiver.serve() as callback_url,
    ):
        bare = bare_reading(url)
        runtime: Runtime = app.extensions[EXTENSION]
        instance_id = create_instance(app, url, callback_url)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        reports, seconds, cpu = poll(runtime, instance_id)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        count = sum(report.observed for report in reports)
        rate = count / seconds
        print(f"  baseline       {count:,} objects in {seconds:.2f} s: {rate:,.0f} a second,")
        print(f"                 {rate / bare:.2f} of the rate without a ledger ({bare:,.0f});")
        print(f"                 {cpu:.2f} s of CPU, peak {peak:.0f} MiB ({before:.0f} before)")
        poll(runtime, instance_id)
        idle = [poll(runtime, instance_id) for _ in range(IDLE_POLLS)]
        requests_made = max(sum(report.requests for report in one[0]) for one in idle)
        milliseconds = sorted(one[2] * 1000 for one in idle)[len(idle) // 2]
        print(f"  idle poll      {requests_made} requests, {milliseconds:.0f} ms of CPU")
        send_command(store, "change-order")
        poll(runtime, instance_id)
        Worker(runtime).deliver_once()
        events = [len(one.events) for one in receiver.received]
        print(f"  one change     {len(events)} notification with {sum(events)} event")
