"""The description of the API, and that the API matches it."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import pathlib
import re
import shutil
import typing as t

import flask
import flask.testing
import pydantic
import pytest

from flask_woo_events.api import event_responses, responses
from flask_woo_events.api.openapi import document as openapi
from flask_woo_events.api.openapi.instance_operations import OPERATIONS
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import (
    PREFIX,
    dispose,
    make_app,
    runtime_of,
)
from tests.integration.store_to_callback import StoreToCallback, open_env


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
