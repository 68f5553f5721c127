"""An application with the extension, two organisations, and a store that answers on loopback."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import pathlib
import shutil

import flask
import flask.testing
import pytest

import flask_woo_events
from flask_woo_events.db import upgrade
from tests.integration.host_app import (
    Account,
    Api,
    Headers,
    StubStore,
    add_account,
    dispose,
    make_app,
    runtime_of,
)
from tests.integration.store_to_callback import VERSIONS, StoreToCallback, open_env

FOLDER = pathlib.Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave older versions of stores out of ``make check``."""
    for item in items:
        called = getattr(item, "callspec", None)
        version = called and called.params.get("version")
        if version in VERSIONS[:-1] and FOLDER in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def store_server() -> cabc.Iterator[StubStore]:
    """Serve a stub store on loopback."""
    with StubStore().serving() as store:
        yield store


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Make a SQLite file with our tables, which tests copy, since a migration takes a second."""
    folder = tmp_path_factory.mktemp("tables")
    app = make_app(folder)
    upgrade.upgrade(runtime_of(app).database.engine)
    dispose(app)
    return folder / "host.sqlite3"


@pytest.fixture
def app(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[flask_woo_events.Flask]:
    """Make an application with its tables."""
    shutil.copy(tables, tmp_path / "host.sqlite3")
    app = make_app(tmp_path)
    yield app
    dispose(app)


@pytest.fixture
def account(app: flask.Flask) -> Account:
    """Add the user ann of the organisation acme."""
    return add_account(app, "ann", "acme")


@pytest.fixture
def headers(account: Account) -> Headers:
    """Return the authentication header of ann of acme."""
    return account.headers


@pytest.fixture
def other_headers(app: flask.Flask) -> Headers:
    """Return the authentication header of a user of another organisation."""
    return add_account(app, "bob", "globex").headers


@pytest.fixture
def client(app: flask.Flask) -> flask.testing.FlaskClient:
    """Return a client of the application."""
    return app.test_client()


@pytest.fixture
def api(client: flask.testing.FlaskClient, headers: Headers, store_server: StubStore) -> Api:
    """Return the API as ann calls it."""
    return Api(client, headers, store_server.url)


@pytest.fixture
def env(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[StoreToCallback]:
    """Connect a store, an application and a callback; the first poll is done."""
    with contextlib.ExitStack() as stack:
        shutil.copy(tables, tmp_path / "host.sqlite3")
        yield open_env("9.4", tmp_path, stack)
