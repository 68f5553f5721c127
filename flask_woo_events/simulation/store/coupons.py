"""Coupons, whose modified date moves for few changes."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from .encoding import Json, boolean, money, number, text
from .listing import Keep
from .parameters import Parameters
from .resource import ITEM, QUICK_FIELDS, Resource, copy_sent
from .responses import RestError, missing
from .state import Shop
from .tables import Row

_LISTS = (
    "product_ids", "excluded_product_ids", "product_categories", "excluded_product_categories",
    "email_restrictions",
)  # fmt: skip
_FLAGS = ("individual_use", "free_shipping", "exclude_sale_items")
_LIMITS = ("usage_limit", "usage_limit_per_user", "limit_usage_to_x_items")
_AMOUNTS = ("amount", "minimum_amount", "maximum_amount")


class Coupons(Resource):
    """The collection ``/coupons``."""

    kind = "coupons"
    path = "coupons"
    invalid_id = ("woocommerce_rest_shop_coupon_invalid_id", "Invalid ID.")

    def __init__(self, shop: Shop) -> None:
        super().__init__(shop)
        if shop.version.coupon_status:
            self.quick: dict[str, cabc.Callable[[Shop, Row], t.Any]] = {  # type: ignore[misc]
                "id": QUICK_FIELDS["id"],
                "status": lambda shop, row: row.status,
                **QUICK_FIELDS,
            }

    def where(self, parameters: Parameters, parent: int) -> tuple[cabc.Hashable, Keep]:
        """Filter by status if the version supports it, otherwise for published coupons."""
        status = parameters.text("status") if self.shop.version.coupon_status else ""
        code = parameters.text("code").lower()
        search = parameters.text("search").lower()
        chosen = frozenset(
            ("publish", "draft", "pending", "private", "future")
            if status == "any"
            else [word.strip() for word in (status or "publish").split(",")]
        )

        def keep(row: Row) -> bool:
            if row.status not in chosen or (code and row.fields.get("code") != code):
                return False
            return not search or search in row.fields.get("code", "")

        return (chosen, code, search), keep

    def render(self, row: Row) -> Json:
        """Return all fields of a coupon."""
        shop, get = self.shop, row.fields.get
        return {
            "id": row.id,
            "code": get("code", ""),
            "amount": get("amount", "0.00"),
            **({"status": row.status} if shop.version.coupon_status else {}),
            **shop.dates(row),
            "discount_type": get("discount_type", "fixed_cart"),
            "description": get("description", ""),
            "date_expires": shop.local(get("expires")),
            "date_expires_gmt": shop.gmt(get("expires")),
            "usage_count": get("usage_count", 0),
            "individual_use": get("individual_use", False),
            "product_ids": get("product_ids", []),
            "excluded_product_ids": get("excluded_product_ids", []),
            "usage_limit": get("usage_limit"),
            "usage_limit_per_user": get("usage_limit_per_user"),
            "limit_usage_to_x_items": get("limit_usage_to_x_items"),
            "free_shipping": get("free_shipping", False),
            "product_categories": get("product_categories", []),
            "excluded_product_categories": get("excluded_product_categories", []),
            "exclude_sale_items": get("exclude_sale_items", False),
            "minimum_amount": get("minimum_amount", "0.00"),
            "maximum_amount": get("maximum_amount", "0.00"),
            "email_restrictions": get("email_restrictions", []),
            "used_by": get("used_by", []),
            "meta_data": get("meta_data", []),
            "_links": {
                "self": shop.link(f"coupons/{row.id}", ITEM),
                "collection": shop.link("coupons"),
            },
        }

    def insert(self, body: Json, parent: int) -> Row:
        """Create a coupon."""
        if not body.get("code"):
            raise missing("code")
        code = str(body["code"]).lower()
        self._check_code(code, 0)
        fields: Json = {"code": code}
        self._write(fields, body)
        status = (body.get("status") or "publish") if self.shop.version.coupon_status else "publish"
        row = self.shop.create("coupons", fields, status=status)
        self.shop.fire("woocommerce_new_coupon", row.id)
        return row

    def _check_code(self, code: str, own: int) -> None:
        for row in self.table:
            if row.fields.get("code") == code and row.status == "publish" and row.id != own:
                raise RestError(
                    400,
                    "woocommerce_rest_coupon_code_already_exists",
                    "The coupon code already exists",
                )

    def _write(self, fields: Json, body: Json) -> None:
        copy_sent(fields, body, ("discount_type", "description"), text)
        copy_sent(fields, body, _AMOUNTS, money)
        copy_sent(fields, body, _FLAGS, boolean)
        copy_sent(fields, body, _LIMITS, lambda sent: int(number(sent)) or None)
        copy_sent(fields, body, _LISTS, lambda sent: list(sent or ()))
        for name, gmt in (("date_expires", False), ("date_expires_gmt", True)):
            if name in body:
                fields["expires"] = self.shop.moment(body[name], gmt=gmt)
        if body.get("meta_data"):
            self.shop.set_meta(fields, body["meta_data"])

    def change(self, row: Row, body: Json) -> None:
        """Save; the modified date moves only for code, description and status."""
        before = (row.fields.get("code"), row.fields.get("description", ""), row.status)
        if "code" in body:
            code = str(body["code"]).lower()
            self._check_code(code, row.id)
            row.fields["code"] = code
        self._write(row.fields, body)
        status = body.get("status") if self.shop.version.coupon_status else None
        if status and row.status == "trash" and status != "trash":
            self._out_of_trash(row)
        row.status = status or row.status
        if before != (row.fields.get("code"), row.fields.get("description", ""), row.status):
            row.modified = self.shop.now()
        self.table.changed(row)
        self.shop.fire("woocommerce_update_coupon", row.id)

    def use(self, row: Row) -> None:
        """Count a use; no hook fires and the modified date stays."""
        row.fields["usage_count"] = row.fields.get("usage_count", 0) + 1
        self.table.changed(row)

    def trash(self, row: Row) -> None:
        """Move to the trash."""
        shop = self.shop
        shop.fire("wp_trash_post", row.id)
        self.mark_trashed(row, row.fields["code"])
        self.table.changed(row)
        shop.fire("woocommerce_trash_coupon", row.id)

    def _out_of_trash(self, row: Row) -> None:
        self.unmark_trashed(row)
        entry = {"key": "_wp_old_slug", "value": f"{row.fields['code']}__trashed"}
        self.shop.set_meta(row.fields, [entry])
        self.table.changed(row)

    def restore(self, row: Row) -> None:
        """Restore a coupon from the trash as the admin does."""
        self._out_of_trash(row)
        self.shop.fire("untrashed_post", row.id)

    def erase(self, row: Row) -> None:
        """Delete permanently."""
        self.shop.remove("coupons", row)
        self.shop.fire("woocommerce_delete_coupon", row.id)
