"""The description of the API, and that the API matches it."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import pathlib
import re
import shutil
import tempfile
import typing as t

import flask
import flask.testing
import hypothesis
import pydantic
import pytest
import schemathesis
from schemathesis.specs.openapi import checks

import flask_woo_events
from flask_woo_events.api import event_responses, responses
from flask_woo_events.api.openapi import document as openapi
from flask_woo_events.api.openapi.instance_operations import OPERATIONS
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.worker.worker import Worker
from tests.examples import examples
from tests.integration.host_app import (
    PREFIX,
    Account,
    Api,
    Headers,
    add_account,
    dispose,
    make_app,
    runtime_of,
)
from tests.integration.store_to_callback import StoreToCallback, open_env

Store = tuple[SimulatedStore, str]
Case = schemathesis.Case[t.Any]
#: Checks that are left out: clients of the documented service send undescribed members.
LENIENT = [checks.negative_data_rejection, checks.positive_data_acceptance]
#: With other methods the last part of these paths is an id.
AMBIGUOUS = {
    "/instances/configuration",
    "/instances/enabled",
    "/instances/events",
    "/instances/event-poller-records",
    "/instances/polling-disabled",
    "/hubs/{hub}/ping",
    "/hubs/{hub}/objects",
}


def _document(client: flask.testing.FlaskClient) -> dict[str, t.Any]:
    response = client.get(f"{PREFIX}/openapi.json")
    assert response.status_code == 200
    assert response.json is not None
    return t.cast("dict[str, t.Any]", response.json)


def _routes(app: flask.Flask) -> set[str]:
    rules = [
        rule
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("woo_events_api.") and not rule.endpoint.endswith("_unknown")
    ]
    # The pages for shop owners and their callback are not part of the API.
    pages = {"GET /connect", "POST /connect/callback", "GET /connect/return"}
    return set(openapi.keys_of(rules, PREFIX)) - pages


def test_every_route_is_described(app: flask.Flask, client: flask.testing.FlaskClient) -> None:
    """The description has exactly the routes of the blueprint."""
    described = {
        f"{method.upper()} {path}"
        for path, calls in _document(client)["paths"].items()
        for method in calls
    }
    assert described == _routes(app)


def test_every_operation_is_a_route(app: flask.Flask) -> None:
    """No operation is described without a route."""
    assert set(OPERATIONS) == _routes(app)


def test_route_without_description_is_noticed() -> None:
    """A route without an operation raises an error."""
    with pytest.raises(KeyError, match="GET /nonesuch"):
        openapi.describe(["GET /instances", "GET /nonesuch"], PREFIX)


def _references(value: object) -> cabc.Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for one in value.values():
            yield from _references(one)
    elif isinstance(value, list):
        for one in value:
            yield from _references(one)


def test_description_refers_to_models_that_it_has(client: flask.testing.FlaskClient) -> None:
    """Each reference leads to a model, and each model is referred to."""
    document = _document(client)
    assert document["openapi"].startswith("3.1.")
    found = {reference.removeprefix("#/components/schemas/") for reference in _references(document)}
    assert found == set(document["components"]["schemas"])


def test_operations_have_names_of_their_own(client: flask.testing.FlaskClient) -> None:
    """Each operation has its own name, which generated clients use."""
    names = [
        operation["operationId"]
        for calls in _document(client)["paths"].values()
        for operation in calls.values()
    ]
    assert len(names) == len(set(names))


def test_description_at_the_root_of_a_host(tmp_path: pathlib.Path) -> None:
    """Without a prefix the description has no short paths, which might be the host's."""
    app = make_app(tmp_path, WOO_EVENTS_URL_PREFIX="")
    app.add_url_rule("/orders", "orders", lambda: "the host's")
    client = app.test_client()
    document = client.get("/openapi.json").json
    assert document is not None
    assert "/hubs/{hub}/{resource}" in document["paths"]
    assert "/{resource}" not in document["paths"]
    assert client.get("/orders").text == "the host's"
    assert client.get("/products").status_code == 404
    dispose(app)


def test_page_needs_nothing_of_another_host(client: flask.testing.FlaskClient) -> None:
    """The page has no scripts or assets, and links only to its own host."""
    response = client.get(f"{PREFIX}/docs")
    assert response.status_code == 200 and response.mimetype == "text/html"
    assert "<script" not in response.text and "src=" not in response.text
    links = set(re.findall(r'href="([^"]*)"', response.text))
    assert {link for link in links if not link.startswith("#")} == {f"{PREFIX}/openapi.json"}
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_page_shows_every_operation_and_model(client: flask.testing.FlaskClient) -> None:
    """Each operation and each model of the description is on the page."""
    document, page = _document(client), client.get(f"{PREFIX}/docs").text
    for calls in document["paths"].values():
        for operation in calls.values():
            assert f'id="{operation["operationId"]}"' in page
    for name in document["components"]["schemas"]:
        assert f'id="model-{name}"' in page


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/instances", responses.InstanceResponse),
        ("/instances/events", event_responses.EventResponse),
        ("/instances/events/dispositions", event_responses.DispositionResponse),
        ("/instances/events/analytics", event_responses.EventCountResponse),
        ("/instances/events/analytics/accounts", event_responses.AccountCountsResponse),
        ("/instances/events/analytics/instances", event_responses.InstanceCountsResponse),
        ("/instances/event-poller-records", event_responses.PollerRecordResponse),
        (
            "/notifications?topics[]=instance-{id}-woocommercerest-events",
            event_responses.NotificationResponse,
        ),
        ("/notifications/subscriptions", event_responses.SubscriptionResponse),
        ("/notifications/subscriptions/deliveries", event_responses.DeliveryResponse),
    ],
)
def test_answers_are_as_described(
    sent: StoreToCallback, path: str, model: type[pydantic.BaseModel]
) -> None:
    """Answers about real events have exactly the described members."""
    rows = sent.api.call("GET", path.format(id=sent.instance_id)).json
    assert rows
    for row in rows:
        model.model_validate(row, strict=False)


