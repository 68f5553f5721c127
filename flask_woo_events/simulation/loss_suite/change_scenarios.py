"""Ordinary changes: forty acts after which 46 objects of a real store are not what they were."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from .harness import Rig, Setup
from .scenario import scenario

Act = cabc.Callable[[Rig], object]

_SIZES = [{"name": "Size", "options": ["a", "b", "c"], "variation": True}]


def _first(rig: Rig, kind: str) -> int:
    return rig.ids(kind)[0]


def _product(rig: Rig) -> int:
    """A simple product with stock."""
    body = {"name": "Mug", "regular_price": "10", "manage_stock": True, "stock_quantity": 50}
    number = int(rig.rest("POST", "products", **body)["id"])
    _quietly(rig)
    return number


def _order(rig: Rig, **more: t.Any) -> int:
    """A paid order of a product with stock, by a customer."""
    product, customer = _product(rig), _first(rig, "customers")
    lines = [{"product_id": product, "quantity": 2}]
    body = {"customer_id": customer, "status": "processing", "line_items": lines, **more}
    number = int(rig.rest("POST", "orders", **body)["id"])
    _quietly(rig)
    return number


def _variable(rig: Rig) -> int:
    body = {"name": "Shirt", "type": "variable", "attributes": _SIZES}
    number = int(rig.rest("POST", "products", **body)["id"])
    _quietly(rig)
    return number


def _variation(rig: Rig, product: int, price: str = "10") -> int:
    number = int(rig.rest("POST", f"products/{product}/variations", regular_price=price)["id"])
    _quietly(rig)
    return number


def _quietly(rig: Rig) -> None:
    """What was only prepared is told before the act."""
    rig.poll()


def _restored(rig: Rig, number: int) -> object:
    if rig.store.shop.version.hpos and rig.store.shop.tables["orders"].get(number):
        return rig.do(lambda: rig.acts.untrash_order(number))
    return rig.do(lambda: rig.acts.untrash_post(number))


def _with_product(what: cabc.Callable[[Rig, int], object]) -> Act:
    return lambda rig: what(rig, _product(rig))


def _with_order(what: cabc.Callable[[Rig, int], object]) -> Act:
    return lambda rig: what(rig, _order(rig))


def _with(kind: str, what: cabc.Callable[[Rig, int], object]) -> Act:
    return lambda rig: what(rig, _first(rig, kind))


def _trashed(rig: Rig, number: int) -> int:
    rig.do(lambda: rig.acts.trash_post(number))
    _quietly(rig)
    return number


def _refunded(rig: Rig) -> object:
    order = _order(rig)
    refund = int(rig.rest("POST", f"orders/{order}/refunds", amount="1.00")["id"])
    _quietly(rig)
    return rig.do(lambda: rig.acts.delete_refund(refund))


def _with_coupon(rig: Rig) -> object:
    product, coupon = _product(rig), _first(rig, "coupons")
    code = rig.store.truth("coupons")[coupon]["code"]
    return rig.do(lambda: rig.acts.place_order(_first(rig, "customers"), [product], [code]))


def _becomes_customer(rig: Rig) -> object:
    user = rig.do(lambda: rig.acts.new_user("subscriber"))
    _quietly(rig)
    return rig.do(lambda: rig.acts.role(user, "customer"))


def _variation_changed(rig: Rig) -> object:
    product = _variable(rig)
    variation = _variation(rig, product)
    path = f"products/{product}/variations/{variation}"
    return rig.rest("PUT", path, regular_price="12")


def _variation_deleted(rig: Rig) -> object:
    product = _variable(rig)
    _variation(rig, product, "9")
    variation = _variation(rig, product)
    return rig.do(lambda: rig.acts.delete_for_good("variations", variation))


#: The acts of the measurement on real stores, and the changes that each makes at least.
#: The simulator's stores differ in how much an order changes besides itself.
_ACTS: dict[str, tuple[int, Act]] = {
    "product created by REST": (1, lambda rig: rig.rest("POST", "products", name="New")),
    "product price by REST": (
        1, _with_product(lambda rig, one: rig.rest("PUT", f"products/{one}", regular_price="12")),
    ),
    "product title by wp_update_post": (
        1, _with_product(lambda rig, one: rig.do(lambda: rig.acts.post_update(one))),
    ),
    "product stock set on store side": (
        1, _with_product(lambda rig, one: rig.do(lambda: rig.acts.stock(one, 3))),
    ),
    "product price written to meta": (
        1, _with_product(lambda rig, one: rig.do(lambda: rig.acts.price_meta(one, "1.23"))),
    ),
    "product category assigned": (
        1, _with_product(lambda rig, one: rig.do(lambda: rig.acts.assign_category(one, "Mugs"))),
    ),
    "product reviewed": (
        1, _with_product(lambda rig, one: rig.do(lambda: rig.acts.review(one))),
    ),
    "product scheduled sale starts": (
        1, _with_product(lambda rig, one: rig.do(lambda: rig.acts.start_sale(one))),
    ),
    "customer created by REST": (
        1, lambda rig: rig.rest("POST", "customers", email="new@example.com", username="new"),
    ),
    "customer name by REST": (
        1, _with("customers", lambda rig, one: rig.rest(
            "PUT", f"customers/{one}", first_name="Changed")),
    ),
    "customer profile saved in admin": (
        1, _with("customers", lambda rig, one: rig.do(lambda: rig.acts.profile(one))),
    ),
    "customer meta written": (
        1, _with("customers", lambda rig, one: rig.do(lambda: rig.acts.usermeta(one))),
    ),
    "customer by checkout": (1, lambda rig: rig.do(lambda: rig.acts.new_customer("checkout"))),
    "subscriber registered": (0, lambda rig: rig.do(lambda: rig.acts.new_user("subscriber"))),
    "subscriber becomes customer": (1, _becomes_customer),
    "customer becomes subscriber": (
        1, _with("customers", lambda rig, one: rig.do(lambda: rig.acts.role(one, "subscriber"))),
    ),
    "coupon created by REST": (
        1, lambda rig: rig.rest("POST", "coupons", code="spring", amount="5"),
    ),
    "coupon amount by REST": (
        1, _with("coupons", lambda rig, one: rig.rest("PUT", f"coupons/{one}", amount="7")),
    ),
    "coupon description by REST": (
        1, _with("coupons", lambda rig, one: rig.rest(
            "PUT", f"coupons/{one}", description="new words")),
    ),
    "order created by REST (stock falls)": (
        2, _with_product(lambda rig, one: rig.rest(
            "POST", "orders", status="processing", customer_id=_first(rig, "customers"),
            line_items=[{"product_id": one, "quantity": 1}])),
    ),
    "order with coupon (usage counted)": (3, _with_coupon),
    "order status on store side": (
        1, _with_order(lambda rig, one: rig.do(lambda: rig.acts.status(one, "completed"))),
    ),
    "order meta on store side": (
        1, _with_order(lambda rig, one: rig.do(lambda: rig.acts.order_meta(one))),
    ),
    "order note on store side": (
        0, _with_order(lambda rig, one: rig.do(lambda: rig.acts.note(one))),
    ),
    "order refunded by REST": (
        1, _with_order(lambda rig, one: rig.rest("POST", f"orders/{one}/refunds", amount="1.00")),
    ),
    "refund deleted": (1, _refunded),
    "order trashed by REST": (
        1, _with_order(lambda rig, one: rig.rest("DELETE", f"orders/{one}")),
    ),
    "order restored in admin": (
        1, _with_order(lambda rig, one: _restored(rig, _trashed(rig, one))),
    ),
    "order deleted for good": (
        1, _with_order(lambda rig, one: rig.rest("DELETE", f"orders/{one}", force=True)),
    ),
    "product trashed": (
        1, _with_product(lambda rig, one: rig.rest("DELETE", f"products/{one}")),
    ),
    "product restored": (
        1, _with_product(lambda rig, one: _restored(rig, _trashed(rig, one))),
    ),
    "product deleted for good": (
        1, _with_product(lambda rig, one: rig.rest("DELETE", f"products/{one}", force=True)),
    ),
    "coupon trashed": (
        1, _with("coupons", lambda rig, one: rig.rest("DELETE", f"coupons/{one}")),
    ),
    "coupon restored": (
        1, _with("coupons", lambda rig, one: _restored(rig, _trashed(rig, one))),
    ),
    "coupon deleted for good": (
        1, _with("coupons", lambda rig, one: rig.rest("DELETE", f"coupons/{one}", force=True)),
    ),
    "customer deleted": (
        1, _with("customers", lambda rig, one: rig.rest("DELETE", f"customers/{one}", force=True)),
    ),
    "variable product created": (
        1, lambda rig: rig.rest(
            "POST", "products", name="Shirt", type="variable", attributes=_SIZES),
    ),
    "variation added": (
        2, lambda rig: rig.rest(
            "POST", f"products/{_variable(rig)}/variations", regular_price="10"),
    ),
    "variation price by REST": (1, _variation_changed),
    "variation deleted": (1, _variation_deleted),
}  # fmt: skip


def _register(name: str, changes: int, act: Act) -> None:
    @scenario(name, "One ordinary act, then one poll.", setup=Setup(page_size=100), changes=changes)
    def play(rig: Rig) -> None:
        act(rig)
        rig.poll()
        # Small collections are read whole: nothing has to wait for its turn.
        assert rig.judge.agrees(rig.truth()), "not all of it at the next poll"


for _name, (_changes, _act) in _ACTS.items():
    _register(_name, _changes, _act)
