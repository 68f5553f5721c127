"""The intake: webhooks a second compared with a bare Flask view, and during floods."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import os
import statistics
import tempfile
import time
import typing as t

import orjson
import sqlalchemy as sa
from sqlalchemy import orm

from flask_woo_events.db import upgrade
from flask_woo_events.db.models import Instance
from flask_woo_events.instances import accounts, webhook_urls
from flask_woo_events.instances.webhook_urls import Hook
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.values import crypto
from flask_woo_events.values.crypto import Cipher

from . import load_generator
from .intake_apps import BARE, PREFIX, SECRET
from .serving import gunicorn

#: Seconds of a measurement, and number of alternating measurements of both applications.
SECONDS, ROUNDS = 4.0, 5
CONNECTIONS = 32
#: Another database to measure, such as ``postgresql+psycopg://...``.
URI = os.environ.get("BENCH_DATABASE_URI", "")


@dataclasses.dataclass(frozen=True)
class Requests:
    """The requests to both applications, and those of the floods."""

    ours: bytes
    bare: bytes
    forged: bytes
    large: bytes
    slow: bytes


def main() -> None:
    """Measure SQLite, and the database of BENCH_DATABASE_URI."""
    with tempfile.TemporaryDirectory() as folder:
        for uri in filter(None, (f"sqlite:///{folder}/bench.sqlite3", URI)):
            key = Cipher.generate_key()
            requests = _prepare(uri, key)
            print(f"intake, {uri.partition(':')[0]}, gunicorn, 2 processes of 16 threads")
            _side_by_side(uri, key, requests)
            for name, options, nginx in SERVERS:
                print(f"  floods, {name}")
                with gunicorn("make_app", uri, key, *options, nginx=nginx) as port:
                    asyncio.run(_floods(port, requests))


#: Servers that are flooded.
SERVERS: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    ("gunicorn, 2 processes of 16 threads, behind nginx", (), True),
    ("gunicorn, 2 processes of 16 threads, alone", (), False),
)


def _prepare(uri: str, key: str) -> Requests:
    engine = sa.create_engine(uri)
    upgrade.upgrade(engine)
    BARE.metadata.create_all(engine)
    with orm.Session(engine) as session:
        name = f"bench-{time.time_ns()}"
        user = accounts.add_user(session, name, name, _now())
        instance = Instance(
            organization_id=user.organization_id,
            user_id=user.user_id,
            name="bench",
            token_hash=crypto.hash_token(name),
            tags=[],
            store_facts={},
            vendor_type="webhook",
            events_enabled=True,
            refresh_minutes=60,
            created_at=_now(),
        )
        session.add(instance)
        session.commit()
        hook = Hook(instance.id, instance.hooks_epoch)
    engine.dispose()
    return _build_requests(key, hook)


def _build_requests(key: str, hook: Hook) -> Requests:
    store = SimulatedStore("11.0", consumer_key="ck", consumer_secret="cs")
    store.populate(orders=1, products=1, coupons=1, customers=1)
    body = orjson.dumps(next(iter(store.truth("orders").values())))
    path = f"{PREFIX}{webhook_urls.PATH}/{webhook_urls.sign([key], hook)}"
    kind = {"Content-Type": "application/json", "X-WC-Webhook-Topic": "order.updated"}

    def signed(secret: str) -> dict[str, str]:
        return {**kind, "X-WC-Webhook-Signature": crypto._hmac(secret.encode(), body)}

    forged = {**signed("nobody's"), "X-WC-Webhook-ID": "7"}
    large = b'{"id":1,"x":"' + b"x" * (8 * 2**20 - 15) + b'"}'
    slow = load_generator.build_request(path, forged, b"x" * 10_000)[:-10_000]
    return Requests(
        ours=load_generator.build_request(
            path, signed(webhook_urls.secrets([key], hook)[-1]), body
        ),
        bare=load_generator.build_request("/hook", signed(SECRET), body),
        forged=load_generator.build_request(path, forged, body),
        large=load_generator.build_request(path, forged, large),
        slow=slow,
    )


def _side_by_side(uri: str, key: str, requests: Requests) -> None:
    sides = {"bare view": ("bare", requests.bare), "intake": ("make_app", requests.ours)}
    with contextlib.ExitStack() as stack:
        ports = {
            name: stack.enter_context(gunicorn(app, uri, key)) for name, (app, _) in sides.items()
        }
        runs: dict[str, list[load_generator.SendCounts]] = {name: [] for name in sides}
        for round_number in range(ROUNDS + 1):
            for name, (_app, request) in sides.items():
                run = asyncio.run(
                    load_generator.send_repeatedly(ports[name], request, CONNECTIONS, SECONDS)
                )
                assert set(run.statuses) == {200} and not run.failed, run
                if round_number:  # The first is for warming up.
                    runs[name].append(run)
    rates = {name: statistics.median(run.rate for run in rounds) for name, rounds in runs.items()}
    slowest = {
        name: statistics.median(run.percentile(99) for run in rounds)
        for name, rounds in runs.items()
    }
    for name in sides:
        print(f"  {name:10} {rates[name]:7.0f} a second, p99 {slowest[name]:6.1f} ms")
    print(
        f"  ratio {rates['intake'] / rates['bare view']:.2f}; "
        f"p99 {slowest['intake'] - slowest['bare view']:+.1f} ms with {CONNECTIONS} connections"
    )


async def _floods(port: int, requests: Requests) -> None:
    """Measure valid webhooks, 50 a second, before, during and after each flood."""
    floods: dict[str, t.Callable[[], t.Coroutine[t.Any, t.Any, t.Any]]] = {
        "forged": lambda: load_generator.send_repeatedly(port, requests.forged, 64, SECONDS * 2),
        "8 MB": lambda: load_generator.send_repeatedly(port, requests.large, 8, SECONDS * 2),
        "slow senders": lambda: load_generator.send_slowly(port, requests.slow, 500, SECONDS * 2),
    }
    for name, flood in floods.items():
        await _genuine(port, requests.ours, 1)
        seen = [await _genuine(port, requests.ours, SECONDS)]
        other = asyncio.create_task(flood())
        await asyncio.sleep(1)
        seen.append(await _genuine(port, requests.ours, SECONDS * 2 - 2))
        result = await other
        await asyncio.sleep(1)
        seen.append(await _genuine(port, requests.ours, SECONDS))
        rates = ", ".join(
            f"{when} {one.rate:4.0f}/s p99 {one.percentile(99) if len(one.took) > 1 else 0:5.0f} ms"
            + (f" ({one.failed} failed)" if one.failed else "")
            for when, one in zip(("before", "during", "after"), seen, strict=True)
        )
        if isinstance(result, load_generator.SendCounts):
            statuses = dict(result.statuses)
            print(f"    {name:13} {rates}; flood: {statuses}, {result.failed} without a response")
        else:
            print(f"    {name:13} {rates}; flood: {result} of 500 connections closed")


async def _genuine(port: int, request: bytes, seconds: float) -> load_generator.SendCounts:
    return await load_generator.send_repeatedly(port, request, 25, seconds, every=0.5)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
