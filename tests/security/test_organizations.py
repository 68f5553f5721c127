"""No request of one organisation shows or changes data of another."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import itertools
import re
import typing as t
import urllib.parse

import flask
import pytest
import sqlalchemy as sa

from flask_woo_events.api.blueprint import NAME
from flask_woo_events.db.models import (
    Base,
    Configuration,
    Delivery,
    Erasure,
    Instance,
    Notification,
    StoredEvent,
    Subscription,
    User,
)
from flask_woo_events.values.cloud_elements import ELEMENT_KEY
from tests.integration.host_app import (
    Account,
    Api,
    Headers,
    StubStore,
    add_account,
    body_for,
    runtime_of,
)
from tests.integration.store_to_callback import StoreToCallback

CANARY = "acme-canary"
Route = tuple[str, str]
Rows = dict[str, set[str]]

#: Path parameters that name data of an organisation, and the columns of their values.
ID_COLUMNS: dict[str, t.Any] = {
    "instance_id": Instance.id,
    "entry_id": Configuration.id,
    "event_id": Notification.event_id,
    "notification_id": Notification.id,
    "subscription_id": Subscription.id,
    "account_id": User.id,
    "erasure_id": Erasure.id,
}
#: Path parameters that name no data of an organisation; the hub's belong to the token's store.
OTHER_PARAMETERS = {
    "element": ELEMENT_KEY,
    "hub": "ecommerce",
    "resource": "orders",
    "object_id": "1",
    "child": "refunds",
    "child_id": "1",
}
#: Parameters of routes without a caller: a webhook's URL is itself a secret.
SKIPPED_PARAMETERS = {"address", "unknown"}
#: Routes that need no account: descriptions of the API, and routes with another secret.
UNAUTHENTICATED = {
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),  # It has a token of its own.
    ("GET", "/connect"),
    ("POST", "/connect/callback"),
    ("GET", "/connect/return"),
    ("GET", f"/events/{ELEMENT_KEY}"),
}


@dataclasses.dataclass
class TwoOrganizations:
    """Two organisations: acme, which has data, and globex, whose user bob calls."""

    env: StoreToCallback
    app: flask.Flask
    bob: Account
    token: str
    own_id: int
    #: All ids of acme's data, by path parameter.
    ids: dict[str, list[str]]
    before: Rows

    def call(
        self, method: str, path: str, headers: Headers, body: object = None, query: str = ""
    ) -> t.Any:
        url = f"{path}?{query}" if query else path
        return self.app.test_client().open(url, method=method, json=body, headers=headers)

    def check_response(self, response: t.Any, *about: object) -> None:
        for canary in (CANARY, self.env.api.store, *self.ids["event_id"]):
            assert canary not in response.text, (about, response.text)
        for name, value in response.headers:
            assert CANARY not in value, (about, name, value)


def _rows(app: flask.Flask) -> Rows:
    with runtime_of(app).database.read() as session:
        return {
            table.name: {repr(tuple(row)) for row in session.execute(sa.select(table))}
            for table in Base.metadata.sorted_tables
        }


@pytest.fixture
def orgs(env: StoreToCallback, store_server: StubStore) -> TwoOrganizations:
    """Give acme a store, events, notifications and deliveries, and bob an empty store."""
    app = env.app
    changes = {"name": f"{CANARY}-shop", "tags": [f"{CANARY}-tag"]}
    assert env.api.call("PATCH", f"/instances/{env.instance_id}", changes).status_code == 200
    for number in itertools.islice(env.store.shop.tables["orders"], 3):
        env.rest("PUT", f"orders/{number.id}", billing={"first_name": f"{CANARY}-person"})
    assert len(env.arrivals()) == 3
    erased = env.api.call("POST", "/accounts/erasures", {"email": "nobody@shop.example"})
    assert erased.status_code == 200
    with runtime_of(app).database.read() as session:
        ids = {
            name: [str(value) for value in session.scalars(sa.select(column))]
            for name, column in ID_COLUMNS.items()
        }
        assert session.scalars(sa.select(StoredEvent.id)).all()
        assert session.scalars(sa.select(Delivery.id)).all()
    assert all(ids.values())
    before = _rows(app)
    bob = add_account(app, "bob", "globex")
    created = Api(app.test_client(), bob.headers, store_server.url).create()
    env.store.requests.clear()
    return TwoOrganizations(env, app, bob, created["token"], created["id"], ids, before)


def _routes(app: flask.Flask) -> list[Route]:
    """Return every method and path of the API."""
    return [
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith(f"{NAME}.") and not SKIPPED_PARAMETERS & rule.arguments
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"})
    ]


def _parameters(rule: str) -> list[str]:
    return re.findall(r"<(?:.*?:)?(\w+)>", rule)


def _paths(orgs: TwoOrganizations, rule: str) -> cabc.Iterator[str]:
    """Yield a route's path with acme's ids in place of its parameters."""
    names = _parameters(rule)
    for name in names:
        assert name in ID_COLUMNS or name in OTHER_PARAMETERS, (
            f"{rule} has the unknown parameter {name}: add it to ID_COLUMNS "
            "with its column, or to OTHER_PARAMETERS if it names no data of an organisation"
        )
    choices = [
        orgs.ids[name][:5] if name in ID_COLUMNS else [OTHER_PARAMETERS[name]] for name in names
    ]
    for values in itertools.product(*choices):
        path = rule
        for name, value in zip(names, values, strict=True):
            path = re.sub(rf"<(?:[^<>]*:)?{name}>", value, path)
        yield path


def test_every_route_is_tried(env: StoreToCallback) -> None:
    """The tested routes are all routes of the API, and their parameters are known."""
    routes = _routes(env.app)
    assert len(routes) > 60
    known = {name for _, rule in routes for name in _parameters(rule)}
    assert known == {*ID_COLUMNS, *OTHER_PARAMETERS}


def test_ids_of_another_organization(orgs: TwoOrganizations) -> None:
    """A path with an id of another organisation is a 404, and nothing is changed."""
    for method, rule in _routes(orgs.app):
        if not set(_parameters(rule)) & set(ID_COLUMNS):
            continue
        for path in _paths(orgs, rule):
            for headers in (orgs.bob.headers, orgs.bob.element(orgs.token)):
                for body in (
                    {},
                    {"propertyValue": "x"},
                    {"callbackUrl": "https://globex.example/events"},
                    {"feed": True},
                    body_for(orgs.env.api.store),
                ):
                    response = orgs.call(method, path, headers, body)
                    details = (method, path, response.text)
                    empty = response.status_code == 200 and response.json == []
                    # Without an id of an instance such a path needs a token.
                    unnamed = response.status_code == 401 and "<instance_id>" not in rule
                    # A token reaches no account, and makes no token.
                    account = "/accounts/" in rule or rule.endswith("/token")
                    by_token = headers != orgs.bob.headers and account
                    refused = by_token and response.status_code == 403
                    assert response.status_code == 404 or empty or unnamed or refused, details
                    orgs.check_response(response, method, path)
    _unchanged(orgs)


def _unchanged(orgs: TwoOrganizations) -> None:
    after = _rows(orgs.app)
    for table, rows in orgs.before.items():
        assert rows <= after[table], table
    assert not orgs.env.store.requests  # acme's store was not read either.


def _queries(orgs: TwoOrganizations) -> list[str]:
    """Return queries that name data of acme."""
    ids = orgs.ids
    wheres = [
        f"instanceId={ids['instance_id'][0]}",
        f"subscriptionId={ids['subscription_id'][0]}",
        f"notificationId={ids['notification_id'][0]}",
        f"status='delivered' and instanceId={ids['instance_id'][0]}",
        "status='delivered'",
        f"config.url='{_callback(orgs)}'",
    ]
    pairs = [
        ("instanceId", ids["instance_id"][0]),
        ("accountIds[]", ids["account_id"][0]),
        ("topics[]", f"instance-{ids['instance_id'][0]}-{ELEMENT_KEY}-events"),
        ("searchText", CANARY),
        ("tags[]", f"{CANARY}-tag"),
        ("nextPage", "0"),
        ("nextPage", str(2**62)),
        *(("where", one) for one in wheres),
    ]
    return ["", *(urllib.parse.urlencode([pair]) for pair in pairs)]


def _callback(orgs: TwoOrganizations) -> str:
    with runtime_of(orgs.app).database.read() as session:
        return str(session.scalars(sa.select(Subscription.url)).first())


def test_lists_have_only_own_data(orgs: TwoOrganizations) -> None:
    """No list, count or redelivery includes another organisation's data, whatever its query."""
    for method, rule in _routes(orgs.app):
        if set(_parameters(rule)) & set(ID_COLUMNS) or method in ("DELETE", "POST", "PATCH"):
            continue
        for path, query in itertools.product(_paths(orgs, rule), _queries(orgs)):
            for headers in (orgs.bob.headers, orgs.bob.element(orgs.token)):
                if method == "PUT" and headers != orgs.bob.headers and "/hubs" not in path:
                    continue  # It would switch bob's own instance.
                response = orgs.call(method, path, headers, {}, query)
                assert response.status_code != 500, (method, path, query, response.text)
                orgs.check_response(response, method, path, query)
                counted = [one for one in _counts(response) if one]
                assert not counted, (method, path, query, response.text)
    _unchanged(orgs)


