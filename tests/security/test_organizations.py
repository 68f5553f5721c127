"""No call of one organisation shows or changes anything of another."""

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

#: Parameters of paths that name something of an organisation, and the column that holds theirs.
NAMING: dict[str, t.Any] = {
    "instance_id": Instance.id,
    "entry_id": Configuration.id,
    "event_id": Notification.event_id,
    "notification_id": Notification.id,
    "subscription_id": Subscription.id,
    "account_id": User.id,
}
#: Parameters that name nothing of an organisation; the hub's are of the token's own store.
OPEN = {
    "element": ELEMENT_KEY,
    "hub": "ecommerce",
    "resource": "orders",
    "object_id": "1",
    "child": "refunds",
    "child_id": "1",
}
#: Not of callers: an address is a secret of its own, ``unknown`` is no route.
ELSEWHERE = {"address", "unknown"}
#: Paths that need no account: descriptions of the API itself, and what has a secret of its own.
ELSE_GUARDED = {
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
class Two:
    """Two organisations: what belongs to the one, and the other who calls."""

    env: StoreToCallback
    app: flask.Flask
    bob: Account
    token: str
    own_id: int
    #: By parameter, everything of acme's that it could name.
    ids: dict[str, list[str]]
    before: Rows

    def call(
        self, method: str, path: str, headers: Headers, body: object = None, query: str = ""
    ) -> t.Any:
        url = f"{path}?{query}" if query else path
        return self.app.test_client().open(url, method=method, json=body, headers=headers)

    def tells_nothing(self, answer: t.Any, *about: object) -> None:
        for canary in (CANARY, self.env.api.store, *self.ids["event_id"]):
            assert canary not in answer.text, (about, answer.text)
        for name, value in answer.headers:
            assert CANARY not in value, (about, name, value)


def _rows(app: flask.Flask) -> Rows:
    with runtime_of(app).database.read() as session:
        return {
            table.name: {repr(tuple(row)) for row in session.execute(sa.select(table))}
            for table in Base.metadata.sorted_tables
        }


@pytest.fixture
def two(env: StoreToCallback, store_server: StubStore) -> Two:
    """acme has a store, events, notifications and deliveries; bob of globex has an empty store."""
    app = env.app
    changes = {"name": f"{CANARY}-shop", "tags": [f"{CANARY}-tag"]}
    assert env.api.call("PATCH", f"/instances/{env.instance_id}", changes).status_code == 200
    for number in itertools.islice(env.store.shop.tables["orders"], 3):
        env.rest("PUT", f"orders/{number.id}", billing={"first_name": f"{CANARY}-person"})
    assert len(env.arrivals()) == 3
    with runtime_of(app).database.read() as session:
        ids = {
            name: [str(value) for value in session.scalars(sa.select(column))]
            for name, column in NAMING.items()
        }
        assert session.scalars(sa.select(StoredEvent.id)).all()
        assert session.scalars(sa.select(Delivery.id)).all()
    assert all(ids.values())
    before = _rows(app)
    bob = add_account(app, "bob", "globex")
    created = Api(app.test_client(), bob.headers, store_server.url).create()
    env.store.requests.clear()
    return Two(env, app, bob, created["token"], created["id"], ids, before)


def _routes(app: flask.Flask) -> list[Route]:
    """Every method and path of the API."""
    return [
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith(f"{NAME}.") and not ELSEWHERE & rule.arguments
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"})
    ]


def _parameters(rule: str) -> list[str]:
    return re.findall(r"<(?:.*?:)?(\w+)>", rule)


def _paths(two: Two, rule: str) -> cabc.Iterator[str]:
    """A path with everything of acme's in the place of its parameters."""
    names = _parameters(rule)
    for name in names:
        assert name in NAMING or name in OPEN, (
            f"{rule} has the parameter {name}, which these tests do not know: add it to NAMING "
            "with the column that it names, or to OPEN if it names nothing of an organisation"
        )
    choices = [two.ids[name][:5] if name in NAMING else [OPEN[name]] for name in names]
    for values in itertools.product(*choices):
        path = rule
        for name, value in zip(names, values, strict=True):
            path = re.sub(rf"<(?:[^<>]*:)?{name}>", value, path)
        yield path


def test_every_route_is_tried(env: StoreToCallback) -> None:
    """The routes are those of the API, all of it."""
    routes = _routes(env.app)
    assert len(routes) > 60
    known = {name for _, rule in routes for name in _parameters(rule)}
    assert known == {*NAMING, *OPEN}


def test_ids_of_others_name_nothing(two: Two) -> None:
    """A path with an id of another organisation is 404, by secret or token, and changes nothing."""
    for method, rule in _routes(two.app):
        if not set(_parameters(rule)) & set(NAMING):
            continue
        for path in _paths(two, rule):
            for headers in (two.bob.headers, two.bob.element(two.token)):
                for body in ({}, {"propertyValue": "x"}, body_for(two.env.api.store)):
                    answer = two.call(method, path, headers, body)
                    said = (method, path, answer.text)
                    empty = answer.status_code == 200 and answer.json == []
                    # Without an id of an instance such a path needs a token.
                    unnamed = answer.status_code == 401 and "<instance_id>" not in rule
                    assert answer.status_code == 404 or empty or unnamed, said
                    two.tells_nothing(answer, method, path)
    _unchanged(two)


def _unchanged(two: Two) -> None:
    after = _rows(two.app)
    for table, rows in two.before.items():
        assert rows <= after[table], table
    assert not two.env.store.requests  # Nor was acme's store asked.


def _queries(two: Two) -> list[str]:
    """What of acme's a query can name."""
    ids = two.ids
    wheres = [
        f"instanceId={ids['instance_id'][0]}",
        f"subscriptionId={ids['subscription_id'][0]}",
        f"notificationId={ids['notification_id'][0]}",
        f"status='delivered' and instanceId={ids['instance_id'][0]}",
        "status='delivered'",
        f"config.url='{_callback(two)}'",
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


def _callback(two: Two) -> str:
    with runtime_of(two.app).database.read() as session:
        return str(session.scalars(sa.select(Subscription.url)).first())


def test_lists_and_queries_tell_only_ones_own(two: Two) -> None:
    """No list, count or redelivery reaches another organisation, whatever its query names."""
    for method, rule in _routes(two.app):
        if set(_parameters(rule)) & set(NAMING) or method in ("DELETE", "POST", "PATCH"):
            continue
        for path, query in itertools.product(_paths(two, rule), _queries(two)):
            for headers in (two.bob.headers, two.bob.element(two.token)):
                if method == "PUT" and headers != two.bob.headers and "/hubs" not in path:
                    continue  # It would switch bob's own instance.
                answer = two.call(method, path, headers, {}, query)
                assert answer.status_code != 500, (method, path, query, answer.text)
                two.tells_nothing(answer, method, path, query)
                counted = [one for one in _counts(answer) if one]
                assert not counted, (method, path, query, answer.text)
    _unchanged(two)


def _counts(answer: t.Any) -> cabc.Iterator[int]:
    """Return the numbers of events and deliveries in an answer; bob has none."""
    data = answer.json if answer.is_json and answer.status_code == 200 else None
    for one in data if isinstance(data, list) else [data]:
        if isinstance(one, dict):
            yield from (one[key] for key in ("count", "total", "redelivered") if key in one)


def test_events_for_listed_instances(two: Two) -> None:
    """``Element-Instances`` takes only one's own."""
    path = f"{runtime_of(two.app).settings.url_prefix}/events/{ELEMENT_KEY}"
    for listed in (two.env.instance_id, f"{two.own_id},{two.env.instance_id}"):
        for headers in (two.bob.headers, two.bob.element(two.token)):
            sent = {**headers, "Element-Instances": str(listed)}
            assert two.call("POST", path, sent, {"id": 1}).status_code == 404
    _unchanged(two)


def test_without_an_account_nothing_is_shown(two: Two) -> None:
    """Every route but a few that are named answers 401 to who does not say who calls."""
    for method, rule in _routes(two.app):
        if (method, rule.removeprefix(runtime_of(two.app).settings.url_prefix)) in ELSE_GUARDED:
            continue
        for path in itertools.islice(_paths(two, rule), 2):
            answer = two.call(method, path, {}, {})
            assert answer.status_code == 401, (method, path, answer.text)
    _unchanged(two)
