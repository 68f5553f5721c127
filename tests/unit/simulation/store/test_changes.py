"""Changes of the simulated store: what they do to dates and to other objects."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import pytest

from flask_woo_events.simulation.store import VERSIONS, SimulatedStore

from .conftest import MakeStore, ask, ids

Act = cabc.Callable[[SimulatedStore, dict[str, int]], t.Any]


def furnish(store: SimulatedStore) -> dict[str, int]:
    """One object of each kind, made a minute ago."""
    acts = store.acts
    body = {"name": "Mug", "regular_price": "9.90", "manage_stock": True, "stock_quantity": 10}
    made = {
        "products": int((ask(store, "products", method="POST", body=body).json or {})["id"]),
        "coupons": acts.new_coupon("ten", "1"),
        "customers": acts.new_customer("ann"),
    }
    made["orders"] = acts.place_order(made["customers"], [made["products"]], ["ten"])
    store.clock.advance(60)
    return made


def put(kind: str, **body: object) -> Act:
    """A change by REST."""
    return lambda store, made: ask(store, f"{kind}/{made[kind]}", method="PUT", body=body)


def refund(store: SimulatedStore, made: dict[str, int]) -> None:
    """Refund a part of the order."""
    path = f"orders/{made['orders']}/refunds"
    assert ask(store, path, method="POST", body={"amount": "1"}).status_code == 201


#: Act, kind of the object that changes, versions in which its date moves.
DATES: list[tuple[str, Act, str, str]] = [
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
@pytest.mark.parametrize(("act", "kind", "when"), [case[1:] for case in DATES],
                         ids=[case[0] for case in DATES])  # fmt: skip
def test_object_changes_but_perhaps_not_its_date(
    make_store: MakeStore, version: str, act: Act, kind: str, when: str
) -> None:
    """Each act changes the object; whether the date moves depends on act and version."""
    store = make_store(version)
    made = furnish(store)
    before = store.truth(kind)[made[kind]]
    act(store, made)
    after = store.truth(kind)[made[kind]]
    known = store.shop.version
    moves = {"all": True, "none": False, "hpos": known.hpos, "from 8": known.major >= 8}[when]
    assert after != before
    assert (after["date_modified_gmt"] != before["date_modified_gmt"]) is moves


def test_order_touches_product_coupon_and_customer(store: SimulatedStore) -> None:
    """An order takes stock, counts the use of its coupon, and its customer has paid."""
    made = furnish(store)
    product = store.truth("products")[made["products"]]
    assert (product["stock_quantity"], product["total_sales"]) == (9, 1)
    assert store.truth("coupons")[made["coupons"]]["usage_count"] == 1
    assert store.truth("customers")[made["customers"]]["is_paying_customer"] is True


@pytest.mark.parametrize(("version", "sales"), [("7.0", 1), ("8.0", 0), ("11.0", 0)])
def test_trashed_order_counts_sales_back(make_store: MakeStore, version: str, sales: int) -> None:
    """Since version 8 a trashed order is no sale; the stock stays taken."""
    store = make_store(version)
    made = furnish(store)
    store.acts.trash_post(made["orders"])
    product = store.truth("products")[made["products"]]
    assert (product["total_sales"], product["stock_quantity"]) == (sales, 9)


def test_deleted_refund_changes_the_order_silently(store: SimulatedStore) -> None:
    """The refund leaves its order, whose date stays."""
    made = furnish(store)
    refund(store, made)
    store.clock.advance(60)
    before = store.truth("orders")[made["orders"]]
    store.acts.delete_refund(before["refunds"][0]["id"])
    after = store.truth("orders")[made["orders"]]
    assert after["refunds"] == []
    assert after["date_modified_gmt"] == before["date_modified_gmt"]


def test_last_order_of_a_customer(store: SimulatedStore) -> None:
    """Who has no order any more is no paying customer."""
    made = furnish(store)
    store.acts.delete_for_good("orders", made["orders"])
    assert store.truth("customers")[made["customers"]]["is_paying_customer"] is False


def test_role_takes_a_user_out_of_the_customers(store: SimulatedStore) -> None:
    """A customer who loses the role is gone from the list and can still be read."""
    made = furnish(store)
    store.acts.role(made["customers"], "subscriber")
    assert ids(store, "customers") == []
    assert ask(store, f"customers/{made['customers']}").status_code == 200


def test_trashed_coupon_of_an_old_version_looks_alive(make_store: MakeStore) -> None:
    """In 5.9 only the list tells that a coupon is in the trash."""
    store = make_store("5.9")
    made = furnish(store)
    store.acts.trash_post(made["coupons"])
    assert ids(store, "coupons", status="trash") == []
    answer = ask(store, f"coupons/{made['coupons']}")
    assert answer.status_code == 200
    assert "status" not in (answer.json or {})


@pytest.mark.parametrize("kind", ["orders", "products", "coupons"])
def test_status_brings_back_from_the_trash(store: SimulatedStore, kind: str) -> None:
    """Writing a status restores by REST."""
    made = furnish(store)
    ask(store, f"{kind}/{made[kind]}", method="DELETE")
    assert made[kind] not in store.truth(kind)
    status = "processing" if kind == "orders" else "publish"
    ask(store, f"{kind}/{made[kind]}", method="PUT", body={"status": status})
    assert store.truth(kind)[made[kind]]["status"] == status


@pytest.mark.parametrize(("version", "status"), [("8.0", 200), ("9.4", 410)])
def test_trashing_twice(make_store: MakeStore, version: str, status: int) -> None:
    """New versions refuse to trash what is in the trash."""
    store = make_store(version)
    path = f"orders/{furnish(store)['orders']}"
    assert ask(store, path, method="DELETE").status_code == 200
    assert ask(store, path, method="DELETE").status_code == status


def test_batch_answers_each_entry(store: SimulatedStore) -> None:
    """Entries succeed and fail on their own, and deletions pass over the trash."""
    made = furnish(store)
    body = {
        "create": [{"code": "a"}, {}],
        "update": [{"id": 9999, "amount": "1"}],
        "delete": [made["coupons"]],
    }
    answer = (ask(store, "coupons/batch", method="POST", body=body).json) or {}
    assert answer["create"][0]["code"] == "a"
    assert answer["create"][1]["error"]["code"] == "rest_missing_callback_param"
    assert answer["update"][0]["error"]["data"]["status"] == 400
    assert store.shop.tables["coupons"].get(made["coupons"]) is None


def test_batch_is_limited(store: SimulatedStore) -> None:
    """More than a hundred entries are refused."""
    body = {"delete": list(range(101))}
    assert ask(store, "orders/batch", method="POST", body=body).status_code == 413


def test_backup_takes_everything_back(store: SimulatedStore) -> None:
    """A backup that is played in undoes later changes, and ids come again."""
    made = furnish(store)
    backup = store.acts.snapshot()
    before = store.truth("orders")
    newer = store.acts.place_order(made["customers"], [made["products"]])
    store.acts.status(made["orders"], "completed")
    store.acts.restore_backup(backup)
    assert store.truth("orders") == before
    assert store.acts.place_order(made["customers"], [made["products"]]) == newer


def test_late_commit_has_an_older_date(store: SimulatedStore) -> None:
    """A change may become visible with a date that readers have passed already."""
    made = furnish(store)
    store.acts.late_commit("products", made["products"], 30, name="Late")
    product = store.truth("products")[made["products"]]
    assert (product["name"], product["date_modified_gmt"]) == ("Late", "2026-11-23T12:00:30")
