"""The forty ordinary actions on a store, in the order in which they are performed."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import typing as t

import orjson

from flask_woo_events.simulation.store import SimulatedStore

#: Changes that the actions make to objects of a WooCommerce 11.0, as counted on a real store.
CHANGES = 46

_BILLING = {"first_name": "Ann", "city": "Berlin", "country": "DE", "email": "ann@example.com"}
_SIZE = {"name": "Size", "options": ["S", "M"], "visible": True, "variation": True}


@dataclasses.dataclass
class Scene:
    """Holds the store and the ids of the objects that the actions created."""

    store: SimulatedStore
    ids: dict[str, int] = dataclasses.field(default_factory=dict)

    def __getitem__(self, name: str) -> int:
        return self.ids[name]

    def rest(self, method: str, path: str, /, **body: object) -> dict[str, t.Any]:
        """Call the store's own REST API, as the shop's staff would."""
        with self.store.shop.lock:
            answer = self.store.routes.answer(method, path, path, {}, body)
        assert answer.status < 300, answer.body
        return t.cast("dict[str, t.Any]", orjson.loads(answer.body))

    def prepare(self) -> None:
        """Create the product that is trashed and deleted at the end.

        No order may contain it: an order changes when one of its products is deleted.
        """
        self.make("unsold_product", "products", name="Lab poster", regular_price="8.00")

    def make(self, key: str, path: str, /, **body: object) -> None:
        """Create an object by REST and keep its id."""
        self.ids[key] = int(self.rest("POST", path, **body)["id"])

    def order(self, name: str, **more: object) -> None:
        """Create a paid order of the product by REST."""
        lines = [{"product_id": self["product"], "quantity": 2}]
        self.make(name, "orders", set_paid=True, billing=_BILLING, line_items=lines, **more)

    def store_id(self, name: str, number: int) -> None:
        """Keep an id under a name."""
        self.ids[name] = number


Action = tuple[str, cabc.Callable[[Scene], object]]


def actions() -> list[Action]:
    """Return every action with its name."""
    return [*_products(), *_customers(), *_coupons(), *_orders(), *_endings(), *_variations()]


def _products() -> list[Action]:
    return [
        (
            "product created by REST",
            lambda s: s.make(
                "product",
                "products",
                name="Lab mug",
                type="simple",
                regular_price="12.50",
                manage_stock=True,
                stock_quantity=20,
            ),
        ),
        (
            "product price changed by REST",
            lambda s: s.rest("PUT", f"products/{s['product']}", regular_price="13.50"),
        ),
        (
            "product title changed by wp_update_post",
            lambda s: s.store.acts.post_update(s["product"], "Lab mug retitled"),
        ),
        ("product stock set in the store", lambda s: s.store.acts.stock(s["product"], 77)),
        (
            "product price written to meta",
            lambda s: s.store.acts.price_meta(s["product"], "15.55"),
        ),
        (
            "product category assigned",
            lambda s: s.store.acts.assign_category(s["product"], "Lab category"),
        ),
        ("product reviewed", lambda s: s.store.acts.review(s["product"])),
        ("product scheduled sale starts", lambda s: s.store.acts.start_sale(s["product"], "5.25")),
    ]


def _customers() -> list[Action]:
    return [
        (
            "customer created by REST",
            lambda s: s.make(
                "customer", "customers", email="ann@lab.example.com", first_name="Ann"
            ),
        ),
        (
            "customer name changed by REST",
            lambda s: s.rest("PUT", f"customers/{s['customer']}", first_name="Anna"),
        ),
        (
            "customer profile saved in admin",
            lambda s: s.store.acts.profile(s["customer"], "Profiled"),
        ),
        ("customer meta written", lambda s: s.store.acts.usermeta(s["customer"], "030 555 1")),
        (
            "customer created at checkout",
            lambda s: s.store_id("checkout_customer", s.store.acts.new_customer("checkout")),
        ),
        (
            "subscriber registered",
            lambda s: s.store_id("subscriber", s.store.acts.new_user("subscriber")),
        ),
        (
            "subscriber becomes customer",
            lambda s: s.store.acts.role(s["subscriber"], "customer"),
        ),
        (
            "customer becomes subscriber",
            lambda s: s.store.acts.role(s["subscriber"], "subscriber"),
        ),
    ]


def _coupons() -> list[Action]:
    return [
        (
            "coupon created by REST",
            lambda s: s.make(
                "coupon", "coupons", code="labten", discount_type="percent", amount="10"
            ),
        ),
        (
            "coupon amount changed by REST",
            lambda s: s.rest("PUT", f"coupons/{s['coupon']}", amount="15"),
        ),
        (
            "coupon description changed by REST",
            lambda s: s.rest("PUT", f"coupons/{s['coupon']}", description="described"),
        ),
    ]


def _orders() -> list[Action]:
    return [
        (
            "order created by REST (stock falls)",
            lambda s: s.order("order", customer_id=s["customer"]),
        ),
        (
            "order with coupon (usage counted)",
            lambda s: s.order("coupon_order", coupon_lines=[{"code": "labten"}]),
        ),
        (
            "order status changed in the store",
            lambda s: s.store.acts.status(s["order"], "completed"),
        ),
        ("order meta written in the store", lambda s: s.store.acts.order_meta(s["order"])),
        ("order note added in the store", lambda s: s.store.acts.note(s["order"])),
        (
            "order refunded by REST",
            lambda s: s.make("refund", f"orders/{s['order']}/refunds", amount="1.00"),
        ),
        ("refund deleted", lambda s: s.store.acts.delete_refund(s["refund"])),
    ]


def _endings() -> list[Action]:
    return [
        ("order trashed by REST", lambda s: s.rest("DELETE", f"orders/{s['order']}")),
        ("order restored in admin", lambda s: s.store.acts.untrash_order(s["order"])),
        ("order deleted permanently", lambda s: s.store.acts.delete_for_good("orders", s["order"])),
        ("product trashed", lambda s: s.store.acts.trash_post(s["unsold_product"])),
        ("product restored", lambda s: s.store.acts.untrash_post(s["unsold_product"])),
        (
            "product deleted permanently",
            lambda s: s.store.acts.delete_for_good("products", s["unsold_product"]),
        ),
        ("coupon trashed", lambda s: s.store.acts.trash_post(s["coupon"])),
        ("coupon restored", lambda s: s.store.acts.untrash_post(s["coupon"])),
        (
            "coupon deleted permanently",
            lambda s: s.store.acts.delete_for_good("coupons", s["coupon"]),
        ),
        (
            "customer deleted",
            lambda s: s.store.acts.delete_for_good("customers", s["checkout_customer"]),
        ),
    ]


def _variations() -> list[Action]:
    return [
        (
            "variable product created",
            lambda s: s.make(
                "variable", "products", name="Lab tee", type="variable", attributes=[_SIZE]
            ),
        ),
        (
            "variation added",
            lambda s: s.make(
                "variation",
                f"products/{s['variable']}/variations",
                regular_price="20",
                attributes=[{"name": "Size", "option": "S"}],
            ),
        ),
        (
            "variation price changed by REST",
            lambda s: s.rest(
                "PUT",
                f"products/{s['variable']}/variations/{s['variation']}",
                regular_price="22",
            ),
        ),
        (
            "variation deleted",
            lambda s: s.store.acts.delete_for_good("variations", s["variation"]),
        ),
    ]
