"""Categories, tags, shipping classes and attributes of products, which have no dates."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from .encoding import Json, slug, title
from .listing import Keep, ListRules
from .parameters import Parameters
from .product_json import UNCATEGORIZED
from .resource import ITEM, Resource
from .responses import SimulatedRequest, SimulatedResponse, missing, one_page_totals
from .state import Shop
from .tables import Row


class Terms(Resource):
    """A collection of terms below ``/products``."""

    rules = ListRules(
        orderby=("id", "include", "name", "slug", "term_group", "description", "count"),
        default="name",
        direction="asc",
        dates=False,
    )
    invalid_id = ("woocommerce_rest_term_invalid", "Resource does not exist.")
    not_trashable = "Terms"
    cached = False  # Products change the count.
    #: The field of a product that holds ids of these terms.
    field: t.ClassVar[str]
    #: Additional fields with their defaults.
    extra: t.ClassVar[Json] = {}

    def where(self, parameters: Parameters, parent: int) -> tuple[cabc.Hashable, Keep]:
        """Filter by name, slug or product."""
        search, wanted = parameters.text("search").lower(), parameters.text("slug")
        product = parameters.integer("product", 0, 0)
        used = self._used_by(product) if product else None

        def keep(row: Row) -> bool:
            return (
                search in row.fields["name"].lower()
                and wanted in ("", row.fields["slug"])
                and (used is None or row.id in used)
            )

        return (search, wanted, product), keep

    def _used_by(self, product: int) -> list[int]:
        row = self.shop.tables["products"].get(product)
        return self._terms_of(row) if row is not None else []

    def _terms_of(self, row: Row) -> list[int]:
        default = [UNCATEGORIZED] if self.field == "categories" else []
        return row.fields.get(self.field) or default

    def _count(self, row: Row) -> int:
        products = self.shop.tables["products"]
        return sum(each.status == "publish" and row.id in self._terms_of(each) for each in products)

    def render(self, row: Row) -> Json:
        """Return all fields of a term."""
        fields = row.fields
        shown: Json = {"id": row.id, "name": fields["name"], "slug": fields["slug"]}
        if "parent" in self.extra:
            shown["parent"] = row.parent
        shown["description"] = fields.get("description", "")
        for name, default in self.extra.items():
            if name != "parent":
                shown[name] = fields.get(name, default)
        shown["count"] = self._count(row)
        shown["_links"] = {
            "self": self.shop.link(f"{self.path}/{row.id}", ITEM),
            "collection": self.shop.link(self.path),
        }
        return shown

    def insert(self, body: Json, parent: int) -> Row:
        """Create a term."""
        if not body.get("name"):
            raise missing("name")
        fields: Json = {}
        self._write(fields, body)
        row = self.shop.create(self.kind, fields)
        row.parent = int(body.get("parent") or 0)
        return row

    def _write(self, fields: Json, body: Json) -> None:
        if "name" in body:
            fields["name"] = title(str(body["name"]))
            fields.setdefault("slug", slug(fields["name"]))
        for name in ("slug", "description", *self.extra):
            if name in body and name != "parent":
                fields[name] = body[name]

    def change(self, row: Row, body: Json) -> None:
        """Save a term; products change, but not their dates, and no webhook is sent."""
        self._write(row.fields, body)
        self.table.changed(row)
        self.shop.tables["products"].all_changed(notify=True)

    def erase(self, row: Row) -> None:
        """Delete a term and remove it from all products."""
        self.table.remove(row.id)
        for product in self.shop.tables["products"]:
            terms = product.fields.get(self.field, ())
            if row.id in terms:
                product.fields[self.field] = [term for term in terms if term != row.id]
        self.shop.tables["products"].all_changed(notify=True)


class Categories(Terms):
    """The collection ``/products/categories``."""

    kind = "categories"
    path = "products/categories"
    field = "categories"
    extra: t.ClassVar[Json] = {"parent": 0, "display": "default", "image": None, "menu_order": 0}

    def __init__(self, shop: Shop) -> None:
        super().__init__(shop)
        if self.table.get(UNCATEGORIZED) is None:
            now = shop.now()
            fields = {"name": "Uncategorized", "slug": "uncategorized"}
            self.table.add(Row(UNCATEGORIZED, "publish", now, now, fields))


class Tags(Terms):
    """The collection ``/products/tags``."""

    kind = "tags"
    path = "products/tags"
    field = "tags"


class ShippingClasses(Terms):
    """The collection ``/products/shipping_classes``."""

    kind = "shipping_classes"
    path = "products/shipping_classes"
    field = "shipping_classes"


class Attributes(Resource):
    """The collection ``/products/attributes``, which is always one page."""

    kind = "attributes"
    path = "products/attributes"
    invalid_id = ("woocommerce_rest_taxonomy_invalid", "Resource does not exist.")
    not_trashable = "Resources"

    def list(self, request: SimulatedRequest) -> SimulatedResponse:
        """Return all attributes."""
        rows = self.table.sorted()
        totals = one_page_totals(len(rows))
        return SimulatedResponse(200, self.encode_rows(rows, request), totals)

    def render(self, row: Row) -> Json:
        """Return all fields of an attribute."""
        get = row.fields.get
        return {
            "id": row.id,
            "name": get("name", ""),
            "slug": f"pa_{get('slug', '')}",
            "type": get("type", "select"),
            "order_by": get("order_by", "menu_order"),
            "has_archives": get("has_archives", False),
            "_links": {
                "self": self.shop.link(f"{self.path}/{row.id}", ITEM),
                "collection": self.shop.link(self.path),
            },
        }

    def insert(self, body: Json, parent: int) -> Row:
        """Create an attribute."""
        if not body.get("name"):
            raise missing("name")
        name = title(str(body["name"]))
        wanted = str(body.get("slug") or slug(name)).removeprefix("pa_")
        return self.shop.create("attributes", {**body, "name": name, "slug": wanted})