def _counts(response: t.Any) -> cabc.Iterator[int]:
    """Yield the numbers of events and deliveries in a response; bob has none."""
    data = response.json if response.is_json and response.status_code == 200 else None
    for one in data if isinstance(data, list) else [data]:
        if isinstance(one, dict):
            yield from (one[key] for key in ("count", "total", "redelivered") if key in one)


def test_events_for_listed_instances(orgs: TwoOrganizations) -> None:
    """``Element-Instances`` accepts only instances of the caller's organisation."""
    path = f"{runtime_of(orgs.app).settings.url_prefix}/events/{ELEMENT_KEY}"
    for listed in (orgs.env.instance_id, f"{orgs.own_id},{orgs.env.instance_id}"):
        for headers in (orgs.bob.headers, orgs.bob.element(orgs.token)):
            sent = {**headers, "Element-Instances": str(listed)}
            assert orgs.call("POST", path, sent, {"id": 1}).status_code == 404
    _unchanged(orgs)


def test_routes_require_an_account(orgs: TwoOrganizations) -> None:
    """Without credentials every route responds 401, except those in ``UNAUTHENTICATED``."""
    for method, rule in _routes(orgs.app):
        if (method, rule.removeprefix(runtime_of(orgs.app).settings.url_prefix)) in UNAUTHENTICATED:
            continue
        for path in itertools.islice(_paths(orgs, rule), 2):
            response = orgs.call(method, path, {}, {})
            assert response.status_code == 401, (method, path, response.text)
    _unchanged(orgs)
