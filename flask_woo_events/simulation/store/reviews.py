"""Reviews of products."""

from __future__ import annotations

import collections.abc as cabc

from .encoding import Json
from .listing import Keep, ListRules
from .parameters import Parameters
from .products import Products
from .resource import ITEM, Resource
from .responses import RestError, missing
from .state import Shop
from .tables import Row

STATUSES = ("all", "hold", "approved", "spam", "trash")


class Reviews(Resource):
    """The collection ``/products/reviews``."""

    kind = "reviews"
    path = "products/reviews"
    rules = ListRules(orderby=("date", "date_gmt", "id", "include", "product"))
    invalid_id = ("woocommerce_rest_review_invalid_id", "Invalid review ID.")

    def __init__(self, shop: Shop, products: Products) -> None:
        super().__init__(shop)
        self._products = products

    def unknown(self, method: str) -> RestError:
        """Return the error for an unknown id, which version 8 takes for another user's review."""
        if method == "GET" and self.shop.version.major == 8:
            what = "Sorry, you cannot view this resource."
            return RestError(403, "woocommerce_rest_cannot_view", what)
        return super().unknown(method)

    def where(self, parameters: Parameters, parent: int) -> tuple[cabc.Hashable, Keep]:
        """Filter by status and product."""
        status = parameters.choice("status", "approved", STATUSES)
        products = parameters.ids("product")

        def keep(row: Row) -> bool:
            fits = row.status != "trash" if status == "all" else row.status == status
            return fits and (not products or row.parent in products)

        return (status, products), keep

    def render(self, row: Row) -> Json:
        """Return all fields of a review."""
        shop, fields = self.shop, row.fields
        product = shop.tables["products"].get(row.parent)
        name = product.fields.get("name", "") if product else ""
        return {
            "id": row.id,
            **shop.created_dates(row),
            "product_id": row.parent,
            "product_name": name,
            "product_permalink": f"{shop.home}/product/{product.fields.get('slug', '')}/"
            if product
            else "",
            "status": row.status,
            "reviewer": fields.get("reviewer", ""),
            "reviewer_email": fields.get("reviewer_email", ""),
            "review": fields.get("review", ""),
            "rating": fields.get("rating", 0),
            "verified": False,
            "reviewer_avatar_urls": {},
            "_links": {
                "self": shop.link(f"{self.path}/{row.id}", ITEM),
                "collection": shop.link(self.path),
                "up": shop.link(f"products/{row.parent}"),
            },
        }

    def insert(self, body: Json, parent: int) -> Row:
        """Create a review, which changes the rating of the product and saves it."""
        required = ("product_id", "review", "reviewer", "reviewer_email")
        lacking = [name for name in required if not body.get(name)]
        if lacking:
            raise missing(*lacking)
        product = self.shop.tables["products"].get(int(body["product_id"]))
        if product is None:
            raise RestError(404, "woocommerce_rest_product_invalid_id", "Invalid product ID.")
        names = ("review", "reviewer", "reviewer_email", "rating")
        fields = {name: body[name] for name in names if name in body}
        status = body.get("status") or "approved"
        row = self.shop.create("reviews", fields, status=status, parent=product.id)
        self._rate(product)
        return row

    def _rate(self, product: Row) -> None:
        ratings = [
            int(row.fields["rating"])
            for row in self.shop.children_of("reviews", product.id)
            if row.status == "approved" and row.fields.get("rating")
        ]
        product.fields["rating_count"] = len(ratings)
        mean = sum(ratings) / len(ratings) if ratings else 0
        product.fields["average_rating"] = f"{mean:.2f}"
        self._products.save(product)

    def change(self, row: Row, body: Json) -> None:
        """Edit or moderate a review."""
        row.fields.update({key: body[key] for key in ("review", "rating") if key in body})
        row.status = body.get("status") or row.status
        self.table.changed(row)
        product = self.shop.tables["products"].get(row.parent)
        if product is not None:
            self._rate(product)

    def trash(self, row: Row) -> None:
        """Move to the trash."""
        self.change(row, {"status": "trash"})

    def erase(self, row: Row) -> None:
        """Delete permanently."""
        product = self.shop.tables["products"].get(row.parent)
        self.shop.remove("reviews", row)
        if product is not None:
            self._rate(product)
