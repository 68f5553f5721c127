"""Lies of the simulated store, as a client of its REST API sees them."""

from __future__ import annotations

import datetime as dt
import typing as t

import orjson
import pytest

from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.simulation.store.lies import (
    Alternating,
    AnotherShop,
    Asked,
    CachedLists,
    GarbledLists,
    Garbling,
    Replica,
    copy_of,
    empty,
    half,
    hole,
)

from .conftest import START, MakeStore, ask, ids

SHOP = "http://localhost"
COPY = "https://staging.example"
LISTS = ("orders", "products", "coupons", "customers", "webhooks")


@pytest.fixture
def shop(store: SimulatedStore) -> SimulatedStore:
    """Return a store with four objects of each kind."""
    store.populate(orders=4, products=4, coupons=4, customers=4)
    store.routes.orders.varies = False
    return store


def shown(store: SimulatedStore, path: str) -> dict[str, t.Any]:
    """Return what an address shows, without the fields that every request shuffles."""
    answer = ask(store, path)
    assert answer.status_code == 200, answer.text
    return stable(t.cast("dict[str, t.Any]", answer.json))


def stable(body: dict[str, t.Any], *others: str) -> dict[str, t.Any]:
    """Return a body without shuffled fields, and without some others."""
    return {name: body[name] for name in body if name not in ("related_ids", *others)}


def root_of(store: SimulatedStore, path: str = "products") -> str:
    """Return the address of the shop that answers."""
    link = ask(store, path).headers["Link"]
    assert link.endswith('/wp-json/>; rel="https://api.w.org/"')
    return link.removeprefix("<").partition("/wp-json/>")[0]


def changes(store: SimulatedStore) -> list[tuple[int, int]]:
    """Return the rows of the journal, as number and id."""
    answer = store.journal.answer({"after": "0"})
    rows = orjson.loads(answer.body)["changes"]
    return [(row["seq"], row["id"]) for row in rows]


def test_an_empty_shop(shop: SimulatedStore) -> None:
    """Every list is empty, and every address of an object is unknown."""
    product = ids(shop, "products")[0]
    shop.lies.begin(empty())
    for path in LISTS:
        answer = ask(shop, path)
        assert (answer.json, answer.headers["X-WP-Total"]) == ([], "0")
    assert ask(shop, f"products/{product}").status_code == 404
    assert root_of(shop) == SHOP
    shop.lies.end()
    assert ask(shop, f"products/{product}").status_code == 200


def test_half_of_a_shop(shop: SimulatedStore) -> None:
    """Four of five objects are missing from lists, and from their own addresses."""
    before = ids(shop, "orders", order="asc", orderby="id")
    shop.lies.begin(half())
    assert ids(shop, "orders", order="asc", orderby="id") == [n for n in before if n % 5 == 0]
    assert ids(shop, "orders", include=",".join(map(str, before)), orderby="id", order="asc") == [
        n for n in before if n % 5 == 0
    ]
    for number in before:
        assert ask(shop, f"orders/{number}").status_code == (404 if number % 5 else 200)


def test_a_masked_shop_follows_the_shop(shop: SimulatedStore) -> None:
    """Changes and writes reach the shop itself, and the objects that are left show them."""
    shop.lies.begin(half())
    number = ids(shop, "products")[0]
    shop.acts.stock(number, 77)
    assert shown(shop, f"products/{number}")["stock_quantity"] == 77
    assert (
        ask(shop, f"products/{number}", method="PUT", body={"name": "Renamed"}).status_code == 200
    )
    assert shop.truth("products")[number]["name"] == "Renamed"


def test_a_hole_in_a_list(shop: SimulatedStore) -> None:
    """A list lacks an object that its own address shows; other lists are complete."""
    number, *others = sorted(ids(shop, "products"))
    shop.lies.begin(hole("products", {number}))
    assert sorted(ids(shop, "products")) == others
    assert ids(shop, "products", include=number) == []
    assert ask(shop, "products").headers["X-WP-Total"] == "3"
    assert shown(shop, f"products/{number}") == stable(shop.truth("products")[number])
    assert len(ids(shop, "orders")) == 4


@pytest.mark.parametrize("path", ["orders", "products"])
def test_a_status_whose_plugin_is_off(shop: SimulatedStore, path: str) -> None:
    """No list shows the object; its own address does."""
    number, *others = sorted(ids(shop, path))
    shop.acts.sql_status(path, number, "parked")
    assert sorted(ids(shop, path, status="any")) == others
    assert shown(shop, f"{path}/{number}")["status"] == "parked"


