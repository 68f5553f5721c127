"""Each operation of the API answers any request as the description says.

In a folder of its own, which one process collects: that alone takes Schemathesis seconds.
"""

from __future__ import annotations

import collections.abc as cabc
import pathlib
import tempfile
import typing as t

import flask
import hypothesis
import pytest
import schemathesis
from schemathesis.specs.openapi import checks

import flask_woo_events
from flask_woo_events.api.openapi.instance_operations import OPERATIONS
from flask_woo_events.db import upgrade
from flask_woo_events.simulation.store import SimulatedStore
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


@pytest.fixture(scope="module")
def shop() -> cabc.Iterator[Store]:
    """A store with a few objects of each kind."""
    store = SimulatedStore("11.0", consumer_key="ck_test", consumer_secret="cs_test")
    store.populate(orders=5, products=4, coupons=2, customers=3)
    with store.serve() as url:
        yield store, url


@pytest.fixture(scope="module")
def described_app(
    tmp_path_factory: pytest.TempPathFactory,
) -> cabc.Iterator[flask_woo_events.Flask]:
    """An application for all operations."""
    app = make_app(tmp_path_factory.mktemp("described"))
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
        document = app.test_client().get(f"{PREFIX}/openapi.json").json
        assert document is not None
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
        "account": described_account.headers,
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
