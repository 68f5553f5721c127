"""Triggers: named changes of a store, each with the event that it leads to."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import typing as t

from ..errors import InputError, NotFoundError
from .changing_store import ChangingStore, Row

#: Makes the change, and returns the id of the object whose event was promised.
Act = cabc.Callable[[ChangingStore], int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trigger:
    """One change of a store."""

    name: str
    #: Type and resource of the event that follows; others may follow, too.
    event_type: str
    resource: str
    #: What is done.
    does: str
    act: Act = dataclasses.field(repr=False)
    #: Whether WooCommerce's REST API can do it; otherwise only a simulated store can.
    by_rest: bool = True

    def run(self, store: ChangingStore) -> int:
        """Make the change; return the id of the object.

        :raises ConflictError: the keys may not write.
        :raises TransportError: the store refused or did not answer.
        """
        return self.act(store)


def find(name: str) -> Trigger:
    """Return the trigger of this name.

    :raises NotFoundError: there is none.
    """
    if name not in TRIGGERS:
        part = name.partition(".")[0]
        near = [one for one in TRIGGERS if one.startswith(f"{part}.")] or list(TRIGGERS)
        raise NotFoundError(
            f"there is no trigger {name!r}, but {', '.join(near)}; see: flask woo trigger --list"
        )
    return TRIGGERS[name]


def _order_in(s: ChangingStore, status: str, make: str = "") -> Row:
    return s.pick("orders", lambda: s.order(make or status), _has_total, status=status)


def _has_total(row: Row) -> bool:
    return float(row["total"]) > 1 and not row["refunds"]


def _status(before: str, after: str) -> Act:
    def act(s: ChangingStore) -> int:
        order = _order_in(s, before)
        s.put("orders", order["id"], status=after)
        return int(order["id"])

    return act


def _paid(s: ChangingStore) -> int:
    order = _order_in(s, "pending")
    s.put("orders", order["id"], set_paid=True)
    return int(order["id"])


def _refunded(part: float) -> Act:
    def act(s: ChangingStore) -> int:
        order = _order_in(s, "completed")
        amount = f"{float(order['total']) * part:.2f}"
        refund = {"amount": amount, "reason": "Damaged", "api_refund": False}
        s.post(f"orders/{order['id']}/refunds", refund)
        return int(order["id"])

    return act


def _order_moved(s: ChangingStore) -> int:
    order = _order_in(s, "processing")
    s.put("orders", order["id"], shipping={"address_1": s.street(), "city": "Springfield"})
    return int(order["id"])


def _noted(s: ChangingStore) -> int:
    order = _order_in(s, "processing")
    return int(
        s.post(f"orders/{order['id']}/notes", {"note": f"Call back, ticket {s.token()}"})["id"]
    )


def _trashed(resource: str) -> Act:
    def act(s: ChangingStore) -> int:
        row = _any(s, resource)
        s.delete(resource, row["id"], force=False)
        return int(row["id"])

    return act


def _deleted(resource: str) -> Act:
    def act(s: ChangingStore) -> int:
        row = _any(s, resource)
        s.delete(resource, row["id"])
        return int(row["id"])

    return act


def _restored(resource: str, status: str) -> Act:
    def act(s: ChangingStore) -> int:
        row = s.pick(resource, lambda: _trashed(resource)(s), live=False, status="trash")
        s.put(resource, row["id"], status=status)
        return int(row["id"])

    return act


def _any(s: ChangingStore, resource: str) -> Row:
    make: dict[str, cabc.Callable[[], int]] = {
        "orders": lambda: s.order("processing"),
        "products": s.product,
        "customers": s.customer,
        "discounts": s.coupon,
    }
    return s.pick(resource, make[resource], _is_simple)


def _is_simple(row: Row) -> bool:
    return row.get("type") in (None, "simple")


def _changed(resource: str, body: cabc.Callable[[Row, ChangingStore], Row]) -> Act:
    def act(s: ChangingStore) -> int:
        row = _any(s, resource)
        s.put(resource, row["id"], **body(row, s))
        return int(row["id"])

    return act


def _product(body: cabc.Callable[[Row, ChangingStore], Row]) -> Act:
    def act(s: ChangingStore) -> int:
        row = s.pick("products", s.product, _is_stocked)
        s.put("products", row["id"], **body(row, s))
        return int(row["id"])

    return act


def _is_stocked(row: Row) -> bool:
    return row["type"] == "simple" and row["manage_stock"] is True and row["stock_quantity"] > 0


def _price(row: Row, s: ChangingStore) -> Row:
    return {"regular_price": f"{float(row['regular_price'] or 10) + 0.5:.2f}"}


def _sale(row: Row, s: ChangingStore) -> Row:
    return {"sale_price": f"{float(row['sale_price'] or row['regular_price'] or 10) * 0.9:.2f}"}


def _stock(row: Row, s: ChangingStore) -> Row:
    return {"stock_quantity": row["stock_quantity"] + s.rng.randrange(1, 10)}


def _reviewed(s: ChangingStore) -> int:
    row = _any(s, "products")
    reviewer = {"reviewer": "Ann", "reviewer_email": f"{s.token()}@example.com"}
    review = {"product_id": row["id"], "review": f"Good {s.token()}", "rating": 4}
    s.post("products/reviews", {**review, **reviewer})
    return int(row["id"])


def _with_variation(s: ChangingStore) -> int:
    size = {"name": "Size", "options": ["S", "M", "L"], "variation": True, "visible": True}
    row = s.pick(
        "products",
        lambda: s.product(type="variable", attributes=[size], manage_stock=False),
        type="variable",
    )
    options = row["attributes"][0]["options"] or ["S"]
    option = options[len(row["variations"]) % len(options)]
    body = {"regular_price": "12.00", "attributes": [{"name": "Size", "option": option}]}
    s.made.append(("variations", int(s.post(f"products/{row['id']}/variations", body)["id"])))
    return int(row["id"])


def _price_written(s: ChangingStore) -> int:
    row = _any(s, "products")
    return s.control("price-meta", row["id"], _price(row, s)["regular_price"])


def _role_removed(s: ChangingStore) -> int:
    return s.control("role", _any(s, "customers")["id"], "subscriber")


def _role_given(s: ChangingStore) -> int:
    return s.control("role", s.control("new-user", f"test-{s.token()}"), "customer")


def _coupon_used(s: ChangingStore) -> int:
    row = s.pick("discounts", s.coupon, lambda one: one["usage_limit"] is None)
    s.order("processing", coupon_lines=[{"code": row["code"]}])
    return int(row["id"])


def _coupon_amount(row: Row, s: ChangingStore) -> Row:
    return {"amount": f"{float(row['amount']) + 1:.2f}"}


def _expiry(row: Row, s: ChangingStore) -> Row:
    return {"date_expires": f"20{s.rng.randrange(10, 25)}-01-{s.rng.randrange(1, 29):02}T00:00:00"}


def _one(
    name: str, event_type: str, does: str, act: Act, *, resource: str = "", **more: t.Any
) -> Trigger:
    kind = {"order": "orders", "product": "products", "customer": "customers",
            "discount": "discounts"}[name.partition(".")[0]]  # fmt: skip
    return Trigger(
        name=name, event_type=event_type, resource=resource or kind, does=does, act=act, **more
    )


#: Every trigger by its name.
TRIGGERS: dict[str, Trigger] = {
    one.name: one
    for one in (
        _one("order.created", "CREATED", "A customer places and pays an order",
             lambda s: s.order("processing", set_paid=True)),
        _one("order.paid", "UPDATED", "A pending order is paid", _paid),
        _one("order.completed", "UPDATED", "A processing order is completed",
             _status("processing", "completed")),
        _one("order.on_hold", "UPDATED", "A processing order is put on hold",
             _status("processing", "on-hold")),
        _one("order.failed", "UPDATED", "The payment of a pending order fails",
             _status("pending", "failed")),
        _one("order.cancelled", "UPDATED", "A processing order is cancelled",
             _status("processing", "cancelled")),
        _one("order.refunded", "UPDATED", "A completed order is refunded", _refunded(1)),
        _one("order.partially_refunded", "UPDATED", "Half of a completed order is refunded",
             _refunded(0.5)),
        _one("order.address_changed", "UPDATED", "The shipping address of an order is changed",
             _order_moved),
        _one("order.note_added", "CREATED", "A note is added to an order", _noted,
             resource="orders-comments"),
        _one("order.trashed", "DELETED", "An order is moved to the trash", _trashed("orders")),
        _one("order.restored", "CREATED", "An order is restored from the trash",
             _restored("orders", "processing")),
        _one("order.deleted", "DELETED", "An order is deleted permanently", _deleted("orders")),
        _one("product.created", "CREATED", "A product is added", lambda s: s.product()),
        _one("product.renamed", "UPDATED", "A product gets another name",
             _product(lambda row, s: {"name": f"{row['name'].split(' (')[0]} ({s.token()})"})),
        _one("product.price_changed", "UPDATED", "The price of a product is raised",
             _product(_price)),
        _one("product.sale_started", "UPDATED", "A product gets a sale price", _product(_sale)),
        _one("product.stock_changed", "UPDATED", "The stock of a product is raised",
             _product(_stock)),
        _one("product.out_of_stock", "UPDATED", "The stock of a product is set to zero",
             _product(lambda row, s: {"stock_quantity": 0, "stock_status": "outofstock"})),
        _one("product.reviewed", "UPDATED", "A product is reviewed", _reviewed),
        _one("product.variation_created", "UPDATED", "A product gets another variation",
             _with_variation),
        _one("product.price_written", "UPDATED", "A plugin writes a price, and no date shows it",
             _price_written, by_rest=False),
        _one("product.trashed", "DELETED", "A product is moved to the trash",
             _trashed("products")),
        _one("product.restored", "CREATED", "A product is restored from the trash",
             _restored("products", "publish")),
        _one("product.deleted", "DELETED", "A product is deleted permanently",
             _deleted("products")),
        _one("customer.created", "CREATED", "A customer registers", lambda s: s.customer()),
        _one("customer.updated", "UPDATED", "A customer gets another name",
             _changed("customers", lambda row, s: {"last_name": f"Smith-{s.token()[:4]}"})),
        _one("customer.address_changed", "UPDATED", "A customer changes the billing address",
             _changed("customers", lambda row, s: {"billing": {"address_1": s.street()}})),
        _one("customer.role_removed", "DELETED", "A customer becomes a subscriber",
             _role_removed, by_rest=False),
        _one("customer.role_given", "CREATED", "A subscriber becomes a customer",
             _role_given, by_rest=False),
        _one("customer.deleted", "DELETED", "A customer is deleted", _deleted("customers")),
        _one("discount.created", "CREATED", "A coupon is added", lambda s: s.coupon()),
        _one("discount.changed", "UPDATED", "The amount of a coupon is raised",
             _changed("discounts", _coupon_amount)),
        _one("discount.used", "UPDATED", "An order uses a coupon, and no date shows it",
             _coupon_used),
        _one("discount.expired", "UPDATED", "A coupon gets an expiry date in the past",
             _changed("discounts", _expiry)),
        _one("discount.deleted", "DELETED", "A coupon is deleted permanently",
             _deleted("discounts")),
    )
}  # fmt: skip


def require_rest(trigger: Trigger) -> None:
    """Check that a real store can make the change.

    :raises InputError: only a simulated one can.
    """
    if not trigger.by_rest:
        raise InputError(
            f"WooCommerce's REST API cannot do {trigger.name}; only a simulated store can: leave "
            "out --store"
        )
