"""Changes of the simulated store: their effects on dates and on other objects."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import pytest

from flask_woo_events.simulation.store import VERSIONS, SimulatedStore

from .conftest import MakeStore, ask, ids

Action = cabc.Callable[[SimulatedStore, dict[str, int]], t.Any]


def create_objects(store: SimulatedStore) -> dict[str, int]:
    """Create one object of each kind, a minute ago, and return their ids."""
    acts = store.acts
    body = {"name": "Mug", "regular_price": "9.90", "manage_stock": True, "stock_quantity": 10}
    created = {
        "products": int((ask(store, "products", method="POST", body=body).json or {})["id"]),
        "coupons": acts.new_coupon("ten", "1"),
        "customers": acts.new_customer("ann"),
    }
    created["orders"] = acts.place_order(created["customers"], [created["products"]], ["ten"])
    store.clock.advance(60)
    return created


def put(kind: str, **body: object) -> Action:
    """Return a change by REST."""
    return lambda store, created: ask(store, f"{kind}/{created[kind]}", method="PUT", body=body)


def refund(store: SimulatedStore, created: dict[str, int]) -> None:
    """Refund a part of the order."""
    path = f"orders/{created['orders']}/refunds"
    assert ask(store, path, method="POST", body={"amount": "1"}).status_code == 201


#: Name, action, kind of the changed object, and versions in which its date moves.
DATES: list[tuple[str, Action, str, str]] = [
    ("price by REST", put("products", regular_price="11"), "products", "all"),
    ("price in meta", lambda s, m: s.acts.price_meta(m["products"], "5"), "products", "none"),
    ("title of the post", lambda s, m: s.acts.post_update(m["products"]), "products", "all"),
    ("stock", lambda s, m: s.acts.stock(m["products"], 3), "products", "all"),
    ("category", lambda s, m: s.acts.assign_category(m["products"], "New"), "products", "none"),
    ("review", lambda s, m: s.acts.review(m["products"]), "products", "all"),
    ("sale starts", lambda s, m: s.acts.start_sale(m["products"], "5"), "products", "all"),
    ("coupon amount", put("coupons", amount="15"), "coupons", "none"),
    ("coupon limit", put("coupons", usage_limit=5), "coupons", "none"),
    ("coupon description", put("coupons", description="x"), "coupons", "all"),
    ("coupon use", lambda s, m: s.acts.coupon_use(m["coupons"]), "coupons", "none"),
    ("billing", put("orders", billing={"city": "Rome"}), "orders", "hpos"),
    ("customer's note", put("orders", customer_note="x"), "orders", "all"),
    ("order status", lambda s, m: s.acts.status(m["orders"], "completed"), "orders", "all"),
    ("order meta", lambda s, m: s.acts.order_meta(m["orders"]), "orders", "hpos"),
    ("refund", refund, "orders", "from 8"),
    ("customer's name", put("customers", first_name="Anna"), "customers", "all"),
    ("user meta", lambda s, m: s.acts.usermeta(m["customers"]), "customers", "none"),
    (
        "direct SQL",
        lambda s, m: s.acts.sql_update("products", m["products"], name="x"),
        "products",
        "none",
    ),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("action", "kind", "when"), [case[1:] for case in DATES],
                         ids=[case[0] for case in DATES])  # fmt: skip
def test_object_changes_but_perhaps_not_its_date(
    make_store: MakeStore, version: str, action: Action, kind: str, when: str
) -> None:
    """Each action changes the object; action and version decide whether its date moves."""
    store = make_store(version)
    created = create_objects(store)
    before = store.truth(kind)[created[kind]]
    action(store, created)
    after = store.truth(kind)[created[kind]]
    known = store.shop.version
    moves = {"all": True, "none": False, "hpos": known.hpos, "from 8": known.major >= 8}[when]
    assert after != before
    assert (after["date_modified_gmt"] != before["date_modified_gmt"]) is moves


def test_order_touches_product_coupon_and_customer(store: SimulatedStore) -> None:
    """An order reduces stock, counts the use of its coupon and marks its customer as paying."""
    created = create_objects(store)
    product = store.truth("products")[created["products"]]
    assert (product["stock_quantity"], product["total_sales"]) == (9, 1)
    assert store.truth("coupons")[created["coupons"]]["usage_count"] == 1
    assert store.truth("customers")[created["customers"]]["is_paying_customer"] is True


@pytest.mark.parametrize(("version", "sales"), [("7.0", 1), ("8.0", 0), ("11.0", 0)])
def test_trashed_order_counts_sales_back(make_store: MakeStore, version: str, sales: int) -> None:
    """Since version 8, a trashed order is no sale; the stock stays reduced."""
    store = make_store(version)
    created = create_objects(store)
    store.acts.trash_post(created["orders"])
    product = store.truth("products")[created["products"]]
    assert (product["total_sales"], product["stock_quantity"]) == (sales, 9)


def test_deleted_refund_changes_the_order_silently(store: SimulatedStore) -> None:
    """A deleted refund disappears from its order, whose modified date stays."""
    created = create_objects(store)
    refund(store, created)
    store.clock.advance(60)
    before = store.truth("orders")[created["orders"]]
    store.acts.delete_refund(before["refunds"][0]["id"])
    after = store.truth("orders")[created["orders"]]
    assert after["refunds"] == []
    assert after["date_modified_gmt"] == before["date_modified_gmt"]


def test_last_order_of_a_customer(store: SimulatedStore) -> None:
    """A customer without orders is no longer a paying customer."""
    created = create_objects(store)
    store.acts.delete_for_good("orders", created["orders"])
    assert store.truth("customers")[created["customers"]]["is_paying_customer"] is False


def test_role_takes_a_user_out_of_the_customers(store: SimulatedStore) -> None:
    """A customer without the role is not listed, but can still be read."""
    created = create_objects(store)
    store.acts.role(created["customers"], "subscriber")
    assert ids(store, "customers") == []
    assert ask(store, f"customers/{created['customers']}").status_code == 200


def test_trashed_coupon_of_an_old_version_looks_alive(make_store: MakeStore) -> None:
    """In 5.9, only the list shows that a coupon is in the trash."""
    store = make_store("5.9")
    created = create_objects(store)
    store.acts.trash_post(created["coupons"])
    assert ids(store, "coupons", status="trash") == []
    answer = ask(store, f"coupons/{created['coupons']}")
    assert answer.status_code == 200
    assert "status" not in (answer.json or {})


@pytest.mark.parametrize("kind", ["orders", "products", "coupons"])
def test_status_brings_back_from_the_trash(store: SimulatedStore, kind: str) -> None:
    """Writing a status by REST restores a trashed object."""
    created = create_objects(store)
    ask(store, f"{kind}/{created[kind]}", method="DELETE")
    assert created[kind] not in store.truth(kind)
    status = "processing" if kind == "orders" else "publish"
    ask(store, f"{kind}/{created[kind]}", method="PUT", body={"status": status})
    assert store.truth(kind)[created[kind]]["status"] == status


@pytest.mark.parametrize(("version", "status"), [("8.0", 200), ("9.4", 410)])
def test_trashing_twice(make_store: MakeStore, version: str, status: int) -> None:
    """New versions refuse to trash a trashed object."""
    store = make_store(version)
    path = f"orders/{create_objects(store)['orders']}"
    assert ask(store, path, method="DELETE").status_code == 200
    assert ask(store, path, method="DELETE").status_code == status


def test_batch_answers_each_entry(store: SimulatedStore) -> None:
    """Entries succeed or fail separately, and deletions are permanent."""
    created = create_objects(store)
    body = {
        "create": [{"code": "a"}, {}],
        "update": [{"id": 9999, "amount": "1"}],
        "delete": [created["coupons"]],
    }
    answer = (ask(store, "coupons/batch", method="POST", body=body).json) or {}
    assert answer["create"][0]["code"] == "a"
    assert answer["create"][1]["error"]["code"] == "rest_missing_callback_param"
    assert answer["update"][0]["error"]["data"]["status"] == 400
    assert store.shop.tables["coupons"].get(created["coupons"]) is None


def test_batch_is_limited(store: SimulatedStore) -> None:
    """More than a hundred entries are refused."""
    body = {"delete": list(range(101))}
    assert ask(store, "orders/batch", method="POST", body=body).status_code == 413


def test_backup_takes_everything_back(store: SimulatedStore) -> None:
    """A restored backup undoes later changes, and ids are used again."""
    created = create_objects(store)
    backup = store.acts.snapshot()
    before = store.truth("orders")
    newer = store.acts.place_order(created["customers"], [created["products"]])
    store.acts.status(created["orders"], "completed")
    store.acts.restore_backup(backup)
    assert store.truth("orders") == before
    assert store.acts.place_order(created["customers"], [created["products"]]) == newer


def test_late_commit_has_an_older_date(store: SimulatedStore) -> None:
    """A change can become visible with a date that readers have already passed."""
    created = create_objects(store)
    store.acts.late_commit("products", created["products"], 30, name="Late")
    product = store.truth("products")[created["products"]]
    assert (product["name"], product["date_modified_gmt"]) == ("Late", "2026-11-23T12:00:30")
