"""Ordinary changes: forty actions that change 46 objects of a real store."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from .harness import Environment, Setup
from .scenario import scenario

Action = cabc.Callable[[Environment], object]
#: An action on the object of this id.
IdAction = cabc.Callable[[Environment, int], object]

_SIZES = [{"name": "Size", "options": ["a", "b", "c"], "variation": True}]


def _first(env: Environment, kind: str) -> int:
    return env.ids(kind)[0]


def _product(env: Environment) -> int:
    """Create a simple product with stock, and return its id."""
    body = {"name": "Mug", "regular_price": "10", "manage_stock": True, "stock_quantity": 50}
    number = int(env.rest("POST", "products", **body)["id"])
    env.poll()
    return number


def _order(env: Environment) -> int:
    """Create a paid order of a customer for a product with stock, and return its id."""
    lines = [{"product_id": _product(env), "quantity": 2}]
    body = {"customer_id": _first(env, "customers"), "status": "processing", "line_items": lines}
    number = int(env.rest("POST", "orders", **body)["id"])
    env.poll()
    return number


def _variable(env: Environment) -> int:
    body = {"name": "Shirt", "type": "variable", "attributes": _SIZES}
    number = int(env.rest("POST", "products", **body)["id"])
    env.poll()
    return number


def _variation(env: Environment, product: int, price: str = "10") -> int:
    number = int(env.rest("POST", f"products/{product}/variations", regular_price=price)["id"])
    env.poll()
    return number


def _by_rest(method: str, path: str, **body: t.Any) -> IdAction:
    """Return a call of the REST API; ``{}`` in the path is the id."""
    return lambda env, number: env.rest(method, path.format(number), **body)


def _in_store(act: str, *arguments: t.Any) -> IdAction:
    """Return a change on the store's side, by the name of its method."""
    return lambda env, number: env.do(lambda: getattr(env.acts, act)(number, *arguments))


def _trash_and_restore(env: Environment, number: int) -> object:
    env.do(lambda: env.acts.trash_post(number))
    env.poll()
    if env.store.shop.version.hpos and env.store.shop.tables["orders"].get(number):
        return env.do(lambda: env.acts.untrash_order(number))
    return env.do(lambda: env.acts.untrash_post(number))


def _with_product(action: IdAction) -> Action:
    return lambda env: action(env, _product(env))


def _with_order(action: IdAction) -> Action:
    return lambda env: action(env, _order(env))


def _with(kind: str, action: IdAction) -> Action:
    return lambda env: action(env, _first(env, kind))


def _create_order(env: Environment, product: int) -> object:
    lines = [{"product_id": product, "quantity": 1}]
    customer = _first(env, "customers")
    return env.rest("POST", "orders", status="processing", customer_id=customer, line_items=lines)


def _delete_refund(env: Environment, order: int) -> object:
    refund = int(env.rest("POST", f"orders/{order}/refunds", amount="1.00")["id"])
    env.poll()
    return env.do(lambda: env.acts.delete_refund(refund))


def _order_with_coupon(env: Environment, product: int) -> object:
    code = env.store.truth("coupons")[_first(env, "coupons")]["code"]
    return env.do(lambda: env.acts.place_order(_first(env, "customers"), [product], [code]))


def _make_customer(env: Environment) -> object:
    user = env.do(lambda: env.acts.new_user("subscriber"))
    env.poll()
    return env.do(lambda: env.acts.role(user, "customer"))


def _change_variation(env: Environment) -> object:
    product = _variable(env)
    path = f"products/{product}/variations/{_variation(env, product)}"
    return env.rest("PUT", path, regular_price="12")


def _delete_variation(env: Environment) -> object:
    product = _variable(env)
    _variation(env, product, "9")
    variation = _variation(env, product)
    return env.do(lambda: env.acts.delete_for_good("variations", variation))


