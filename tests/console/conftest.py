"""Fixtures: an application with the console, users of two organizations, and a browser."""

from __future__ import annotations

import collections.abc as cabc
import os
import pathlib
import shutil

import pytest
from playwright.sync_api import Browser

import flask_woo_events
from tests.console import browser as browsers
from tests.console import live_site
from tests.console.browser import MissingBrowser
from tests.console.http_visitor import HttpVisitor
from tests.console.live_site import LiveSite, Template
from tests.integration.conftest import store_server as store_server
from tests.integration.conftest import tables as tables
from tests.integration.host_app import Api, StubStore, add_account, dispose, make_app


@pytest.fixture
def app(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[flask_woo_events.Flask]:
    """Return an application with the console and its tables."""
    shutil.copy(tables, tmp_path / "host.sqlite3")
    app = make_app(
        tmp_path,
        WOO_EVENTS_CONSOLE=True,
        WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS=True,
    )
    yield app
    dispose(app)


@pytest.fixture
def ann(app: flask_woo_events.Flask) -> HttpVisitor:
    """Return the signed-in user ann of acme."""
    visitor = HttpVisitor(app, add_account(app, "ann", "acme"))
    visitor.sign_in()
    return visitor


@pytest.fixture
def bob(app: flask_woo_events.Flask) -> HttpVisitor:
    """Return a signed-in user of another organization."""
    visitor = HttpVisitor(app, add_account(app, "bob", "globex"))
    visitor.sign_in()
    return visitor


@pytest.fixture
def api(ann: HttpVisitor, store_server: StubStore) -> Api:
    """Return the API as ann calls it."""
    return Api(ann.app.test_client(), ann.account.headers, store_server.url)


@pytest.fixture(scope="session")
def chromium() -> cabc.Iterator[Browser]:
    """Return headless Chromium."""
    try:
        with browsers.launched() as browser:
            yield browser
    except MissingBrowser as exc:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"the console is not tested in a browser: {exc}")


@pytest.fixture(scope="session")
def site_template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """Return the database that every site starts with."""
    return live_site.template(tmp_path_factory.mktemp("site"))


@pytest.fixture
def site(tmp_path: pathlib.Path, site_template: Template) -> cabc.Iterator[LiveSite]:
    """Serve the example application with the console, a store and a callback."""
    with live_site.site(tmp_path, site_template) as one:
        yield one
