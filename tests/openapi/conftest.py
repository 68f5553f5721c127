"""Fixtures: an application for all operations of the API, and a store."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import flask
import pytest

import flask_woo_events
from flask_woo_events.db import upgrade
from flask_woo_events.simulation.store import SimulatedStore
from tests.conftest import _drop_everything as drop_everything
from tests.examples import examples
from tests.integration.host_app import Account, Api, add_account, dispose, make_app, runtime_of
from tests.openapi.description import NOWHERE, SWITCH, Store, add_subscription


@pytest.fixture(scope="module")
def shop() -> cabc.Iterator[Store]:
    """A store with a few objects of each kind."""
    store = SimulatedStore("11.0", consumer_key="ck_test", consumer_secret="cs_test")
    store.populate(orders=5, products=4, coupons=2, customers=3)
    with store.serve() as url:
        yield store, url


@pytest.fixture(scope="module")
def described_app(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> cabc.Iterator[flask_woo_events.Flask]:
    """An application for all operations: on SQLite, or on PostgreSQL for the long form."""
    options = {}
    if examples(1) > 1:
        servers = request.getfixturevalue("database_servers")
        options["SQLALCHEMY_DATABASE_URI"] = url = servers.url("postgresql")
        servers.with_tables.discard(url)
        drop_everything(url)
    app = make_app(tmp_path_factory.mktemp("described"), TESTING=False, **options)
    upgrade.upgrade(runtime_of(app).database.engine)
    yield app
    dispose(app)


@pytest.fixture(scope="module")
def described_account(described_app: flask.Flask) -> Account:
    """The user of that application."""
    return add_account(described_app, "ann", "acme")


@pytest.fixture
def instance(
    described_app: flask.Flask, described_account: Account, shop: Store
) -> dict[str, t.Any]:
    """An instance for one operation, which can delete it."""
    api = Api(described_app.test_client(), described_account.headers, shop[1])
    return api.create(**{"event.notification.callback.url": NOWHERE})


@pytest.fixture
def subscription_id(
    described_app: flask.Flask, described_account: Account, instance: dict[str, t.Any]
) -> int:
    """A second subscription of that instance."""
    api = Api(described_app.test_client(), described_account.headers, "")
    return add_subscription(api, instance)


def pytest_terminal_summary(terminalreporter: t.Any) -> None:
    """Print how many requests were answered, and how."""
    found = SWITCH.statuses
    if found:
        shown = ", ".join(f"{status}: {count:,}" for status, count in sorted(found.items()))
        terminalreporter.write_line(f"{sum(found.values()):,} requests were answered ({shown})")
