"""What is odd about one object costs the other objects no events."""

from __future__ import annotations

import datetime as dt

import pytest

from flask_woo_events.simulation.store.versions import VERSIONS, Version
from tests.integration.belief.conftest import Connect

NAMES = {
    "orders": "orders", "products": "products", "discounts": "coupons", "customers": "customers"
}  # fmt: skip


@pytest.mark.parametrize("mode", ["polling", "journal", "webhook"])
@pytest.mark.parametrize("resource", NAMES)
def test_hidden_object(connect: Connect, mode: str, resource: str) -> None:
    """An object that only its own address shows stops neither its resource nor the others."""
    kind = NAMES[resource]
    env = connect(resources=(resource,), journal=mode == "journal", counts=(12, 8, 6, 8))
    odd, edited, gone, last = env.ids(kind)[:4]
    with env.hidden(kind, odd):
        env.edit(kind, odd)
        for number, change in ((edited, "UPDATED"), (gone, "DELETED"), (last, "UPDATED")):
            if change == "DELETED":
                env.acts.delete_for_good(kind, number)
            else:
                env.edit(kind, number)
            env.pass_time(1)
            if mode == "webhook":
                topic = kind.removesuffix("s")
                env.receive_webhooks(f"{topic}.updated", resource, odd)
                env.receive_webhooks(f"{topic}.{change.lower()}", resource, number)
                events = env.process_webhooks()
            else:
                events = env.poll()
            sent = [one for one in events if one[0] == resource and one[1] != str(odd)]
            assert sent == [(resource, str(number), change)]
    env.converge()


@pytest.mark.parametrize("mode", ["polling", "journal", "webhook"])
def test_order_status_that_vanishes(connect: Connect, mode: str) -> None:
    """The poll after an extension with an order status was switched off sends all changes."""
    env = connect(journal=mode == "journal")
    hidden, edited = env.ids("orders")[:2]
    with env.order_status("packed"):
        env.pass_time(61)
        env.acts.status(hidden, "packed")
        assert ("orders", str(hidden), "UPDATED") in env.poll()
    env.edit("orders", edited)
    if mode == "webhook":
        env.receive_webhooks("order.updated", "orders", edited)
        events = env.process_webhooks()
    else:
        events = env.poll()
    assert events == [("orders", str(edited), "UPDATED")] and env.errors == {}
    env.acts.status(hidden, "completed")
    env.converge()


@pytest.mark.parametrize("mode", ["polling", "journal", "webhook"])
def test_new_order_status(connect: Connect, mode: str) -> None:
    """Many orders that get the status of a new extension are UPDATED, and wait for nothing."""
    env = connect(journal=mode == "journal", counts=(40, 6, 3, 5))
    orders = env.ids("orders")[:30]
    with env.order_status("packed"):
        env.pass_time(1)
        for number in orders:
            env.acts.status(number, "packed")
        if mode == "webhook":
            env.receive_webhooks("order.updated", "orders", *orders)
            events = env.process_webhooks()
        else:
            events = env.poll()
        assert env.errors == {}
        assert [one for one in events if one[0] == "orders"] == [
            ("orders", str(number), "UPDATED") for number in orders
        ]
        env.converge()


@pytest.mark.parametrize("query", ["dp=2", "lang=en", "context=edit"])
def test_list_leaves_out_an_order_once(connect: Connect, query: str) -> None:
    """An order that a list left out once is not DELETED, whatever the ``url`` asks for."""
    env = connect(resources={"orders": f"/hubs/ecommerce/orders?{query}"}, counts=(12, 6, 0, 5))
    with env.hidden("orders", env.ids("orders")[4]):
        assert env.poll() == []
    assert env.poll() == []


