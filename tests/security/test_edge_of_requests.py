"""Values at the edge of what a database, a calendar or a number holds are answered 400 or 404."""

from __future__ import annotations

import collections.abc as cabc
import re
import urllib.parse

import flask
import pytest
import werkzeug.routing

from flask_woo_events.api.openapi.document import keys_of
from flask_woo_events.api.openapi.instance_operations import OPERATIONS
from flask_woo_events.db import upgrade
from tests.conftest import _drop_everything as drop_everything
from tests.conftest import _Servers
from tests.console.http_visitor import HttpVisitor
from tests.examples import examples
from tests.integration.host_app import (
    PREFIX,
    Account,
    Api,
    StubStore,
    add_account,
    dispose,
    make_app,
    runtime_of,
)

#: Whether this is the long form.
LONG = examples(1) > 1
#: ``make soak`` tries each in each parameter alone; each change is tested with the first one.
VALUES = (
    "a\0b",
    "'a\0b'",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00",
    "300000",
    "-1",
    str(2**63),
    "9" * 400,
    "1e999",
    "NaN",
    "\N{SUPERSCRIPT TWO}",
    "\N{ARABIC-INDIC DIGIT THREE}",
    "0000-00-00T00:00:00",
    "10000-01-01T00:00:00Z",
    "2026-11-29T23:59:60Z",
    "x" * 5_000,
    "%ED%A0%80",
    "\ufffe",
)[: 99 if LONG else 1]
#: Parameters of the console's pages and fields of its forms.
CONSOLE = (
    "act", "before", "delivery", "id", "instance", "next", "notification", "object", "resource",
    "since", "status", "text", "type", "typed", "until", "url", "what",
)  # fmt: skip
#: Parameters of the API that are texts for the database.
TEXTS = ("searchText", "tags[]", "nextPage")
#: Conditions that need a field.
CONDITIONS = ("status={}", "config.url={}", "instanceId={}", "created_date>{}", "id in ({})")


Request = tuple[str, str, dict[str, str]]


@pytest.fixture(scope="module")
def app(
    tmp_path_factory: pytest.TempPathFactory, database_servers: _Servers
) -> cabc.Iterator[flask.Flask]:
    """An application with the console on PostgreSQL."""
    url = database_servers.url("postgresql")
    database_servers.with_tables.discard(url)
    drop_everything(url)
    app = make_app(
        tmp_path_factory.mktemp("edge"),
        SQLALCHEMY_DATABASE_URI=url,
        SECRET_KEY="of the host",
        WOO_EVENTS_CONSOLE=True,
        TESTING=False,
    )
    upgrade.upgrade(runtime_of(app).database.engine)
    yield app
    dispose(app)


@pytest.fixture(scope="module")
def account(app: flask.Flask) -> Account:
    """The user of all requests."""
    return add_account(app, "ann", "acme")


@pytest.fixture(scope="module")
def token(app: flask.Flask, account: Account) -> cabc.Iterator[str]:
    """The token of an instance, whose store is there."""
    with StubStore().serving() as store:
        yield Api(app.test_client(), account.headers, store.url).create()["token"]


def _filled(rule: werkzeug.routing.Rule, value: str) -> str:
    """Return the path of a rule with the value in place of each text."""
    quoted = urllib.parse.quote(value, safe="%")
    parts = {
        "int": "1",
        "any": "orders",
    }
    return re.sub(
        r"<(?:(\w+)(?:\([^>]*\))?:)?\w+>", lambda match: parts.get(match[1], quoted), rule.rule
    )


def _requests(app: flask.Flask, value: str) -> cabc.Iterator[Request]:
    """Yield method, path and parameters: the value in the path, and in the parameters."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint.endswith(("static", "_unknown", "sign_in", "sign_out")):
            continue
        plain, path = _filled(rule, "1"), _filled(rule, value)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            if path != plain:
                yield method, path, {}
            for parameters in _parameters(rule, method, value):
                yield method, plain, parameters


def _parameters(
    rule: werkzeug.routing.Rule, method: str, value: str
) -> cabc.Iterator[dict[str, str]]:
    """Yield parameters of a route; in the short form all that are read independently."""
    if rule.endpoint.startswith("woo_console."):
        alone = [{name: value} for name in CONSOLE]
        yield from alone if LONG else [dict.fromkeys(CONSOLE, value)]
        return
    [key] = keys_of([rule], PREFIX)[:1] or [""]
    operation = OPERATIONS.get(f"{method} {key.partition(' ')[2]}")
    for name in [one.name for one in operation.query] if operation else ():
        if LONG or name in TEXTS:
            yield {name: value}
        if name == "where":
            yield from ({name: one.format(value)} for one in CONDITIONS)


@pytest.fixture(scope="module")
def visitor(app: flask.Flask, account: Account) -> HttpVisitor:
    """The same user in the console."""
    visitor = HttpVisitor(app, account)
    visitor.sign_in()
    return visitor


@pytest.mark.postgresql
@pytest.mark.parametrize("value", VALUES, ids=[ascii(one)[:30] for one in VALUES])
def test_no_route_fails(
    app: flask.Flask, account: Account, token: str, visitor: HttpVisitor, value: str
) -> None:
    """No value in a path, a parameter or a form is answered with 500."""
    csrf, client, failed = visitor.token(), app.test_client(), []
    for method, path, parameters in _requests(app, value):
        if path.startswith("/woo"):
            form = {"woo_csrf_token": csrf, **parameters} if method == "POST" else None
            response = visitor.client.open(
                path, method=method, data=form, query_string=None if form else parameters
            )
        else:
            response = client.open(
                path, method=method, query_string=parameters, headers=account.element(token),
                json={} if method != "GET" else None,
            )  # fmt: skip
        response.close()
        if response.status_code == 500:
            failed.append((method, path[:100], parameters))
    assert failed == []


@pytest.mark.postgresql
@pytest.mark.parametrize("date", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
def test_dates_at_the_edge_of_a_zone(
    app: flask.Flask, account: Account, visitor: HttpVisitor, date: str
) -> None:
    """They are answered 400, and by the console with the page that says what is wrong."""
    client = app.test_client()
    for path, name in [
        ("/instances/events/analytics", "from"),
        ("/instances/events/analytics", "to"),
        ("/instances/events/dispositions", "from"),
        ("/instances/events/dispositions", "to"),
    ]:
        response = client.get(PREFIX + path, query_string={name: date}, headers=account.headers)
        assert response.status_code == 400, response.text
        assert name in response.get_json()["message"]
    for page in ("/events", "/events.csv", "/deliveries"):
        shown = visitor.client.get(f"/woo{page}", query_string={"since": date, "until": date})
        assert shown.status_code in (200, 400), shown.text
    form = {"instance": "1", "since": date, "until": date}
    assert visitor.post("/deliveries/replay", form).status_code == 422
