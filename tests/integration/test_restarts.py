"""A restart of the database between two requests: the next one is answered as if nothing was."""

from __future__ import annotations

import collections.abc as cabc
import pathlib
import tempfile
import typing as t

import flask
import pytest
import sqlalchemy as sa

from flask_woo_events import Flask
from flask_woo_events.db import upgrade
from flask_woo_events.instances import webhook_urls
from flask_woo_events.instances.webhook_urls import Hook
from flask_woo_events.values import crypto
from tests import servers
from tests.integration.host_app import PREFIX, add_account, dispose, make_app, runtime_of
from tests.integration.ledger_env import build

pytestmark = pytest.mark.slow

Server = servers.Postgresql | servers.Mariadb
BODY = b'{"id":7,"status":"processing"}'


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(servers.Postgresql, marks=pytest.mark.postgresql),
        pytest.param(servers.Mariadb, marks=pytest.mark.mariadb),
    ],
)
def server(request: pytest.FixtureRequest) -> cabc.Iterator[Server]:
    """Run a server of each kind."""
    with tempfile.TemporaryDirectory(prefix="woo-restart-", ignore_cleanup_errors=True) as name:
        server: Server = servers.require(lambda: request.param(pathlib.Path(name) / "server"))
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="module")
def app(server: Server, tmp_path_factory: pytest.TempPathFactory) -> cabc.Iterator[Flask]:
    """Make an application with a user and an instance, as a production server has it."""
    app = make_app(
        tmp_path_factory.mktemp("app"),
        TESTING=False,
        SQLALCHEMY_DATABASE_URI=server.url,
        WOO_EVENTS_CONSOLE=True,
    )
    upgrade.upgrade(runtime_of(app).database.engine)
    app.extensions["account"] = add_account(app, "ann", "acme")
    app.extensions["instance"] = build(runtime_of(app).database).stream.instance_id
    yield app
    dispose(app)


def _hook(app: flask.Flask) -> t.Any:
    keys, hook = runtime_of(app).settings.encryption_keys, Hook(app.extensions["instance"], 1)
    signature = crypto._hmac(webhook_urls.secrets(keys, hook)[-1].encode(), BODY)
    headers = {"X-WC-Webhook-Topic": "order.updated", "X-WC-Webhook-Signature": signature}
    path = f"{PREFIX}{webhook_urls.PATH}/{webhook_urls.sign(keys, hook)}"
    return app.test_client().post(path, data=BODY, headers=headers)


def _list(app: flask.Flask) -> t.Any:
    headers = app.extensions["account"].headers
    return app.test_client().get(f"{PREFIX}/instances/events/analytics", headers=headers)


def _change(app: flask.Flask) -> t.Any:
    headers = app.extensions["account"].headers
    body = {"notification.webhook.failure.policy": "retry"}
    return app.test_client().patch(f"{PREFIX}/accounts/settings", json=body, headers=headers)


def _page(app: flask.Flask) -> t.Any:
    client = app.test_client()
    page = client.get("/woo/sign-in")
    assert page.status_code == 200
    token = page.text.partition('name="woo_csrf_token" value="')[2].partition('"')[0]
    account = app.extensions["account"]
    form = {"user_secret": account.user, "organization_secret": account.organization}
    return client.post("/woo/sign-in", data={"woo_csrf_token": token, **form})


@pytest.mark.parametrize("send", [_hook, _list, _change, _page])
def test_the_first_request_succeeds(
    app: Flask, server: Server, send: cabc.Callable[[flask.Flask], t.Any]
) -> None:
    """A request that gets a connection from before the restart gets another one instead."""
    expected = send(app).status_code
    assert expected < 400
    server.stop()
    server.start()
    response = send(app)
    assert response.status_code == expected, response.text


def test_a_server_that_is_down_is_tried_once(app: Flask, server: Server) -> None:
    """While there is no database, requests are refused, and the next one after it succeeds."""
    expected = _list(app).status_code
    server.stop()
    opened: list[object] = []
    engine = runtime_of(app).database.engine
    sa.event.listen(engine.dialect, "do_connect", lambda *args: opened.append(args))
    assert _list(app).status_code == 503
    assert len(opened) <= 2
    server.start()
    assert _list(app).status_code == expected
