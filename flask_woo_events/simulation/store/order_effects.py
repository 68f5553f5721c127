"""The effects of orders on stock, sales and the usage of coupons."""

from __future__ import annotations

from .encoding import Json
from .order_lines import OrderLines
from .order_notes import Notes
from .products import Products
from .state import Shop
from .tables import Row
from .variations import is_managed

#: Statuses in which the stock is taken and the sale is counted.
PAID = ("processing", "completed", "on-hold")


class OrderEffects:
    """Changes stock, sales and coupon usage for orders."""

    def __init__(self, shop: Shop, products: Products, lines: OrderLines, notes: Notes) -> None:
        self.shop = shop
        self._products = products
        self._lines = lines
        self._notes = notes

    def settle(self, row: Row) -> None:
        """Count sales and coupon uses once, and undo that when an order is cancelled."""
        counted = row.fields.get("coupons_counted", False)
        if row.status in ("pending", *PAID) and not counted:
            row.fields["coupons_counted"] = True
            self.count_coupons(row, 1)
        elif row.status == "cancelled" and counted:
            row.fields["coupons_counted"] = False
            self.count_coupons(row, -1)
        if row.status in PAID:
            self.count_sales(row, 1)
        elif row.status == "cancelled":
            self.count_sales(row, -1)
        if row.status in ("cancelled", "pending"):
            self._restore_stock(row)

    def count_coupons(self, row: Row, by: int) -> None:
        """Count the uses of the order's coupons up or down; no hook fires."""
        user = row.fields.get("customer_id", 0) or row.fields.get("billing", {}).get("email", "")
        for line in row.fields.get("coupon_lines", ()):
            coupon = self._lines.coupon_of(line["code"])
            if coupon is None:
                continue
            used = list(coupon.fields.get("used_by", ()))
            if by > 0:
                used.append(str(user))
            elif str(user) in used:
                used.remove(str(user))
            count = coupon.fields.get("usage_count", 0) + by
            coupon.fields.update(usage_count=max(0, count), used_by=used)
            self.shop.tables["coupons"].changed(coupon)

    def count_sales(self, row: Row, by: int) -> None:
        """Count the sold items once; only ``woocommerce_updated_product_sales`` fires."""
        if bool(row.fields.get("sold")) == (by > 0):
            return
        row.fields["sold"] = by > 0
        for line in row.fields.get("line_items", ()):
            product = self.shop.tables["products"].get(line["product_id"])
            if product is not None:
                total = product.fields.get("total_sales", 0) + by * line["quantity"]
                product.fields["total_sales"] = max(0, total)
                self.shop.tables["products"].changed(product)
                self.shop.fire("woocommerce_updated_product_sales", product.id)

    def _stocked(self, line: Json) -> Row | None:
        for kind, row_id in (
            ("variations", line["variation_id"]),
            ("products", line["product_id"]),
        ):
            row = self.shop.tables[kind].get(row_id)
            if row is not None and is_managed(row):
                return row
        return None

    def reduce_stock(self, row: Row) -> None:
        """Reduce the stock for a paid order once; the products are saved."""
        if row.status not in PAID or row.fields.get("stock_taken"):
            return
        row.fields["stock_taken"] = True
        reduced = []
        for line in row.fields.get("line_items", ()):
            product = self._stocked(line)
            if product is None:
                continue
            line["reduced"] = (self.shop.next_id("meta"), line["quantity"])
            before = product.fields.get("stock_quantity", 0)
            after = before - line["quantity"]
            self._products.set_stock(product, after)
            if self.shop.version.modern:
                reduced.append(f"{line['name']} ({before}&rarr;{after})")
            else:
                reduced.append(f"{line['name']} (#{product.id}) {before}&rarr;{after}")
        if reduced:
            self._notes.log(row, f"Stock levels reduced: {', '.join(reduced)}")

    def _restore_stock(self, row: Row) -> None:
        if not row.fields.pop("stock_taken", False):
            return
        for line in row.fields.get("line_items", ()):
            product = self._stocked(line)
            if product is not None and line.pop("reduced", None):
                quantity = product.fields.get("stock_quantity", 0) + line["quantity"]
                self._products.set_stock(product, quantity)