#: The actions that were measured on real stores, and the minimum number of changes of each.
#: WooCommerce versions differ in what else an order changes.
ACTIONS: dict[str, tuple[int, Action]] = {
    "product created by REST": (1, lambda env: env.rest("POST", "products", name="New")),
    "product price changed by REST": (
        1, _with_product(_by_rest("PUT", "products/{}", regular_price="12")),
    ),
    "product title changed by wp_update_post": (1, _with_product(_in_store("post_update"))),
    "product stock set in the store": (1, _with_product(_in_store("stock", 3))),
    "product price written to meta": (1, _with_product(_in_store("price_meta", "1.23"))),
    "product category assigned": (1, _with_product(_in_store("assign_category", "Mugs"))),
    "product reviewed": (1, _with_product(_in_store("review"))),
    "product scheduled sale starts": (1, _with_product(_in_store("start_sale"))),
    "customer created by REST": (
        1, lambda env: env.rest("POST", "customers", email="new@example.com", username="new"),
    ),
    "customer name changed by REST": (
        1, _with("customers", _by_rest("PUT", "customers/{}", first_name="Changed")),
    ),
    "customer profile saved in admin": (1, _with("customers", _in_store("profile"))),
    "customer meta written": (1, _with("customers", _in_store("usermeta"))),
    "customer created at checkout": (
        1, lambda env: env.do(lambda: env.acts.new_customer("checkout")),
    ),
    "subscriber registered": (0, lambda env: env.do(lambda: env.acts.new_user("subscriber"))),
    "subscriber becomes customer": (1, _make_customer),
    "customer becomes subscriber": (1, _with("customers", _in_store("role", "subscriber"))),
    "coupon created by REST": (
        1, lambda env: env.rest("POST", "coupons", code="spring", amount="5"),
    ),
    "coupon amount changed by REST": (
        1, _with("coupons", _by_rest("PUT", "coupons/{}", amount="7")),
    ),
    "coupon description changed by REST": (
        1, _with("coupons", _by_rest("PUT", "coupons/{}", description="new words")),
    ),
    "order created by REST (stock falls)": (2, _with_product(_create_order)),
    "order with coupon (usage counted)": (3, _with_product(_order_with_coupon)),
    "order status changed in the store": (1, _with_order(_in_store("status", "completed"))),
    "order meta written in the store": (1, _with_order(_in_store("order_meta"))),
    "order note added in the store": (0, _with_order(_in_store("note"))),
    "order refunded by REST": (
        1, _with_order(_by_rest("POST", "orders/{}/refunds", amount="1.00")),
    ),
    "refund deleted": (1, _with_order(_delete_refund)),
    "order trashed by REST": (1, _with_order(_by_rest("DELETE", "orders/{}"))),
    "order restored in admin": (1, _with_order(_trash_and_restore)),
    "order deleted permanently": (1, _with_order(_by_rest("DELETE", "orders/{}", force=True))),
    "product trashed": (1, _with_product(_by_rest("DELETE", "products/{}"))),
    "product restored": (1, _with_product(_trash_and_restore)),
    "product deleted permanently": (
        1, _with_product(_by_rest("DELETE", "products/{}", force=True)),
    ),
    "coupon trashed": (1, _with("coupons", _by_rest("DELETE", "coupons/{}"))),
    "coupon restored": (1, _with("coupons", _trash_and_restore)),
    "coupon deleted permanently": (
        1, _with("coupons", _by_rest("DELETE", "coupons/{}", force=True)),
    ),
    "customer deleted": (1, _with("customers", _by_rest("DELETE", "customers/{}", force=True))),
    "variable product created": (
        1, lambda env: env.rest(
            "POST", "products", name="Shirt", type="variable", attributes=_SIZES),
    ),
    "variation added": (
        2, lambda env: env.rest(
            "POST", f"products/{_variable(env)}/variations", regular_price="10"),
    ),
    "variation price changed by REST": (1, _change_variation),
    "variation deleted": (1, _delete_variation),
}  # fmt: skip


def _register(name: str, changes: int, action: Action) -> None:
    @scenario(
        name, "One ordinary change, then a poll.", setup=Setup(page_size=100), changes=changes
    )
    def play(env: Environment) -> None:
        action(env)
        env.poll()
        # Small collections are read completely by each poll, so nothing arrives later.
        assert env.judge.agrees(env.truth()), "some events did not arrive at the next poll"


for _name, (_changes, _action) in ACTIONS.items():
    _register(_name, _changes, _action)