@pytest.fixture(scope="module")
def sent(
    tmp_path_factory: pytest.TempPathFactory, tables: pathlib.Path
) -> cabc.Iterator[StoreToCallback]:
    """A store whose changes were sent to a callback."""
    folder = tmp_path_factory.mktemp("sent")
    shutil.copy(tables, folder / "host.sqlite3")
    with contextlib.ExitStack() as stack:
        sent = open_env("11.0", folder, stack, hooked=True)
        sent.store.acts.new_product("Mug")
        sent.store.acts.stock(sent.first("products"), 3)
        sent.poll()
        Worker(runtime_of(sent.app)).deliver_once()
        yield sent


@pytest.fixture(scope="module")
def shop() -> cabc.Iterator[Store]:
    """A store with a few objects of each kind."""
    store = SimulatedStore("11.0", consumer_key="ck_test", consumer_secret="cs_test")
    store.populate(orders=5, products=4, coupons=2, customers=3)
    with store.serve() as url:
        yield store, url


@pytest.fixture(scope="module")
def described_app(
    tmp_path_factory: pytest.TempPathFactory, tables: pathlib.Path
) -> cabc.Iterator[flask_woo_events.Flask]:
    """An application for all operations."""
    folder = tmp_path_factory.mktemp("described")
    shutil.copy(tables, folder / "host.sqlite3")
    app = make_app(folder)
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
    return Api(described_app.test_client(), described_account.headers, shop[1]).create()


class _Switch:
    """A WSGI application that passes calls to the one of the test."""

    def __init__(self) -> None:
        self.app: cabc.Callable[..., t.Any] | None = None

    def __call__(self, environ: dict[str, t.Any], start: cabc.Callable[..., t.Any]) -> t.Any:
        assert self.app is not None
        return self.app(environ, start)


#: Keys of a configuration that are varied; each adds some hundred calls.
VARIED = ("event.poller.configuration", "store.url", "event.notification.enabled")[: examples(1)]


def _read_description() -> t.Any:
    with tempfile.TemporaryDirectory() as folder:
        app = make_app(pathlib.Path(folder))
        document = _document(app.test_client())
        dispose(app)
    configuration = document["components"]["schemas"]["Configuration"]
    configuration["properties"] = {key: configuration["properties"][key] for key in VARIED}
    schema = schemathesis.openapi.from_dict(document)
    schema.app = SWITCH
    return schema


SWITCH = _Switch()
SCHEMA = _read_description()


def _aim(case: Case, instance: dict[str, t.Any], entry: int, shop: Store) -> None:
    """Point about half of the calls at existing objects, and none at another host."""
    store, url = shop
    parts = case.path_parameters
    parents = {"comments": "orders", "refunds": "orders", "variations": "products"}
    if parts.get("child") in parents:
        parts["resource"] = parents[parts["child"]]
    objects = store.shop.tables["products" if parts.get("resource") == "products" else "orders"]
    known = {"instance_id": instance["id"], "entry_id": entry}
    known["object_id"] = next((row.id for row in objects), 1)
    for name, value in known.items():
        if str(parts.get(name, ""))[-1:] in {*"13579"}:
            parts[name] = value
    body = case.body if isinstance(case.body, dict) else {}
    configuration = body.get("configuration")
    if isinstance(configuration, dict):
        configuration.pop("oauth.callback.url", None)
        if "store.url" in configuration or case.method == "POST":
            keys = {"oauth.api.key": "ck_test", "oauth.api.secret": "cs_test"}
            configuration |= {"store.url": url, **keys}
            body |= {"element": {"key": "woocommercerest"}}


@pytest.mark.slow
@SCHEMA.parametrize()  # type: ignore[untyped-decorator]
@hypothesis.settings(
    max_examples=examples(3),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_operation_matches_its_description(
    case: Case,
    described_app: flask.Flask,
    described_account: Account,
    instance: dict[str, t.Any],
    shop: Store,
) -> None:
    """Any request gets a described status and answer, and no 500."""
    SWITCH.app = described_app
    configuration = described_app.test_client().get(
        f"{PREFIX}/instances/configuration", headers=described_account.element(instance["token"])
    )
    entry = configuration.json[0]["id"] if isinstance(configuration.json, list) else 1
    _aim(case, instance, entry, shop)
    headers: dict[str, Headers] = {
        "none": {},
        "user": described_account.headers,
        "token": described_account.element(instance["token"]),
    }
    ambiguous = case.path in AMBIGUOUS
    excluded = [checks.unsupported_method, checks.allow_header_conformance] if ambiguous else []
    # Undescribed methods are tried as well.
    operation = OPERATIONS.get(f"{case.method} {case.path}")
    case.call_and_validate(
        headers=headers[operation.authorization if operation else "user"],
        excluded_checks=[*LENIENT, *excluded],
    )