def test_read_that_is_older_than_a_webhook(connect: Connect) -> None:
    """A replica that lags behind does not send an old version between two new ones."""
    env = connect(counts=(12, 8, 3, 5))
    product, old = env.ids("products")[0], env.copy()
    env.pass_time(1)
    env.rest("PUT", f"products/{product}", name="New")
    env.receive_webhooks("product.updated", "products", product)
    assert env.process_webhooks() == [("products", str(product), "UPDATED")]
    env.pass_time(1 / 12)
    env.receive_webhooks("product.updated", "products", product)
    with env.answered_by(old):
        assert env.process_webhooks() == []
    env.pass_time(1 / 12)
    assert env.process_webhooks() == []
    assert env.polls(2) == []


def test_answers_of_a_cache(connect: Connect) -> None:
    """A cache that says the age of its answers does not take changes back."""
    env = connect(counts=(12, 8, 3, 5))
    cached, product = env.copy(), env.ids("products")[0]
    env.pass_time(60)
    env.acts.post_update(product, "New")
    new = env.acts.new_customer("eve")
    assert sorted(env.poll()) == [
        ("customers", str(new), "CREATED"), ("products", str(product), "UPDATED"),
    ]  # fmt: skip
    env.address.headers["Age"] = "4500"
    with env.answered_by(cached):
        assert env.polls(2) == []
    env.address.headers.clear()
    assert env.polls(2) == []


def test_caches_see_no_request_twice(connect: Connect) -> None:
    """Each poll sends requests that no cache has answered before."""
    env = connect()
    env.store.requests.clear()
    env.polls(2)
    requests = [(one.path, tuple(sorted(one.params.items()))) for one in env.store.requests]
    assert len(requests) == len(set(requests))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_reused_ids(connect: Connect, number: int) -> None:
    """New customers with the ids of deleted ones are sent, and hide no other change."""
    env = connect()
    env.pass_time(5)
    customers, coupon = env.ids("customers")[-number:], env.ids("coupons")[0]
    for customer in customers:
        env.acts.delete_for_good("customers", customer)
    env.store.shop.counters["users"] -= number
    assert [env.acts.new_customer(f"new{one}") for one in range(number)] == customers
    env.acts.delete_for_good("coupons", coupon)
    expected = [("discounts", str(coupon), "DELETED")]
    for customer in customers:
        expected += [("customers", str(customer), kind) for kind in ("DELETED", "CREATED")]
    events = env.converge()
    assert sorted(events) == sorted(expected)
    for customer in customers:
        kinds = [one[2] for one in events if one[:2] == ("customers", str(customer))]
        assert kinds == ["DELETED", "CREATED"]


@pytest.mark.parametrize("mode", ["polling", "journal"])
def test_customer_without_a_role(connect: Connect, mode: str) -> None:
    """A user without any role is DELETED, although its own address shows ``customer``."""
    env = connect(resources=("customers", "orders"), journal=mode == "journal")
    customer, other = env.ids("customers")[:2]
    env.acts.role(customer, "")
    env.edit("customers", other)
    sent = [one for one in env.polls(2, 240) if one[0] == "customers"]
    assert sorted(sent) == sorted(
        [("customers", str(customer), "DELETED"), ("customers", str(other), "UPDATED")]
    )
    env.acts.role(customer, "customer")
    sent = [one for one in env.polls(2, 240) if one[0] == "customers"]
    assert sent == [("customers", str(customer), "CREATED")]


