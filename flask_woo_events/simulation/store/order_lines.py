"""Lines of an order: items, shipping, fees and coupons, and their sums."""

from __future__ import annotations

import collections.abc as cabc
import decimal
import typing as t

from .encoding import Json, encode, json_number, money, number
from .products import Products
from .responses import RestError
from .state import Shop
from .tables import Row

Money = decimal.Decimal


class OrderLines:
    """Creates, changes and renders the lines of orders."""

    def __init__(self, shop: Shop, products: Products) -> None:
        self._shop = shop
        self._products = products

    def write(self, fields: Json, body: Json) -> None:
        """Write the lines that a client sent."""
        changed = False
        for name, make in (
            ("line_items", self._item),
            ("shipping_lines", self._shipping),
            ("fee_lines", self._fee),
        ):
            if name in body:
                fields[name] = self._merge(fields.get(name, []), body[name] or [], make)
                changed = True
        if "coupon_lines" in body:
            codes = [str(line["code"]).lower() for line in body["coupon_lines"] if "code" in line]
            fields["coupon_lines"] = [self._coupon(code, fields) for code in codes]
            changed = True
        if changed:
            self.settle(fields)

    def _merge(
        self, old: list[Json], sent: list[Json], make: cabc.Callable[[Json, Json | None], Json]
    ) -> list[Json]:
        lines = [dict(line) for line in old]
        for entry in sent:
            known = next((line for line in lines if line["id"] == entry.get("id")), None)
            if known is None:
                lines.append(make(entry, None))
            elif entry.get("quantity") == 0 or any(
                name in entry and entry[name] is None
                for name in ("product_id", "method_id", "name")
            ):
                lines.remove(known)
            else:
                lines[lines.index(known)] = make({**known, **entry}, known)
        return lines

    def _item(self, entry: Json, old: Json | None) -> Json:
        product_id = int(entry.get("product_id") or 0)
        variation_id = int(entry.get("variation_id") or 0)
        product = self._shop.tables["products"].get(product_id)
        variation = self._shop.tables["variations"].get(variation_id or product_id)
        source = variation or product
        if source is None and product_id:
            raise RestError(
                400,
                "woocommerce_rest_invalid_product_id",
                "Product ID provided does not exist.",
            )
        if variation is not None:
            product_id, variation_id = variation.parent, variation.id
            product = self._shop.tables["products"].get(product_id)
        quantity = int(number(entry.get("quantity", 1)))
        price = number(self._products.representation.current_price(source)) if source else Money(0)
        same = old is not None and old["quantity"] == quantity
        subtotal = number(entry["subtotal"]) if "subtotal" in entry and same else price * quantity
        if old is None and "subtotal" in entry:
            subtotal = number(entry["subtotal"])
        total = number(entry["total"]) if "total" in entry and (old is None or same) else subtotal
        name = entry.get("name") or (
            self._products.representation.address(source)[1] if source else ""
        )
        line: Json = {
            "id": old["id"] if old else self._shop.next_id("items"),
            "name": name,
            "product_id": product_id,
            "variation_id": variation_id,
            "quantity": quantity,
            "tax_class": "",
            "subtotal": money(subtotal),
            "total": money(total),
            "sku": source.fields.get("sku", "") if source else "",
            "parent_name": product.fields.get("name") if variation and product else None,
        }
        for kept in ("reduced", "meta_data"):
            if old is not None and kept in old:
                line[kept] = old[kept]
        return line

    def _shipping(self, entry: Json, old: Json | None) -> Json:
        return {
            "id": old["id"] if old else self._shop.next_id("items"),
            "method_title": entry.get("method_title", ""),
            "method_id": entry.get("method_id", ""),
            "instance_id": entry.get("instance_id", ""),
            "total": money(entry.get("total", 0)),
            "total_tax": "0.00",
            "taxes": [],
            **({"tax_status": "taxable"} if self._shop.version.major >= 9 else {}),
            "meta_data": [],
        }

    def _fee(self, entry: Json, old: Json | None) -> Json:
        total = money(entry.get("total", 0))
        return {
            "id": old["id"] if old else self._shop.next_id("items"),
            "name": entry.get("name", "Fee"),
            "tax_class": "",
            "tax_status": "taxable",
            "amount": total,
            "total": total,
            "total_tax": "0.00",
            "taxes": [],
            "meta_data": [],
        }

    def coupon_of(self, code: str) -> Row | None:
        """Return the published coupon of this code."""
        for row in self._shop.tables["coupons"]:
            if row.fields.get("code") == code and row.status == "publish":
                return row
        return None

    def _coupon(self, code: str, fields: Json) -> Json:
        known = next(
            (line for line in fields.get("coupon_lines", ()) if line["code"] == code), None
        )
        if known is not None:
            return t.cast(Json, known)
        coupon = self.coupon_of(code)
        if coupon is None:
            raise RestError(
                400, "woocommerce_rest_invalid_coupon", f'Coupon "{code}" does not exist!'
            )
        return {
            "id": self._shop.next_id("items"),
            "code": code,
            "discount": "0",
            "meta_data": self._coupon_meta(coupon),
            "discount_type": coupon.fields.get("discount_type", "fixed_cart"),
            "amount": coupon.fields.get("amount", "0.00"),
        }

    def _coupon_meta(self, coupon: Row) -> list[Json]:
        """Return the meta data of a coupon line, which depends on the version."""
        shop, version = self._shop, self._shop.version
        amount = json_number(number(coupon.fields.get("amount")))
        kind = coupon.fields.get("discount_type", "fixed_cart")
        if version.major < 7:
            return []
        value: t.Any
        if version.major >= 9:
            key = "coupon_info"
            value = encode([coupon.id, coupon.fields["code"], kind, amount]).decode()
        else:
            key, value = "coupon_data", self._coupon_data(coupon, str(amount), kind)
        entry = shop.meta(key, value)
        return [{**entry, "display_key": key, "display_value": value}]

    def _coupon_data(self, coupon: Row, amount: str, kind: str) -> Json:
        def date(moment: int | None) -> Json | None:
            text = self._shop.local(moment)
            if text is None:
                return None
            return {
                "date": f"{text.replace('T', ' ')}.000000",
                "timezone_type": 3,
                "timezone": self._shop.timezone,
            }

        get = coupon.fields.get
        return {
            "id": coupon.id,
            "code": get("code"),
            "amount": amount,
            "status": coupon.status,
            "date_created": date(coupon.created),
            "date_modified": date(coupon.modified),
            "date_expires": date(get("expires")),
            "discount_type": kind,
            "description": get("description", ""),
            "usage_count": get("usage_count", 0),
            "individual_use": get("individual_use", False),
            "product_ids": get("product_ids", []),
            "excluded_product_ids": get("excluded_product_ids", []),
            "usage_limit": get("usage_limit") or 0,
            "usage_limit_per_user": get("usage_limit_per_user") or 0,
            "limit_usage_to_x_items": get("limit_usage_to_x_items"),
            "free_shipping": get("free_shipping", False),
            "product_categories": get("product_categories", []),
            "excluded_product_categories": get("excluded_product_categories", []),
            "exclude_sale_items": get("exclude_sale_items", False),
            "minimum_amount": str(get("minimum_amount", "0.00")).removesuffix(".00").strip("0"),
            "maximum_amount": str(get("maximum_amount", "0.00")).removesuffix(".00").strip("0"),
            "email_restrictions": get("email_restrictions", []),
            "virtual": False,
            "meta_data": [],
        }

    def settle(self, fields: Json) -> None:
        """Apply the coupons and compute the sums."""
        items = fields.get("line_items", [])
        if fields.get("coupon_lines"):
            for line in items:
                line["total"] = line["subtotal"]
            for coupon in fields["coupon_lines"]:
                coupon["discount"] = str(json_number(self._apply(coupon, items)))
        subtotal = sum((number(line["subtotal"]) for line in items), Money(0))
        total = sum((number(line["total"]) for line in items), Money(0))
        shipping = sum((number(x["total"]) for x in fields.get("shipping_lines", ())), Money(0))
        fees = sum((number(x["total"]) for x in fields.get("fee_lines", ())), Money(0))
        fields["discount_total"] = money(subtotal - total)
        fields["shipping_total"] = money(shipping)
        fields["total"] = money(total + shipping + fees)

    @staticmethod
    def _apply(coupon: Json, items: list[Json]) -> Money:
        amount, given = number(coupon["amount"]), Money(0)
        rest = amount
        for line in items:
            current = number(line["total"])
            if coupon["discount_type"] == "percent":
                off = (number(line["subtotal"]) * amount / 100).quantize(Money("0.01"))
            elif coupon["discount_type"] == "fixed_product":
                off = amount * line["quantity"]
            else:
                off = rest
            off = min(off, current)
            rest -= off
            given += off
            line["total"] = money(current - off)
        return given

    # Representations

    def items(self, fields: Json) -> list[Json]:
        """Return the items as clients read them."""
        version = self._shop.version
        shown = []
        for line in fields.get("line_items", ()):
            each = number(line["total"]) / (line["quantity"] or 1)
            product, variation = self._referenced(line)
            exists = product is not None or not line["product_id"]
            entry = {
                "id": line["id"],
                "name": line["name"],
                "product_id": product.id if product else 0,
                "variation_id": variation.id if variation else 0,
                "quantity": line["quantity"],
                "tax_class": "",
                "subtotal": line["subtotal"],
                "subtotal_tax": "0.00",
                "total": line["total"],
                "total_tax": "0.00",
                "taxes": [],
                "meta_data": _reduced(line),
                "sku": self._sku(line, variation or product),
                "price": json_number(each),
            }
            if version.modern:
                entry = _insert_before(entry, "price", "global_unique_id", "" if exists else None)
            if version.major >= 7:
                entry["image"] = {"id": "" if exists else 0, "src": ""}
            entry["parent_name"] = product.fields.get("name") if variation and product else None
            shown.append(entry)
        return shown

    def processed(self, fields: Json) -> bool:
        """Return whether a line refers to an existing product."""
        return any(any(self._referenced(line)) for line in fields.get("line_items", ()))

    def _referenced(self, line: Json) -> tuple[Row | None, Row | None]:
        """Return the product and the variation of a line, if they exist."""
        tables = self._shop.tables
        return tables["products"].get(line["product_id"]), tables["variations"].get(
            line["variation_id"]
        )

    def _sku(self, line: Json, source: Row | None) -> str | None:
        if source is not None:
            return str(source.fields.get("sku", ""))
        return None if line["product_id"] else t.cast("str | None", line["sku"])

    def coupons(self, fields: Json) -> list[Json]:
        """Return the coupon lines as clients read them; newer versions have more fields."""
        shown = []
        for line in fields.get("coupon_lines", ()):
            entry = {
                "id": line["id"],
                "code": line["code"],
                "discount": line["discount"],
                "discount_tax": "0",
                "meta_data": line["meta_data"],
            }
            if self._shop.version.major >= 9:
                entry["discount_type"] = line["discount_type"]
                entry["nominal_amount"] = json_number(number(line["amount"]))
                entry["free_shipping"] = False
            shown.append(entry)
        return shown


def _reduced(line: Json) -> list[Json]:
    shown = list(line.get("meta_data", ()))
    if line.get("reduced"):
        meta_id, quantity = line["reduced"]
        value = str(quantity)
        shown.append(
            {
                "id": meta_id,
                "key": "_reduced_stock",
                "value": value,
                "display_key": "_reduced_stock",
                "display_value": value,
            }
        )
    return shown


def _insert_before(entry: Json, name: str, new: str, value: t.Any) -> Json:
    made: Json = {}
    for key, old in entry.items():
        if key == name:
            made[new] = value
        made[key] = old
    return made


def rotated(order: Json, by: int) -> Json:
    """Return an order whose metadata, and that of its items, begins with a later entry."""
    items = [item | {"meta_data": _rotated(item["meta_data"], by)} for item in order["line_items"]]
    return order | {"meta_data": _rotated(order["meta_data"], by), "line_items": items}


def _rotated(entries: list[Json], by: int) -> list[Json]:
    at = by % len(entries) if entries else 0
    return [*entries[at:], *entries[:at]]
