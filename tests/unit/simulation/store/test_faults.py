"""Faults of the simulated store, over a real socket where that matters."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import http.client
import threading
import typing as t
import urllib.parse

import pytest
import requests

from flask_woo_events.simulation.store import SimulatedStore

from .conftest import AUTH, ask, ids


def test_fault_applies_to_a_number_of_matching_requests(store: SimulatedStore) -> None:
    """Other and later requests are answered without the fault."""
    store.faults.add("status", match="orders", times=2, code=503, retry_after=7)
    assert ask(store, "products").status_code == 200
    bad = ask(store, "orders")
    assert (bad.status_code, bad.headers["Retry-After"]) == (503, "7")
    assert ask(store, "orders").status_code == 503
    assert ask(store, "orders").status_code == 200


def test_fault_may_match_by_function(store: SimulatedStore) -> None:
    """A function gets method, path and parameters."""
    store.faults.add("empty200", match=lambda method, path, params: params.get("page") == "2")
    assert ask(store, "orders", page=1).data == b"[]"
    assert ask(store, "orders", page=2).data == b""


def test_lost_response_does_not_undo_the_change(store: SimulatedStore) -> None:
    """A request whose response is lost was processed, unless ``effect`` is false."""
    body = {"code": "ten"}
    store.faults.add("status", code=502)
    assert ask(store, "coupons", method="POST", body=body).status_code == 502
    assert len(store.truth("coupons")) == 1
    store.faults.add("status", code=502, effect=False)
    ask(store, "coupons", method="POST", body={"code": "twenty"})
    assert len(store.truth("coupons")) == 1


@pytest.mark.parametrize(
    ("kind", "begins"),
    [
        ("php_notice", b"<br />"),
        ("html", b"<!DOCTYPE html>"),
        ("lying_json", b"{"),
        ("empty_list", b"[]"),
        ("wrong_content_type", b"[{"),
    ],
)
def test_bodies_of_faults(store: SimulatedStore, kind: t.Any, begins: bytes) -> None:
    """Each kind has its own body."""
    store.acts.new_product("Mug")
    store.faults.add(kind)
    assert ask(store, "products").data.startswith(begins)


def test_truncated_and_duplicated(store: SimulatedStore) -> None:
    """A truncated body has half its length; a page of duplicates has each row twice."""
    product = store.acts.new_product("Mug")
    whole = len(ask(store, "products").data)
    store.faults.add("truncated")
    assert len(ask(store, "products").data) == whole // 2
    store.faults.add("duplicate_ids")
    assert ids(store, "products") == [product, product]


def test_wrong_totals(store: SimulatedStore) -> None:
    """The total is wrong, and pages never end."""
    product = store.acts.new_product("Mug")
    store.faults.add("wrong_total", total=99)
    assert ask(store, "products").headers["X-WP-Total"] == "99"
    store.faults.add("endless_pages")
    assert ids(store, "products", page=1000) == [product]


@pytest.fixture
def url(store: SimulatedStore) -> cabc.Iterator[str]:
    """Yield the URL of the orders of a served store."""
    with store.serve() as address:
        yield f"{address}/wp-json/wc/v3/orders"


@pytest.fixture
def session() -> cabc.Iterator[requests.Session]:
    """Yield a client that keeps its connection."""
    with requests.Session() as client:
        client.auth = AUTH
        client.trust_env = False
        yield client


def test_connection_is_kept(url: str) -> None:
    """A connection stays open for the next request."""
    parts = urllib.parse.urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(parts.netloc)) as connection:
        connection.request("GET", parts.path)
        connection.getresponse().read()
        kept = connection.sock
        connection.request("GET", parts.path)
        assert connection.getresponse().read().startswith(b'{"code"')
        assert connection.sock is kept is not None


def test_reset_closes_without_a_response(
    store: SimulatedStore, url: str, session: requests.Session
) -> None:
    """The client sees a closed connection, and the log shows a request without a status."""
    store.faults.add("reset")
    with pytest.raises(requests.ConnectionError):
        session.post(url, json={})
    assert store.requests[-1].status == 0
    assert session.get(url).status_code == 200


def test_delay_delays_only_its_request(
    store: SimulatedStore, url: str, session: requests.Session
) -> None:
    """A slow response makes the client time out."""
    over = threading.Event()
    store.faults.add("timeout", until=over)
    with pytest.raises(requests.ReadTimeout):
        session.get(url, timeout=0.05)
    assert session.get(url).status_code == 200
    over.set()


def test_log_hides_keys(store: SimulatedStore) -> None:
    """The log of requests contains the parameters but no secrets."""
    ask(store, "orders", consumer_key="ck_test", consumer_secret="cs_test", page=1)
    logged = store.requests[-1]
    assert (logged.method, logged.status, dict(logged.params)) == ("GET", 200, {"page": "1"})
