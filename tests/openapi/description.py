"""The description of the API as Schemathesis reads it, and the application that it calls."""

from __future__ import annotations

import collections
import collections.abc as cabc
import pathlib
import tempfile
import typing as t

import flask
import schemathesis
from schemathesis.specs.openapi import checks

from flask_woo_events.api.openapi.instance_operations import OPERATIONS
from flask_woo_events.simulation.store import SimulatedStore
from tests.examples import examples
from tests.integration.host_app import PREFIX, Account, Api, Headers, dispose, make_app

Store = tuple[SimulatedStore, str]
Case = schemathesis.Case[t.Any]
#: The address of callbacks: test notifications leave no machine.
NOWHERE = "http://127.0.0.1:9/"
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


class _Switch:
    """A WSGI application that passes calls to the one of the test, and counts the answers."""

    def __init__(self) -> None:
        self.app: cabc.Callable[..., t.Any] | None = None
        self.statuses: collections.Counter[str] = collections.Counter()

    def __call__(self, environ: dict[str, t.Any], start: cabc.Callable[..., t.Any]) -> t.Any:
        assert self.app is not None

        def count(status: str, *head: t.Any) -> t.Any:
            self.statuses[status[:3]] += 1
            return start(status, *head)

        return self.app(environ, count)


#: Keys of a configuration that are varied; each adds some hundred calls.
VARIED = ("event.poller.configuration", "store.url", "event.notification.enabled")[: examples(1)]


schemathesis.serializer.alias("application/x-ndjson", "text/plain")


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


def aim(
    case: Case, instance: dict[str, t.Any], known: dict[str, cabc.Callable[[], int]], shop: Store
) -> None:
    """Point about half of the calls at existing objects, and none at another host.

    :param known: functions that return ids of what belongs to the instance, by parameter of the
        path; few paths have one.
    """
    store, url = shop
    parts = case.path_parameters
    parents = {"comments": "orders", "refunds": "orders", "variations": "products"}
    if parts.get("child") in parents:
        parts["resource"] = parents[parts["child"]]
    objects = store.shop.tables["products" if parts.get("resource") == "products" else "orders"]
    known = {
        "instance_id": lambda: instance["id"],
        "object_id": lambda: next((row.id for row in objects), 1),
        **known,
    }
    # A generated id could be that of a subscription with a generated address, which is not called.
    calls = case.path.endswith("/test")
    for name, value in known.items():
        if str(parts.get(name, ""))[-1:] in {*"13579"} or (calls and name in parts):
            parts[name] = value()
    if str((case.query or {}).get("wait")).isdigit():
        case.query["wait"] = "0"  # Nothing happens meanwhile.
    body = case.body if isinstance(case.body, dict) else {}
    if str(body.get("callbackUrl")).startswith("http"):
        body["callbackUrl"] = NOWHERE
    configuration = body.get("configuration")
    if isinstance(configuration, dict):
        configuration.pop("oauth.callback.url", None)
        configuration.pop("event.notification.callback.url", None)
        if "store.url" in configuration or case.method == "POST":
            keys = {"oauth.api.key": "ck_test", "oauth.api.secret": "cs_test"}
            configuration |= {"store.url": url, **keys}
            body |= {"element": {"key": "woocommercerest"}}


def entry_of(app: flask.Flask, headers: Headers) -> int:
    """Return the id of an entry of the configuration of a token's instance."""
    answer = app.test_client().get(f"{PREFIX}/instances/configuration", headers=headers)
    return int(answer.json[0]["id"]) if isinstance(answer.json, list) else 1


def add_subscription(api: Api, instance: dict[str, t.Any]) -> int:
    """Add a subscription to an instance, and return its id."""
    path = f"/instances/{instance['id']}/subscriptions"
    return int(api.call("POST", path, {"callbackUrl": NOWHERE}).json["id"])


def headers_of(case: Case, account: Account, token: str) -> Headers:
    """Return the headers with which an operation is called."""
    headers: dict[str, Headers] = {
        "none": {},
        "account": account.headers,
        "user": account.headers,
        "token": account.element(token),
    }
    # Undescribed methods are tried as well.
    operation = OPERATIONS.get(f"{case.method} {case.path}")
    return headers[operation.authorization if operation else "user"]


def excluded(case: Case) -> list[t.Any]:
    """Return the checks that do not apply to a call."""
    ambiguous = case.path in AMBIGUOUS
    methods = [checks.unsupported_method, checks.allow_header_conformance] if ambiguous else []
    return [*LENIENT, *methods]