def test_a_status_is_switched_off(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first poll after the plugin of an order status is switched off does not fail."""
    with monkeypatch.context() as plugin:
        known = VERSIONS["5.9"].order_statuses
        plugin.setattr(Version, "order_statuses", (*known, "checkout-draft"))
        env = connect(resources=("orders", "refunds"), version="5.9")
    env.edit("orders", env.ids("orders")[0])
    assert len(env.poll()) == 1
    assert env.errors == {}
    env.converge()


@pytest.mark.parametrize("year", [1, 2, 1000, 1969, 2038, 9998, 9999])
@pytest.mark.parametrize("at_first", [True, False], ids=["baseline", "later"])
def test_dates_at_the_ends_of_the_calendar(connect: Connect, year: int, at_first: bool) -> None:
    """An object with such a date stops no resource, and all later changes arrive."""
    env = connect(resources=("orders", "products"), counts=(12, 6, 0, 0), baseline=not at_first)
    first, *_, last = env.ids("orders")
    date = dt.datetime(year, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
    env.write("orders", first, modified=int(date.timestamp()))
    if at_first:
        # A date after the begin of the baseline counts as a change during it.
        env.known = {("orders", str(first)): b"before"}
        env.polls(2)
        env.known = env.truth()
    env.polls(2)
    assert not env.errors
    env.edit("orders", last)
    env.write("orders", first, customer_note="changed")
    env.polls(4)
    assert not env.errors
    assert env.known == env.truth()


def test_reviews_of_a_renamed_product(connect: Connect) -> None:
    """The journal names the reviews of a product that gets another name or address."""
    env = connect(resources=("products", "products-reviews"), journal=True)
    product, other = env.ids("products")[:2]
    reviews = [env.acts.review(number) for number in (product, product, other)]
    env.polls(3)
    for change in ({"name": "Renamed"}, {"slug": "moved"}):
        env.pass_time(1)
        env.rest("PUT", f"products/{product}", **change)
        events = [one for one in env.poll() if one[0] == "products-reviews"]
        assert events == [("products-reviews", str(one), "UPDATED") for one in reviews[:2]]
    assert env.polls(2) == []


def test_sale_of_a_grouped_product(connect: Connect) -> None:
    """The journal names the grouped products of one whose sale begins or ends."""
    env = connect(resources=("products",), journal=True)
    product, other = env.ids("products")[:2]
    body = {"name": "Set", "type": "grouped", "grouped_products": [product]}
    grouped = env.rest("POST", "products", **body)["id"]
    env.rest("PUT", f"products/{other}", sale_price="1.00")
    env.polls(3)
    for price in ("1.00", ""):
        env.pass_time(1)
        env.rest("PUT", f"products/{product}", sale_price=price)
        changed = [("products", str(one), "UPDATED") for one in (product, grouped)]
        assert sorted(env.poll()) == sorted(changed)
        assert env.rest("GET", f"products/{grouped}")["on_sale"] is bool(price)
    assert env.polls(2) == []


METAS = [{"key": name, "value": name} for name in ("a", "b", "c")]


@pytest.mark.parametrize("source", ["polling", "webhook"])
def test_metadata_without_an_order(connect: Connect, source: str) -> None:
    """An order and an item with three metas are sent once for each change, whatever their order."""
    env = connect(resources=("orders",))
    line = {"product_id": env.ids("products")[0], "quantity": 1, "meta_data": METAS}
    order = env.rest("POST", "orders", line_items=[line], meta_data=METAS)["id"]
    read = [env.store.routes.orders.encoded(env.row("orders", order)) for _ in range(4)]
    assert len(set(read)) > 1
    changes = (
        ("CREATED", lambda: None),
        ("UPDATED", lambda: env.edit("orders", order)),
        ("UPDATED", lambda: env.acts.status(order, "completed")),
    )
    for kind, change in changes:
        change()
        if source == "webhook":
            env.receive_webhooks("order.updated", "orders", order)
            events = env.process_webhooks()
        else:
            events = env.poll(0.1)
        assert events == [("orders", str(order), kind)]
        assert env.polls(5, 0.05) == []
        assert env.polls(2) == []


def test_metadata_of_a_placed_draft(connect: Connect) -> None:
    """An order of the block checkout with three metas is CREATED, and then nothing."""
    env = connect(resources=("orders",))
    draft = env.store.checkout.draft([env.ids("products")[0]])
    for entry in METAS:
        env.acts.order_meta(draft, entry["key"], entry["value"])
    assert env.poll() == []
    env.store.checkout.place(draft)
    assert env.poll(0.1) == [("orders", str(draft), "CREATED")]
    assert env.polls(4, 0.05) == []
    assert env.polls(2) == []
