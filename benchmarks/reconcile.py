"""Reconcile: seconds and memory of comparing 100,000 objects with what a consumer has."""

from __future__ import annotations

import contextlib
import datetime as dt
import pathlib
import random
import tempfile
import time
import tracemalloc
import typing as t

import flask_sqlalchemy
import orjson
import sqlalchemy as sa

from flask_woo_events import Flask, WooEvents
from flask_woo_events.db import upgrade
from flask_woo_events.db.models import GONE_DIGEST, Object, Poller
from flask_woo_events.db.states import PollerState
from flask_woo_events.instances import accounts, checkpoint, lifecycle
from flask_woo_events.runtime import EXTENSION, Runtime
from flask_woo_events.simulation.loss_suite.harness import spec_of
from flask_woo_events.values.crypto import Cipher
from tests import servers

OBJECTS = 100_000
MISSING, STALE, EXTRA = 37, 12, 3
_NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)


def main() -> None:
    """Compare on SQLite and PostgreSQL; nothing answers at the store's address."""
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(servers.postgresql(folder / "postgresql"))
        print(f"reconcile: {OBJECTS:,} objects, {MISSING} missing, {STALE} stale, {EXTRA} extra")
        for name, address in (
            ("SQLite", f"sqlite:///{folder}/reconcile.sqlite3"),
            (
                "PostgreSQL",
                url,
            ),
        ):
            _measure(name, address, folder)


def _measure(name: str, url: str, folder: pathlib.Path) -> None:
    app = Flask("bench", instance_path=str(folder))
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["WOO_EVENTS_ENCRYPTION_KEYS"] = [Cipher.generate_key()]
    app.config["WOO_EVENTS_STATE_FOLDER"] = str(folder)
    flask_sqlalchemy.SQLAlchemy().init_app(app)
    app.register_extension(WooEvents())
    runtime: Runtime = app.extensions[EXTENSION]
    upgrade.upgrade(runtime.database.engine)
    headers, instance_id, had = _fill(runtime)
    lines = b"".join(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in had)
    headers["Content-Type"] = "application/x-ndjson"
    path = f"/elements/api-v2/instances/{instance_id}"
    seconds, cpu = [], []
    for _ in range(3):
        began, cpu_began = time.perf_counter(), time.process_time()
        rows = _post(app, path, lines, headers)
        seconds.append(time.perf_counter() - began)
        cpu.append(time.process_time() - cpu_began)
        assert len(rows) == MISSING + STALE + EXTRA
    tracemalloc.start()
    _post(app, path, lines, headers)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    began = time.perf_counter()
    with runtime.database.read() as session:
        [found] = checkpoint.of_instance(session, instance_id)
    took = time.perf_counter() - began
    assert found.count == OBJECTS
    print(
        f"  {name:<11} {len(rows)} rows in {min(seconds):.2f} to {max(seconds):.2f} s, "
        f"{min(cpu):.2f} s of CPU in this process, "
        f"{len(lines) / 1e6:.1f} MB of lines, {peak:.0f} MB of memory; checkpoint in {took:.2f} s"
    )
    with app.app_context():
        app.extensions["sqlalchemy"].engine.dispose()
    runtime.database.dispose()


def _post(app: Flask, path: str, lines: bytes, headers: dict[str, str]) -> list[t.Any]:
    """Return the rows that differ."""
    url = f"{path}/reconcile?resource=orders"
    answer = app.test_client().post(url, data=lines, headers=headers)
    assert answer.status_code == 200, answer.text
    rows: list[t.Any] = orjson.loads(answer.data)["differences"]
    return rows


def _fill(runtime: Runtime) -> tuple[dict[str, str], int, list[dict[str, t.Any]]]:
    """Write an instance with its ledger; return headers, its id, and what a consumer has."""
    with runtime.database.write() as session:
        user = accounts.add_user(session, "bench", "bench", _NOW)
        caller = accounts.Caller(organization_id=user.organization_id, user_id=user.user_id)
        configuration = {
            "store.url": "https://127.0.0.1:9",
            "oauth.api.key": "ck_bench",
            "oauth.api.secret": "cs_bench",
            "event.notification.enabled": True,
            "event.poller.configuration": {"orders": {"url": "/hubs/ecommerce/orders"}},
        }
        spec = spec_of("bench", configuration)
        facts = {"version": "11.0.0", "date": _NOW.isoformat()}
        instance_id, _ = lifecycle.create(session, runtime.cipher, caller, spec, facts, _NOW)
        poller = session.scalars(sa.select(Poller)).one()
        poller.state, poller.polled_at = PollerState.ACTIVE, _NOW
        rows = [_row(poller.id, number) for number in range(1, OBJECTS + 1)]
        gone = {"live": False, "digest": GONE_DIGEST}
        rows += [_row(poller.id, OBJECTS + one) | gone for one in range(1, EXTRA + 1)]
        for start in range(0, len(rows), 5_000):
            session.execute(sa.insert(Object), rows[start : start + 5_000])
    had = [{"objectId": one["object_id"], "version": one["version"]} for one in rows]
    rng = random.Random(1)
    chosen = rng.sample(range(OBJECTS), MISSING + STALE)
    for place in chosen[:STALE]:
        had[place]["version"] -= 1
    for place in sorted(chosen[STALE:], reverse=True):
        del had[place]
    rng.shuffle(had)
    secrets = f"User {user.user_secret}, Organization {user.organization_secret}"
    return {"Authorization": secrets}, instance_id, had


def _row(poller_id: int, number: int) -> dict[str, t.Any]:
    return {
        "poller_id": poller_id, "object_id": str(number), "number": number, "live": True,
        "digest": b"1" * 16, "fields": b"2" * 240, "modified_at": _NOW, "created_at": _NOW,
        "seen_at": _NOW, "version": 1 + number % 5, "revision": 1,
    }  # fmt: skip


if __name__ == "__main__":
    main()
