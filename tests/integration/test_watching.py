"""Health and metrics, which are counted in the tables and need a token."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import pathlib
import shutil

import flask
import prometheus_client.parser
import pytest
import sqlalchemy as sa
import werkzeug.test

from flask_woo_events.api import metrics
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import (
    Delivery,
    Instance,
    Poller,
    Subscription,
    Usage,
    WebhookCoverage,
)
from flask_woo_events.db.states import PollerState
from tests.integration.host_app import PREFIX, dispose, make_app
from tests.integration.ledger_env import NOW, build

TOKEN = "a-token-for-metrics"


def _numbers(found: cabc.Iterable[metrics.Metric]) -> dict[tuple[str, ...], float]:
    return {
        (one.name.removeprefix("woo_events_"), *labels.values()): value
        for one in found
        for labels, value in one.values
    }


def test_metrics_are_counted_in_the_tables(any_database: Database) -> None:
    """Each metric has the expected value on each kind of database."""
    stage = build(any_database)
    for number in range(3):
        stage.see({"id": number, "v": 1})
    minute, hour = dt.timedelta(minutes=1), dt.timedelta(hours=1)
    with any_database.write() as session:
        one = session.get_one(Instance, stage.stream.instance_id)
        one.next_poll_at = NOW - 3 * minute
        poller = session.get_one(Poller, stage.stream.poller_id)
        poller.state, poller.polled_at, poller.failures = PollerState.ACTIVE, NOW - minute, 2
        block = poller.configuration
        session.add(Poller(instance_id=one.id, resource="gone", created_at=NOW, configuration=block,
                           state=PollerState.DISABLED))  # fmt: skip
        session.add(Usage(instance_id=one.id, hour=NOW - hour, requests=40))
        session.add(Usage(instance_id=one.id, hour=NOW - 2 * hour, requests=7))
        session.add(WebhookCoverage(instance_id=one.id, resource="orders", told=6, missed=2, late=0,
                          since=NOW))  # fmt: skip
        session.execute(sa.update(Subscription).values(active=False))
        first, second, third = session.scalars(sa.select(Delivery).order_by(Delivery.id))
        first.status, first.created_at = "retry", NOW - 5 * minute
        second.status, second.created_at = "queued", NOW - hour
        third.status = "delivered"
    with any_database.read() as session:
        found = _numbers(metrics.collect(session, NOW))
    assert found == {
        ("freshness_seconds", "orders"): 60,
        ("polls_failing",): 1,
        ("polls_disabled",): 1,
        ("instances_late",): 1,
        ("outbox", "created"): 0,
        ("outbox", "retry"): 1,
        ("outbox", "queued"): 1,
        ("oldest_undelivered_seconds", "created"): 0,
        ("oldest_undelivered_seconds", "retry"): 300,
        ("oldest_undelivered_seconds", "queued"): 3600,
        ("subscriptions_stopped",): 1,
        ("store_requests_per_hour", str(stage.stream.instance_id)): 40,
        ("requests_per_hour",): 40,
        ("webhook_miss_ratio", "orders"): 0.25,
        ("arrivals_waiting",): 0,
    }


def test_freshness_leaves_out_the_oldest_five_of_a_hundred(any_database: Database) -> None:
    """One store that was unreachable for days does not raise the freshness of the others."""
    ages = [10_000_000.0, *(float(60 + number) for number in range(39))]
    for age in ages:
        stage = build(any_database)
        with any_database.write() as session:
            poller = session.get_one(Poller, stage.stream.poller_id)
            poller.state, poller.polled_at = PollerState.ACTIVE, NOW - dt.timedelta(seconds=age)
    with any_database.read() as session:
        found = _numbers(metrics.collect(session, NOW))
    assert found["freshness_seconds", "orders"] == sorted(ages)[-3]


@pytest.fixture
def watched(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[flask.Flask]:
    """An application with a token for metrics."""
    shutil.copy(tables, tmp_path / "host.sqlite3")
    app = make_app(tmp_path, WOO_EVENTS_METRICS_TOKEN=TOKEN)
    yield app
    dispose(app)


def _ask(app: flask.Flask, authorization: str = "") -> werkzeug.test.TestResponse:
    headers = {"Authorization": authorization} if authorization else {}
    return app.test_client().get(f"{PREFIX}/metrics", headers=headers)


@pytest.mark.parametrize("given", ["", TOKEN, f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN}x"])
def test_metrics_need_the_token(watched: flask.Flask, given: str) -> None:
    """Metrics are shown only with the exact token."""
    response = _ask(watched, given)
    assert response.status_code == 401
    assert "woo_events_" not in response.text


def test_metrics_in_the_format_of_prometheus(watched: flask.Flask) -> None:
    """A Prometheus scraper can read the metrics."""
    response = _ask(watched, f"Bearer {TOKEN}")
    assert response.status_code == 200
    families = list(prometheus_client.parser.text_string_to_metric_families(response.text))
    names = {one.name for one in families}
    assert {"woo_events_outbox", "woo_events_polls_failing"} <= names
    assert {one.type for one in families} == {"gauge"}


def test_there_are_no_metrics_without_a_setting(app: flask.Flask) -> None:
    """Without the setting there are no metrics."""
    assert _ask(app, "Bearer ").status_code == 404


def test_health_is_that_of_the_tables(app: flask.Flask, tmp_path: pathlib.Path) -> None:
    """A process without tables is unhealthy."""
    assert app.test_client().get(f"{PREFIX}/healthz").status_code == 200
    empty = tmp_path / "empty"
    empty.mkdir()
    other = make_app(empty)
    response = other.test_client().get(f"{PREFIX}/healthz")
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    dispose(other)