@pytest.mark.parametrize("home", [COPY, SHOP])
def test_another_shop(shop: SimulatedStore, make_store: MakeStore, home: str) -> None:
    """Another shop answers for the same ids, at its own address or at the same one."""
    other = make_store()
    other.populate(orders=9, products=9, coupons=9, customers=9, seed=8)
    other.move(home)
    shop.lies.begin(AnotherShop(other.routes))
    assert len(ids(shop, "products")) == 9
    assert root_of(shop) == home
    assert shown(shop, "system_status")["environment"]["home_url"] == home
    number = min(shop.truth("products"))
    assert shown(shop, f"products/{number}") != stable(shop.truth("products")[number])
    assert shown(shop, f"products/{number}") == stable(other.truth("products")[number])


def test_a_copy_at_another_address(shop: SimulatedStore) -> None:
    """A copy shows the shop of its time under its own address, also in links to pages."""
    number = ids(shop, "products")[0]
    before = shop.truth("products")[number]
    copied = AnotherShop(copy_of(shop.routes, COPY))
    shop.acts.post_update(number, "Changed later")
    shop.lies.begin(copied)
    body = shown(shop, f"products/{number}")
    assert body["_links"]["self"][0]["href"].startswith(COPY)
    assert stable(body, "_links", "permalink") == stable(before, "_links", "permalink")
    assert root_of(shop) == COPY
    paged = ask(shop, "products", per_page=1).headers["Link"]
    assert paged == f'<{COPY}/wp-json/wc/v3/products?per_page=1&page=2>; rel="next"'


def test_a_copy_of_a_backup(shop: SimulatedStore) -> None:
    """A copy can show the shop as of an earlier time."""
    backup = shop.acts.snapshot()
    shop.acts.new_product("Later")
    shop.lies.begin(AnotherShop(copy_of(shop.routes, backup=backup)))
    assert len(ids(shop, "products")) == 4


def test_a_copy_lives_on_by_itself(shop: SimulatedStore) -> None:
    """Changes in a copy, and writes to it, do not reach the shop."""
    number = ids(shop, "products")[0]
    copied = AnotherShop(copy_of(shop.routes))
    shop.lies.begin(copied)
    copied.acts.post_update(number, "Only in the copy")
    ask(shop, "coupons", method="POST", body={"code": "copy"})
    assert len(ids(shop, "coupons")) == 5
    assert len(shop.truth("coupons")) == 4
    assert shop.truth("products")[number]["name"] != "Only in the copy"
    assert root_of(shop) == SHOP


def test_webhooks_name_the_address_of_their_shop(shop: SimulatedStore) -> None:
    """Deliveries of a shop carry its address."""
    shop.webhooks.send = lambda *_: 200
    body = {"topic": "product.updated", "delivery_url": "https://receiver.example/"}
    assert ask(shop, "webhooks", method="POST", body=body).status_code == 201
    shop.move(COPY)
    shop.acts.stock(ids(shop, "products")[0], 3)
    shop.webhooks.run_queue()
    assert dict(shop.webhooks.log[-1].headers)["X-WC-Webhook-Source"] == f"{COPY}/"


def test_a_copy_has_the_webhooks(shop: SimulatedStore) -> None:
    """A copy lists the same webhooks, and changes of them stay in it."""
    shop.webhooks.send = lambda *_: 200
    body = {"topic": "product.updated", "delivery_url": "https://receiver.example/"}
    assert ask(shop, "webhooks", method="POST", body=body).status_code == 201
    copied = AnotherShop(copy_of(shop.routes, COPY))
    shop.lies.begin(copied)
    path = "webhooks/1"
    assert ask(shop, path, method="PUT", body={"status": "paused"}).status_code == 200
    shop.lies.end()
    assert shown(shop, path)["status"] == "active"


def test_a_replica_lags_behind(shop: SimulatedStore) -> None:
    """A replica shows changes after its delay; a write reaches the shop immediately."""
    number = ids(shop, "products")[0]
    replica = Replica(shop.routes, 60)
    shop.lies.begin(replica)

    def name() -> str:
        return str(shown(shop, f"products/{number}")["name"])

    original = name()
    shop.acts.post_update(number, "First")
    assert name() == original
    shop.clock.advance(40)
    ask(shop, f"products/{number}", method="PUT", body={"name": "Second"})
    assert shop.truth("products")[number]["name"] == "Second"
    assert name() == original
    shop.clock.advance(20)
    assert name() == "First"
    shop.clock.advance(40)
    assert name() == "Second"


def test_a_replica_can_answer_late(shop: SimulatedStore) -> None:
    """A replica that lagged behind before it answers shows an older state than seen before."""
    number = ids(shop, "products")[0]
    replica = Replica(shop.routes, 60)
    before = shown(shop, f"products/{number}")
    shop.acts.post_update(number, "Changed")
    assert shown(shop, f"products/{number}")["name"] == "Changed"
    shop.lies.begin(replica)
    assert shown(shop, f"products/{number}") == before


