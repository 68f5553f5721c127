"""The intake: webhooks a second compared with a bare Flask view, and under floods."""

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

from . import hammer
from .intake_apps import BARE, PREFIX, SECRET
from .serving import gunicorn

#: Seconds of one measurement, and how often both sides are measured alternately.
SECONDS, TURNS = 4.0, 5
CONNECTIONS = 32
#: Another database to measure, such as ``postgresql+psycopg://...``.
URI = os.environ.get("BENCH_DATABASE_URI", "")


@dataclasses.dataclass(frozen=True)
class Wires:
    """The requests of both sides, and forged requests."""

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
            wires = _prepare(uri, key)
            print(f"intake, {uri.partition(':')[0]}, gunicorn, 2 processes of 16 threads")
            _side_by_side(uri, key, wires)
            for name, options, nginx in SERVERS:
                print(f"  floods, {name}")
                with gunicorn("make_app", uri, key, *options, nginx=nginx) as port:
                    asyncio.run(_floods(port, wires))


#: Servers that are flooded.
SERVERS: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    ("gunicorn, 2 processes of 16 threads, behind nginx", (), True),
    ("gunicorn, 2 processes of 16 threads, alone", (), False),
)


def _prepare(uri: str, key: str) -> Wires:
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
    return _wires(key, hook)


def _wires(key: str, hook: Hook) -> Wires:
    store = SimulatedStore("11.0", consumer_key="ck", consumer_secret="cs")
    store.populate(orders=1, products=1, coupons=1, customers=1)
    body = orjson.dumps(next(iter(store.truth("orders").values())))
    path = f"{PREFIX}{webhook_urls.PATH}/{webhook_urls.sign([key], hook)}"
    kind = {"Content-Type": "application/json", "X-WC-Webhook-Topic": "order.updated"}

    def signed(secret: str) -> dict[str, str]:
        return {**kind, "X-WC-Webhook-Signature": crypto._hmac(secret.encode(), body)}

    forged = {**signed("nobody's"), "X-WC-Webhook-ID": "7"}
    large = b'{"id":1,"x":"' + b"x" * (8 * 2**20 - 15) + b'"}'
    slow = hammer.request(path, forged, b"x" * 10_000)[:-10_000]
    return Wires(
        ours=hammer.request(path, signed(webhook_urls.secrets([key], hook)[-1]), body),
        bare=hammer.request("/hook", signed(SECRET), body),
        forged=hammer.request(path, forged, body),
        large=hammer.request(path, forged, large),
        slow=slow,
    )


def _side_by_side(uri: str, key: str, wires: Wires) -> None:
    sides = {"bare view": ("bare", wires.bare), "intake": ("make_app", wires.ours)}
    with contextlib.ExitStack() as stack:
        ports = {
            name: stack.enter_context(gunicorn(app, uri, key)) for name, (app, _) in sides.items()
        }
        runs: dict[str, list[hammer.SendCounts]] = {name: [] for name in sides}
        for turn in range(TURNS + 1):
            for name, (_app, wire) in sides.items():
                run = asyncio.run(hammer.hammer(ports[name], wire, CONNECTIONS, SECONDS))
                assert set(run.statuses) == {200} and not run.failed, run
                if turn:  # The first is for warming up.
                    runs[name].append(run)
    rates = {name: statistics.median(run.rate for run in them) for name, them in runs.items()}
    slowest = {
        name: statistics.median(run.percentile(99) for run in them) for name, them in runs.items()
    }
    for name in sides:
        print(f"  {name:10} {rates[name]:7.0f} a second, p99 {slowest[name]:6.1f} ms")
    print(
        f"  ratio {rates['intake'] / rates['bare view']:.2f}; "
        f"p99 {slowest['intake'] - slowest['bare view']:+.1f} ms with {CONNECTIONS} connections"
    )


async def _floods(port: int, wires: Wires) -> None:
    """Measure genuine webhooks, 50 a second, before, during and after each flood."""
    floods: dict[str, t.Callable[[], t.Coroutine[t.Any, t.Any, t.Any]]] = {
        "forged": lambda: hammer.hammer(port, wires.forged, 64, SECONDS * 2),
        "8 MB": lambda: hammer.hammer(port, wires.large, 8, SECONDS * 2),
        "slow senders": lambda: hammer.drip(port, wires.slow, 500, SECONDS * 2),
    }
    for name, flood in floods.items():
        await _genuine(port, wires.ours, 1)
        seen = [await _genuine(port, wires.ours, SECONDS)]
        other = asyncio.create_task(flood())
        await asyncio.sleep(1)
        seen.append(await _genuine(port, wires.ours, SECONDS * 2 - 2))
        came = await other
        await asyncio.sleep(1)
        seen.append(await _genuine(port, wires.ours, SECONDS))
        rates = ", ".join(
            f"{when} {one.rate:4.0f}/s p99 {one.percentile(99) if len(one.took) > 1 else 0:5.0f} ms"
            + (f" ({one.failed} failed)" if one.failed else "")
            for when, one in zip(("before", "during", "after"), seen, strict=True)
        )
        if isinstance(came, hammer.SendCounts):
            answers = dict(came.statuses)
            print(f"    {name:13} {rates}; {answers}, {came.failed} unanswered of the flood")
        else:
            print(f"    {name:13} {rates}; {came} of its 500 connections cut")


async def _genuine(port: int, wire: bytes, seconds: float) -> hammer.SendCounts:
    return await hammer.hammer(port, wire, 25, seconds, every=0.5)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
