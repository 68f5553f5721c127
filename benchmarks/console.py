"""The console: server time of each page with 1,000 instances and 1,000,000 events."""

from __future__ import annotations

import datetime as dt
import os
import pathlib
import statistics
import tempfile
import time

import flask
import flask.testing
import flask_sqlalchemy
import sqlalchemy as sa

import flask_woo_events
from flask_woo_events.db import upgrade
from flask_woo_events.instances.accounts import NewUser
from flask_woo_events.runtime import EXTENSION, Runtime
from flask_woo_events.values.crypto import Cipher
from tests import servers

from . import console_data

INSTANCES, EVENTS, EACH = 1_000, 1_000_000, 4
#: Measured requests of each page, after a first one that is not measured.
TIMES = 15
#: Server time that a page may take, milliseconds.
LIMIT = 200

_SINCE = (dt.datetime.now(dt.UTC) - dt.timedelta(days=2)).strftime("%Y-%m-%dT%H:%M")
PAGES = (
    ("overview", "/woo/"),
    ("instances", "/woo/instances"),
    ("instances, filtered", "/woo/instances?search=store+4&tag=eu&health=failing"),
    ("instances, last page", "/woo/instances?after=950"),
    ("instance", "/woo/instances/417"),
    ("edit", "/woo/instances/417/edit"),
    ("new", "/woo/instances/new"),
    ("progress", "/woo/instances/417/progress"),
    ("events", "/woo/events"),
    ("events of one instance", "/woo/events?instance=417"),
    ("events, far back", "/woo/events?before=400000"),
    ("events by type", "/woo/events?type=DELETED&resource=orders"),
    ("events, none found", "/woo/events?resource=nothing"),
    ("events, queued", "/woo/events?status=queued"),
    ("events, a text", "/woo/events?text=processing"),
    ("events, a text not found", "/woo/events?text=nowhere-at-all"),
    ("events in a period", f"/woo/events?since={_SINCE}&until={_SINCE}"),
    ("events of an object", "/woo/events?object=77"),
    ("event", "/woo/events/999000"),
    ("object", "/woo/instances/5/objects/customers/29"),
    ("deliveries", "/woo/deliveries"),
    ("deliveries, retrying", "/woo/deliveries?status=retry"),
    ("replay", "/woo/deliveries/replay"),
)


def main() -> None:
    """Measure with the PostgreSQL of BENCH_DATABASE_URI, or with a temporary one."""
    uri = os.environ.get("BENCH_DATABASE_URI", "")
    if uri.startswith("postgresql"):
        _measure(uri)
        return
    with tempfile.TemporaryDirectory() as folder:
        with servers.postgresql(pathlib.Path(folder) / "postgresql") as started:
            _measure(started)


def _measure(uri: str) -> None:
    app = _app(uri)
    runtime: Runtime = app.extensions[EXTENSION]
    upgrade.upgrade(runtime.database.engine)
    with runtime.database.engine.connect() as connection:
        count = connection.execute(sa.text("SELECT count(*) FROM woo_instance")).scalar_one()
    if count:
        raise SystemExit("BENCH_DATABASE_URI must be an empty database")
    began = time.monotonic()
    now = runtime.clock()
    user = console_data.fill(runtime.database, now, instances=INSTANCES, events=EVENTS, each=EACH)
    print(f"console, PostgreSQL, {INSTANCES:,} instances, {EVENTS:,} events "
          f"(created in {time.monotonic() - began:.0f} s)")  # fmt: skip
    client = app.test_client()
    _sign_in(client, user)
    for name, path in PAGES:
        times = [_seconds(client, path) * 1000 for _ in range(TIMES + 1)][1:]
        worst, median = max(times), statistics.median(times)
        mark = "" if median < LIMIT else "  SLOW"
        print(f"  {name:26} median {median:6.1f} ms   slowest {worst:6.1f} ms{mark}")
    runtime.database.dispose()


def _app(uri: str) -> flask.Flask:
    app = flask_woo_events.Flask("bench")
    app.config.update(
        SQLALCHEMY_DATABASE_URI=uri,
        WOO_EVENTS_ENCRYPTION_KEYS=[Cipher.generate_key()],
        WOO_EVENTS_CONSOLE=True,
    )
    flask_sqlalchemy.SQLAlchemy(app)
    app.register_extension(flask_woo_events.WooEvents())
    return app


def _sign_in(client: flask.testing.FlaskClient, user: NewUser) -> None:
    page = client.get("/woo/sign-in").text
    token = page.split('name="woo_csrf_token" value="')[1].split('"')[0]
    answer = client.post(
        "/woo/sign-in",
        data={
            "woo_csrf_token": token,
            "user_secret": user.user_secret,
            "organization_secret": user.organization_secret,
        },
    )
    assert answer.status_code == 302, answer.status


def _seconds(client: flask.testing.FlaskClient, path: str) -> float:
    began = time.perf_counter()
    answer = client.get(path)
    answer.get_data()
    assert answer.status_code == 200, (path, answer.status)
    return time.perf_counter() - began
