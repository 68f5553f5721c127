"""Variations of variable products."""

from __future__ import annotations

import collections.abc as cabc

from .encoding import Json, boolean, slug
from .listing import Keep
from .parameters import Parameters
from .product_json import NO_DIMENSIONS
from .products import STATUSES, Products
from .resource import ITEM, Resource
from .responses import SimulatedRequest
from .state import Shop
from .tables import Row


class Variations(Resource):
    """The collections ``/products/{id}/variations`` and, in version 11, ``/variations``."""

    kind = "variations"
    path = "products"
    rules = Products.rules
    invalid_id = ("woocommerce_rest_product_variation_invalid_id", "Invalid ID.")
    quick = Products.quick

    def __init__(self, shop: Shop, products: Products) -> None:
        super().__init__(shop)
        self._products = products

    def location(self, request: SimulatedRequest) -> str:
        """Return the path with the placeholder that WooCommerce does not replace here."""
        return "products/(?P<product_id>[\\d]+)/variations"

    def where(self, parameters: Parameters, parent: int) -> tuple[cabc.Hashable, Keep]:
        """Filter by parent and status."""
        status = parameters.choice("status", "any", STATUSES)
        sku = parameters.text("sku")

        def keep(row: Row) -> bool:
            if parent and row.parent != parent:
                return False
            fits = row.status != "trash" if status == "any" else row.status == status
            return fits and (not sku or row.fields.get("sku") == sku)

        return (parent, status, sku), keep

    def render(self, row: Row) -> Json:
        """Return all fields of a variation."""
        version = self.shop.version
        shown = self._products.representation.render(row, [])
        names = [
            "id", "date_created", "date_created_gmt", "date_modified", "date_modified_gmt",
            "description", "permalink", "sku", "price", "regular_price", "sale_price",
            "date_on_sale_from", "date_on_sale_from_gmt", "date_on_sale_to",
            "date_on_sale_to_gmt", "on_sale", "status", "purchasable", "virtual",
            "downloadable", "downloads", "download_limit", "download_expiry", "tax_status",
            "tax_class", "manage_stock", "stock_quantity", "stock_status", "backorders",
            "backorders_allowed", "backordered", "low_stock_amount", "weight", "dimensions",
            "shipping_class", "shipping_class_id",
        ]  # fmt: skip
        if version.major >= 9:
            names.insert(1, "type")
            names.insert(names.index("sku") + 1, "global_unique_id")
        body = {name: shown[name] for name in names}
        body["dimensions"] = row.fields.get("dimensions", NO_DIMENSIONS)
        body["image"] = row.fields.get("image") or self._parent_image(row.parent)
        if version.modern:
            body["gallery_image_ids"] = []
        body["attributes"] = shown["attributes"]
        body["menu_order"] = shown["menu_order"]
        body["meta_data"] = shown["meta_data"]
        if version.major >= 9:
            options = [attribute["option"] for attribute in shown["attributes"]]
            body["name"] = ", ".join(options)
            body["parent_id"] = row.parent
        body["_links"] = self._links(row)
        return body

    def _links(self, row: Row) -> Json:
        base = f"products/{row.parent}"
        return {
            "self": self.shop.link(f"{base}/variations/{row.id}", ITEM),
            "collection": self.shop.link(f"{base}/variations"),
            "up": self.shop.link(base),
        }

    def _parent_image(self, product: int) -> Json | None:
        """Return the image of the product, which a variation without an image inherits."""
        row = self.shop.tables["products"].get(product)
        images: list[Json] = row.fields.get("images", []) if row else []
        return images[0] if images else None

    def insert(self, body: Json, parent: int) -> Row:
        """Create a variation below a product."""
        owner = self._products.find(parent, method="POST")
        fields: Json = {}
        self._products.write(fields, body)
        options = [str(each.get("option", "")) for each in fields.get("attributes", ())]
        row = self.shop.create(
            "variations", fields, status=body.get("status") or "publish", parent=parent
        )
        name = " ".join((owner.fields.get("name", ""), *options))
        fields["slug"] = self._products.unique_slug(slug(name), row.id)
        self._products.touch(row)
        self.shop.fire("woocommerce_new_product_variation", row.id)
        return row

    def rendered_after_write(self, row: Row) -> Json:
        """Return the fields, since version 9 with the tax class ``parent``."""
        shown = self.render(row)
        if self.shop.version.major >= 9 and not row.fields.get("tax_class"):
            shown["tax_class"] = "parent"
        return shown

    def change(self, row: Row, body: Json) -> None:
        """Save a variation, which moves the date of its parent."""
        self._products.change(row, body)

    def trash(self, row: Row) -> None:
        """Move to the trash."""
        self._products.trash(row)

    def erase(self, row: Row) -> None:
        """Delete permanently."""
        self._products.erase(row)


class AllVariations(Variations):
    """The read-only collection of the variations of all products."""

    path = "variations"
    writable = False
    changeable = False
    has_items = False
    cached = False

    def _links(self, row: Row) -> Json:
        # In version 11.0, the parent in this collection is always zero.
        return {
            "self": self.shop.link(f"variations/{row.id}"),
            "collection": self.shop.link("variations"),
            "up": self.shop.link("products/0"),
        }


def is_managed(row: Row) -> bool:
    """Return whether the stock of this row is managed."""
    return boolean(row.fields.get("manage_stock", False))
