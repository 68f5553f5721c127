"""The checkout: orders that nobody has placed, and what becomes of them."""

from __future__ import annotations

import collections.abc as cabc

from .encoding import Json
from .routes import Routes
from .state import Shop

#: Seconds after which WooCommerce deletes a draft of the block checkout.
KEPT_SECONDS = 24 * 3600


class Checkout:
    """Makes drafts of orders, places them, and deletes those that were abandoned."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._shop: Shop = routes.shop

    def draft(self, product_ids: cabc.Sequence[int], status: str = "checkout-draft") -> int:
        """Open the block checkout with these products, or the admin's page for a new order.

        :param status: ``checkout-draft`` or ``auto-draft``.
        :return: the id of the order, which nobody has placed.
        """
        fields: Json = {}
        lines = [{"product_id": product, "quantity": 1} for product in product_ids]
        with self._shop.lock:
            self._routes.orders.fill(fields, {"line_items": lines, "created_via": "store-api"})
            row = self._shop.create("orders", fields, status=status)
            # Source: OrdersTableDataStore::create; the hook of new orders fires when it is placed.
            self._shop.fire("woocommerce_update_order", row.id)
        return row.id

    def place(self, order_id: int) -> int:
        """Place and pay an order that was a draft; it keeps its creation date."""
        orders = self._routes.orders
        with self._shop.lock:
            row = orders.find(order_id)
            row.status = "pending"
            orders.bump(row)
            self._shop.fire("woocommerce_new_order", row.id)
            orders.set_status(row, "processing", paid=True)
        return order_id

    def clean_up(self) -> list[int]:
        """Delete the drafts of the block checkout that are older than a day, as each night."""
        with self._shop.lock:
            limit = self._shop.now() - KEPT_SECONDS
            table = self._shop.tables["orders"].sorted()
            old = [one for one in table if one.status == "checkout-draft" and one.created < limit]
            for row in old:
                self._routes.orders.erase(row)
        return [row.id for row in old]
