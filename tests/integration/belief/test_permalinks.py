"""Stores whose REST API is not at ``/wp-json/``: plain permalinks, and web servers that lose it."""

from __future__ import annotations

import pytest

from flask_woo_events.errors import StoreRejectedError
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.simulation.store.permalinks import Permalinks
from flask_woo_events.sync.webhooks.origin import Origins
from flask_woo_events.woocommerce.access import RequestOptions
from flask_woo_events.woocommerce.client import StoreClient
from flask_woo_events.woocommerce.responses import read_root
from tests.integration.belief.conftest import Connect
from tests.model.in_process_store import session
from tests.unit.woocommerce.stub_store import StubResponse, StubStore, client_for

#: Permalinks, and where the REST API is then.
PLACES: dict[Permalinks, str] = {
    "index": "/index.php/wp-json/",
    "plain": "/index.php?rest_route=/",
    "broken": "/?rest_route=/",
}


@pytest.mark.parametrize("permalinks", PLACES)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_api_is_found(permalinks: Permalinks, scheme: str) -> None:
    """The front page says where the API is; requests are signed and authenticated there."""
    store = SimulatedStore(consumer_key="ck_test", consumer_secret="cs_test")
    store.populate(orders=2, products=0, coupons=0, customers=0)
    store.permalinks = permalinks
    with store.serve() as url:
        if scheme == "https":
            store.move(url := "https://store.test")
        client = StoreClient(
            url, "ck_test", "cs_test",
            session=session(store, lambda _: None) if scheme == "https" else None,
        )  # fmt: skip
        with client:
            assert client.get("orders").total == 2 and client.rest == PLACES[permalinks]
            made = client.post("products", {"name": "New"}).data
            assert client.put(f"products/{made['id']}", {"name": "Other"}).data["name"] == "Other"
            assert scheme == "https" or client.head("products").total == 1
            client.delete(f"products/{made['id']}", {"force": True})
            with pytest.raises(StoreRejectedError) as caught:
                client.get("orders/999")
            assert caught.value.code and client.index().data["namespaces"]
            found = client.requests_made
        again = StoreClient(
            url, "ck_test", "cs_test",
            session=session(store, lambda _: None) if scheme == "https" else None,
            options=RequestOptions(rest=client.rest),
        )  # fmt: skip
        with again:
            assert again.get("orders").total == 2
            assert (found, again.requests_made) == (found, 1)


@pytest.mark.parametrize("permalinks", PLACES)
@pytest.mark.parametrize("when", ["connected", "later"])
def test_store_is_polled(connect: Connect, permalinks: Permalinks, when: str) -> None:
    """A store with other permalinks is polled as any, also when they change afterwards."""
    env = connect(baseline=False)
    if when == "connected":
        env.store.permalinks = permalinks
        env.check_again()
        assert env.facts["rest"] == PLACES[permalinks]
    env.read_baseline()
    env.store.permalinks = permalinks
    order, gone = env.ids("orders")[:2]
    env.edit("orders", order)
    env.acts.delete_for_good("orders", gone)
    env.pass_time(1)
    expected = [("orders", str(order), "UPDATED"), ("orders", str(gone), "DELETED")]
    assert sorted(env.poll(), key=lambda event: event[2], reverse=True) == expected
    assert env.errors == {} and env.facts["rest"] == PLACES[permalinks]
    env.store.requests.clear()
    env.poll()
    assert not [one.path for one in env.store.requests if not one.path.startswith("/wp-json/")]
    assert Origins(env.runtime).admits(env.instance_id, "https://store.test/")
    # Back to pretty permalinks, which every place but one survives.
    env.store.permalinks = "pretty"
    env.edit("orders", order)
    assert env.converge() == [("orders", str(order), "UPDATED")] and env.errors == {}


def test_store_without_any_api() -> None:
    """A site that names no API is refused with the sentence about permalinks."""
    store = StubStore(lambda _: StubResponse(b"<title>Not Found</title>", 404))
    client = client_for(store)
    for _ in range(2):
        with pytest.raises(StoreRejectedError, match="Settings > Permalinks"):
            client.get("orders")
    assert [request.path for request in store.requests] == [
        "/wp-json/wc/v3/orders", "/", "/wp-json/wc/v3/orders"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "link",
    [
        '<https://evil.example/wp-json/>; rel="https://api.w.org/"',
        '<https://evil.example/api/>; rel="https://api.w.org/"',
        '<//evil.example/api/>; rel="https://api.w.org/"',
        '<https://shop.example@evil.example/api/>; rel="https://api.w.org/"',
        '<https://[/api/>; rel="https://api.w.org/"',
        '<https://shop.example/../x/>; rel="https://api.w.org/"',
        '<https://shop.example/?page=1>; rel="https://api.w.org/"',
    ],
)
def test_keys_go_to_no_other_host(link: str) -> None:
    """Whatever the front page says, requests go to the configured host."""
    store = StubStore(
        lambda one: StubResponse(b"Shop", 200 if one.path == "/" else 404, {"Link": link})
    )
    with pytest.raises(StoreRejectedError):
        client_for(store).get("orders")
    assert all(one.url.startswith("https://shop.example/") for one in store.requests)


def test_link_in_the_html() -> None:
    """A front page that a cache keeps may have the link only in its HTML."""
    page = b'<head><link rel="https://api.w.org/" href="https://shop.example/api/" /></head>'

    def rule(request: object) -> StubResponse:
        path = getattr(request, "path", "")
        if path.startswith("/api/"):
            return StubResponse({"namespaces": ["wc/v3"]} if path == "/api/" else [])
        return StubResponse(page, 200 if path == "/" else 404)

    client = client_for(StubStore(rule))
    assert client.get("orders").data == [] and client.rest == "/api/"


@pytest.mark.parametrize(
    "link",
    [
        '<https://www.shop.example/index.php?rest_route=/>; rel="https://api.w.org/"',
        '<https://shop.example/?rest_route=/>; rel="https://api.w.org/"',
        '<https://shop.example/index.php/wp-json/>; rel="https://api.w.org/"',
        '<https://shop.example/index.php?rest_route=/wc/v3/orders&page=2>; rel="next"',
        '<https://shop.example/wp-json/wc/v3/orders?page=2>; rel="next"',
    ],
)
def test_root_of_other_permalinks(link: str) -> None:
    """The store's own address is the same with any permalinks."""
    assert read_root(link) == "shop.example"
