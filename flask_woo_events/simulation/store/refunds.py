"""Refunds of orders."""

from __future__ import annotations

import collections.abc as cabc

from .encoding import Json, money, number
from .listing import Keep, ListRules
from .orders import Orders
from .parameters import Parameters
from .resource import Resource
from .responses import RestError, SimulatedRequest
from .state import Shop
from .tables import Row


class Refunds(Resource):
    """The collections ``/orders/{id}/refunds`` and, from version 9, ``/refunds``."""

    kind = "refunds"
    path = "orders"
    invalid_id = ("woocommerce_rest_shop_order_refund_invalid_id", "Invalid ID.")
    not_trashable = "Refunds"
    changeable = False
    #: Whether the representation contains the order's id.
    with_parent = False

    def __init__(self, shop: Shop, orders: Orders) -> None:
        super().__init__(shop)
        self._orders = orders
        self.rules = ListRules(zero_past_end=shop.version.hpos)  # type: ignore[misc]

    def location(self, request: SimulatedRequest) -> str:
        """Return the path with the placeholder that WooCommerce does not replace here."""
        return "orders/(?P<order_id>[\\d]+)/refunds"

    def where(self, parameters: Parameters, parent: int) -> tuple[cabc.Hashable, Keep]:
        """Filter by order; the list of an unknown order is empty."""
        order = self.shop.tables["orders"].get(parent) if parent else None
        # As posts, refunds are trashed with their order; with HPOS they stay.
        trashed = order is not None and order.status == "trash" and not self.shop.version.hpos
        return (parent, trashed), lambda row: not trashed and (not parent or row.parent == parent)

    def render(self, row: Row) -> Json:
        """Return all fields of a refund."""
        base = f"orders/{row.parent}"
        return {
            "id": row.id,
            **({"parent_id": row.parent} if self.with_parent else {}),
            **self.shop.created_dates(row),
            "amount": row.fields["amount"],
            "reason": row.fields.get("reason", ""),
            "refunded_by": 1,
            "refunded_payment": False,
            "meta_data": row.fields.get("meta_data", []),
            "line_items": [],
            "shipping_lines": [],
            "tax_lines": [],
            "fee_lines": [],
            "_links": {
                "self": self.shop.link(f"{base}/refunds/{row.id}", ("GET", "DELETE")),
                "collection": self.shop.link(f"{base}/refunds"),
                "up": self.shop.link(base),
            },
        }

    def rendered_after_write(self, row: Row) -> Json:
        """Return the fields, in old versions without ``refunded_payment``."""
        shown = self.render(row)
        if self.shop.version.major < 8:
            del shown["refunded_payment"]
        return shown

    def insert(self, body: Json, parent: int) -> Row:
        """Refund an amount; since version 8 the modified date of the order moves."""
        order = self._orders.find(parent)
        amount = number(body.get("amount"))
        refunded = sum(number(row.fields["amount"]) for row in self._of(order))
        if amount <= 0 or refunded + amount > number(order.fields.get("total")):
            raise RestError(
                400, "woocommerce_rest_cannot_create_order_refund", "Invalid refund amount."
            )
        fields: Json = {"amount": money(amount), "reason": str(body.get("reason") or "")}
        full = refunded + amount == number(order.fields.get("total"))
        if self.shop.version.modern:
            kind = "full" if full else "partial"
            fields["meta_data"] = [self.shop.meta("_refund_type", kind)]
        row = self.shop.create("refunds", fields, status="completed", parent=order.id)
        if self.shop.version.major >= 8:
            self._orders.bump(order)
        self.shop.tables["orders"].changed(order)
        self.shop.fire("woocommerce_order_refunded", order.id)
        self.shop.fire("woocommerce_refund_created", row.id)
        if self.shop.version.modern:
            self._orders.notes.mail(order, "Refunded order")
        if full:
            self._orders.set_status(order, "refunded")
        return row

    def _of(self, order: Row) -> list[Row]:
        return self.shop.children_of("refunds", order.id)

    def erase(self, row: Row) -> None:
        """Delete a refund; the order changes, but not its modified date."""
        order = self.shop.tables["orders"].get(row.parent)
        self.shop.remove("refunds", row)
        if order is not None:
            self.shop.tables["orders"].changed(order)
        if not self.shop.version.hpos:
            self.shop.fire("woocommerce_delete_order_refund", row.id)


class AllRefunds(Refunds):
    """The read-only collection of the refunds of all orders."""

    path = "refunds"
    writable = False
    has_items = False
    with_parent = True
    cached = False