def test_a_restored_backup_uses_ids_again(make_store: MakeStore) -> None:
    """The shop is restored with its journal, lives on, and gives ids to other objects."""
    store = make_store(journal=True)
    kept = store.acts.new_product("Kept")
    backup = store.acts.snapshot(journal=True)
    lost = store.acts.new_product("Lost")
    assert changes(store) == [(1, kept), (2, lost)]
    store.acts.restore_backup(backup)
    assert ids(store, "products") == [kept]
    assert changes(store) == [(1, kept)]
    assert store.acts.new_coupon("other") == lost
    assert changes(store) == [(1, kept), (2, lost)]
    assert ask(store, f"products/{lost}").status_code == 404
    assert ask(store, f"coupons/{lost}").status_code == 200


@pytest.mark.parametrize("days", [-30, 0, 1500])
def test_edited_dates(shop: SimulatedStore, days: int) -> None:
    """A date is edited alone; the object's other fields and other objects stay."""
    number = ids(shop, "orders")[0]
    before = shop.truth("orders")
    moment = START + dt.timedelta(days=days)
    shop.acts.edit_date("orders", number, moment)
    after, digits = shop.truth("orders"), moment.isoformat()[:19]
    dates = {"date_modified": digits, "date_modified_gmt": digits}
    assert after == {**before, number: {**before[number], **dates}}


def test_garbled_lists(shop: SimulatedStore) -> None:
    """Rows repeat, change places or are missing; headers and objects are right."""
    order = {"orderby": "id", "order": "asc"}
    rows = ids(shop, "orders", **order)
    expected: dict[Garbling, list[int]] = {
        "repeated": [*rows[:3], rows[0]],
        "reversed": rows[::-1],
        "short": rows[:2],
    }
    for how, shown in expected.items():
        shop.lies.begin(GarbledLists(how))
        assert ids(shop, "orders", **order) == shown
        assert ask(shop, "orders").headers["X-WP-Total"] == "4"
        assert ask(shop, f"orders/{rows[0]}").json == shop.truth("orders")[rows[0]]


@pytest.mark.parametrize(
    ("path", "listed"),
    [
        ("/wp-json/wc/v3/orders", "orders"),
        ("/wp-json/wc/v3/orders/7/refunds", "refunds"),
        ("/wp-json/wc/v3/products/categories", "categories"),
        ("/wp-json/wc/v3/orders/7", ""),
        ("/wp-json/wc/v3/reports/orders/totals", ""),
        ("/wp-json/wc-flask-woo-events/v1/orders", ""),
    ],
)
def test_lists_of_objects(path: str, listed: str) -> None:
    """Only collections of the REST API are lists of objects, and only for reading."""
    assert Asked("GET", path, {}).listed == listed
    assert Asked("POST", path, {}).listed == ""


@pytest.mark.parametrize("age", [True, False])
def test_cached_lists(shop: SimulatedStore, age: bool) -> None:
    """A list is repeated with its date, and the time since then in ``Age``, until it expires."""
    shop.lies.begin(CachedLists(600, age=age))
    first = ask(shop, "products")
    assert "Age" not in first.headers
    number = shop.acts.new_product("New")
    shop.clock.advance(30)
    again = ask(shop, "products")
    assert again.data == first.data
    assert again.headers["Date"] == first.headers["Date"]
    assert again.headers.get("Age") == ("30" if age else None)
    assert ask(shop, f"products/{number}").status_code == 200
    assert number in ids(shop, "products", orderby="id")
    shop.clock.advance(570)
    fresh = ask(shop, "products")
    assert fresh.data != first.data
    assert "Age" not in fresh.headers


def test_alternating_backends(shop: SimulatedStore) -> None:
    """The copy gives every second answer, beginning with the first."""
    copied = copy_of(shop.routes, COPY)
    shop.acts.new_product("Only in the shop")
    shop.lies.begin(Alternating(copied))
    assert [len(ids(shop, "products")) for _ in range(4)] == [4, 5, 4, 5]


def test_a_lie_begins_and_ends_between_requests(shop: SimulatedStore) -> None:
    """A lie can begin after some requests and end after some answers."""
    shop.lies.begin(empty(), after=2, requests=3)
    assert [len(ids(shop, "products")) for _ in range(7)] == [4, 4, 0, 0, 0, 4, 4]
    shop.lies.begin(empty(), after=1)
    assert [len(ids(shop, "products")) for _ in range(3)] == [4, 0, 0]
    shop.lies.begin(GarbledLists("short"), after=1)
    assert [len(ids(shop, "products")) for _ in range(2)] == [0, 2]
