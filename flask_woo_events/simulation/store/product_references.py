"""References to products: objects that show data of a product or variation."""

from __future__ import annotations

import collections.abc as cabc

from .state import Shop
from .tables import Row


class ProductReferences:
    """Detects product changes that orders show: SKU, name of a variable product, deletion.

    The order's modified date does not move, and no webhook is sent (WooCommerce 5.9 to 11.0).
    """

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        #: Called with the id of a product or variation that orders show differently now.
        self.listener: cabc.Callable[[int], None] | None = None
        self._shown: dict[int, tuple[str, str]] = {}
        for kind in ("products", "variations"):
            shop.tables[kind].listeners.append(self._changed)

    def orders_of(self, products: cabc.Container[int]) -> list[Row]:
        """Return the orders with a line for one of these products, also deleted ones."""
        return [
            row
            for row in self._shop.tables["orders"]
            if any(
                line["product_id"] in products or line["variation_id"] in products
                for line in row.fields.get("line_items", ())
            )
        ]

    def _changed(self, row: Row | None, operation: str) -> None:
        if row is None:
            return
        for variation in self._shop.children_of("variations", row.id):
            variation.forget()  # It inherits fields of its product.
        before = self._shown.pop(row.id, None)
        if operation != "delete":
            parent = bool(self._shop.children["variations"].get(row.id))
            name = str(row.fields.get("name")) if parent else ""
            self._shown[row.id] = (row.fields.get("sku", ""), name)
        if operation == "create" or before == self._shown.get(row.id):
            return
        for order in self.orders_of({row.id}):
            order.forget()
        if self.listener is not None:
            self.listener(row.id)
