"""Triggers and busy stores: each change leads to the event that it promises."""

from __future__ import annotations

import collections.abc as cabc
import json
import typing as t

import click.testing
import flask
import pytest

from flask_woo_events.errors import InputError, StoreError
from flask_woo_events.events import search
from flask_woo_events.simulation import busy_store
from flask_woo_events.simulation.changing_store import MARK, client_of
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.simulation.triggers import TRIGGERS
from flask_woo_events.sync import instance_poll
from flask_woo_events.woocommerce.client import StoreClient
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import runtime_of

KEYS = ("ck_simulated", "cs_simulated")
POLLED = ("customers", "discounts", "orders", "products", "orders-comments")


def _store(version: str = "11.0") -> SimulatedStore:
    store = SimulatedStore(version, consumer_key=KEYS[0], consumer_secret=KEYS[1])
    store.populate(orders=20, products=8, coupons=3, customers=8)
    store.control.open()
    return store


def _woo(app: flask.Flask, *args: str, stdin: str | None = None) -> click.testing.Result:
    result = app.test_cli_runner().invoke(args=["woo", *args], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def _connect(app: flask.Flask, url: str, *args: str, keys: tuple[str, ...] = KEYS) -> int:
    options = [f"--resource={one}" for one in POLLED]
    result = _woo(app, "connect", url, *keys, *options, "--json", *args)
    assert result.exit_code == 0, result.output
    _poll(app)
    return int(json.loads(result.stdout)["id"])


def _poll(app: flask.Flask) -> None:
    assert [one.error for one in Worker(runtime_of(app)).poll_once([1]) if one.error] == []


def _events(app: flask.Flask) -> list[tuple[str, str, str]]:
    """Return all events, the newest first."""
    with runtime_of(app).database.read() as session:
        found = search.newest(session, search.EventFilter(), 10_000)
    return [(one.event_type, one.resource, one.object_id) for one in found]


def _expected(result: click.testing.Result) -> tuple[str, str, str]:
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    return shown["eventType"], shown["resource"], str(shown["id"])


@pytest.mark.parametrize("version", ["8.0", "11.0"])
def test_each_trigger_makes_its_event(app: flask.Flask, version: str) -> None:
    """The event that a trigger promises is recorded by the next poll."""
    with _store(version).serve() as url:
        _connect(app, url)
        missing = []
        for name in TRIGGERS:
            promised = _expected(_woo(app, "trigger", name, "--json"))
            before = len(_events(app))
            _poll(app)
            if promised not in (events := _events(app))[: len(events) - before]:
                missing.append((name, promised))
    assert missing == []


def test_triggers_are_listed(app: flask.Flask) -> None:
    """The list names each trigger with its event, also as JSON; there are at least 20."""
    listed = _woo(app, "trigger", "--list").output
    names = [
        json.loads(line)["name"]
        for line in _woo(app, "trigger", "--list", "--json").output.splitlines()
    ]
    assert names == list(TRIGGERS) and len(names) >= 20
    assert all(name in listed for name in names)


def test_a_trigger_makes_the_instance_due(app: flask.Flask) -> None:
    """A worker polls immediately, and not when the interval ends."""
    with _store().serve() as url:
        _connect(app, url, "--interval", "60")
        _woo(app, "trigger", "product.created")
    assert instance_poll.due_instances(runtime_of(app)) == [1]


def test_a_trigger_needs_a_simulated_store(app: flask.Flask) -> None:
    """Without one that runs, the message says how to start it; a real store is not changed."""
    nobody = _woo(app, "trigger", "order.created", "--url", "http://127.0.0.1:1")
    assert nobody.exit_code == 1 and "flask woo simulate" in nobody.output
    store = _store()
    store.control.is_open = False
    with store.serve() as url:
        other = _woo(app, "trigger", "order.created", "--url", url)
    assert other.exit_code == 1 and "--store INSTANCE" in other.output
    assert {one.method for one in store.requests} == {"GET"}


def test_no_page_of_a_browser_reaches_the_control_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody knows the keys of flask woo simulate, also pages that the developer visits."""
    store = _store()
    answer, path = store._answer, "/wp-json/flask-woo-events-simulator/v1/new-user"

    def from_a_page(routes: t.Any, environ: dict[str, t.Any], *more: t.Any) -> t.Any:
        return answer(routes, environ | {"HTTP_ORIGIN": "https://evil.example"}, *more)

    with store.serve() as url:
        client = client_of(url, *KEYS)
        assert client.post(path, {"arguments": ["before"]}).data["id"]
        monkeypatch.setattr(store, "_answer", from_a_page)
        with pytest.raises(StoreError, match="404"):
            client.post(path, {"arguments": ["after"]})


def test_an_unknown_trigger_names_the_others(app: flask.Flask) -> None:
    """A typing error is answered with the names of the same kind."""
    result = _woo(app, "trigger", "order.complete")
    assert result.exit_code == 1 and "order.completed" in result.output


# With a real store, which has no control route.


@pytest.fixture
def real() -> cabc.Iterator[tuple[SimulatedStore, str]]:
    """Serve a store that is as a real one: nothing says that it is simulated."""
    store = _store()
    store.control.is_open = False
    with store.serve() as url:
        yield store, url


def test_a_real_store_is_changed_only_after_a_confirmation(
    app: flask.Flask, real: tuple[SimulatedStore, str]
) -> None:
    """Without a yes nothing is written."""
    store, url = real
    number = str(_connect(app, url))
    result = _woo(app, "trigger", "order.completed", "--store", number, stdin="n\n")
    assert result.exit_code == 1 and url in result.output
    assert {one.method for one in store.requests} == {"GET"}


def test_only_own_objects_of_a_real_store_are_changed(
    app: flask.Flask, real: tuple[SimulatedStore, str]
) -> None:
    """An order that is made for it is completed; its event is an UPDATED, and ids are printed."""
    store, url = real
    number = str(_connect(app, url))
    before = {kind: store.truth(kind) for kind in ("orders", "products", "customers")}
    result = _woo(app, "trigger", "order.completed", "--store", number, "--yes", "--json")
    promised = _expected(result)
    _poll(app)
    assert promised in _events(app)
    for kind, rows in before.items():
        now = store.truth(kind)
        assert {one: now[one] for one in rows if _content(now[one]) != _content(rows[one])} == {}
        made = [f"{kind} {one}" for one in now.keys() - rows.keys()]
        assert set(made) <= set(json.loads(result.stdout)["made"])
        marks = [
            [meta["key"] for meta in now[one]["meta_data"]] for one in now.keys() - rows.keys()
        ]
        assert all(MARK in keys for keys in marks)


def _content(row: t.Any) -> t.Any:
    return {key: value for key, value in row.items() if key not in ("related_ids", "meta_data")}


def test_real_stores_refuse_what_rest_cannot_do(
    app: flask.Flask, real: tuple[SimulatedStore, str]
) -> None:
    """A trigger that needs the store's own side is refused before anything is written."""
    store, url = real
    number = str(_connect(app, url))
    result = _woo(app, "trigger", "customer.role_removed", "--store", number, "--yes")
    assert result.exit_code == 1 and "REST API cannot" in result.output
    assert {one.method for one in store.requests} == {"GET"}


def test_keys_that_may_only_read_are_named(
    app: flask.Flask, real: tuple[SimulatedStore, str]
) -> None:
    """The message says which permission the keys need."""
    store, url = real
    store.add_key("ck_reads", "cs_reads", "read")
    number = str(_connect(app, url, keys=("ck_reads", "cs_reads")))
    result = _woo(app, "trigger", "product.created", "--store", number, "--yes")
    assert result.exit_code == 1 and "Read/Write" in result.output


# Busy stores.


@pytest.mark.parametrize("version", ["8.0", "11.0"])
def test_a_busy_store_changes_in_the_same_way(version: str) -> None:
    """Two stores of one seed make the same changes, and all of them succeed."""
    lines: list[list[str]] = [[], []]
    for written in lines:
        store = _store(version)
        with store.serve() as url, StoreClient(url, *KEYS) as client:
            busy = busy_store.BusyStore(client, 3, written.append)
            for _ in range(80):
                busy.step()
    assert lines[0] == lines[1] and len(lines[0]) == 80
    assert [one for one in lines[0] if "failed" in one] == []


@pytest.mark.parametrize(
    ("text", "seconds"), [("20/min", 3), ("2/s", 0.5), ("90/h", 40), (" 1.5 / minute ", 40)]
)
def test_rates(text: str, seconds: float) -> None:
    """A rate is a number of changes and a unit of time."""
    assert busy_store.parse_rate(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["20", "0/s", "-1/s", "fast", "20/day", "1000/s", "1e3/s"])
def test_wrong_rates_name_the_right_form(app: flask.Flask, text: str) -> None:
    """A rate without a unit is refused with examples."""
    with pytest.raises(InputError):
        busy_store.parse_rate(text)
    result = _woo(app, "simulate", f"--busy={text}")
    assert result.exit_code == 2 and "--busy" in result.output


def test_a_port_in_use_is_a_sentence(app: flask.Flask) -> None:
    """The message names the option for another port."""
    with _store().serve() as url:
        port = url.rpartition(":")[2]
        result = _woo(app, "simulate", "--port", port)
    assert result.exit_code == 1 and "--port" in result.output
