"""Simulated stores, and functions that call their REST API."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import typing as t

import pytest
import werkzeug.test

from flask_woo_events.simulation.store import SimClock, SimulatedStore

START = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
AUTH = ("ck_test", "cs_test")

Ask = cabc.Callable[..., t.Any]
MakeStore = cabc.Callable[..., SimulatedStore]


@pytest.fixture
def make_store() -> MakeStore:
    """Return a function that creates stores with a stopped clock and keys without TLS."""

    def make(version: str = "11.0", **options: t.Any) -> SimulatedStore:
        clock = SimClock(START)
        clock.freeze()
        settings: dict[str, t.Any] = {
            "consumer_key": AUTH[0],
            "consumer_secret": AUTH[1],
            "clock": clock,
            "assume_https": True,
        }
        return SimulatedStore(version, **{**settings, **options})

    return make


@pytest.fixture
def store(make_store: MakeStore) -> SimulatedStore:
    """Return an empty store of the newest version."""
    return make_store()


def ask(
    store: SimulatedStore, path: str, *, method: str = "GET", body: t.Any = None, **params: t.Any
) -> werkzeug.test.TestResponse:
    """Call a path below ``/wp-json/wc/v3/``."""
    return werkzeug.test.Client(store.wsgi).open(
        f"/wp-json/wc/v3/{path}",
        method=method,
        query_string={name: str(value) for name, value in params.items()},
        json=body,
        auth=AUTH,
        base_url=store.shop.home,
    )


def ids(store: SimulatedStore, path: str, **params: t.Any) -> list[int]:
    """Return the ids of a listing."""
    answer = ask(store, path, **{"per_page": 100, **params})
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    return [each["id"] for each in answer.json]
