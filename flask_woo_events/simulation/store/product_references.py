"""References to products: objects that show data of a product or variation."""

from __future__ import annotations

import collections.abc as cabc

from .state import Shop
from .tables import Row


def is_on_sale(row: Row) -> bool:
    """Return whether a product or variation has its sale price now."""
    sale = row.fields.get("sale_price")
    return bool(sale) and row.fields.get("price", "") == sale


class ProductReferences:
    """Detects product changes that other objects show.

    Orders show the SKU, the name of a variable product and its deletion; reviews show name and
    address; a grouped product is on sale if one of its products is. The modified date of these
    objects does not move, and no webhook is sent (WooCommerce 5.9 to 11.0).
    """

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        #: Called with the id of a product or variation that orders show differently now.
        self.listener: cabc.Callable[[int], None] | None = None
        self._shown: dict[int, tuple[str, str]] = {}
        #: Name, slug and whether it is on sale, of each product.
        self._seen: dict[int, tuple[object, object, bool]] = {}
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
        self._note(row, operation)
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

    def _note(self, row: Row, operation: str) -> None:
        """Record that the reviews of a product, or grouped products, show it differently now."""
        before = self._seen.pop(row.id, None)
        if operation == "delete":
            return
        seen = row.fields.get("name"), row.fields.get("slug"), is_on_sale(row)
        self._seen[row.id] = seen
        if before is None or before == seen:
            return
        if before[:2] != seen[:2]:
            for review in self._shop.children_of("reviews", row.id):
                self._shop.tables["reviews"].changed(review)
        if before[2] != seen[2]:
            for product in self._shop.tables["products"]:
                if row.id in product.fields.get("grouped_products", ()):
                    self._shop.tables["products"].changed(product)
