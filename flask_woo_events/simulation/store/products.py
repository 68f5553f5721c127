"""Products: listing, writing and trash."""

from __future__ import annotations

import collections.abc as cabc
import random
import typing as t

from .encoding import Json, boolean, encode, number, slug, text, title
from .listing import Keep, ListRules
from .parameters import Parameters
from .product_json import UNCATEGORIZED, ProductJson, categories_of
from .resource import QUICK_FIELDS, Resource, copy_sent, pick
from .state import Shop
from .tables import Row

#: Number of related products, which each read returns in another order.
RELATED = 5

STATUSES = ("any", "future", "trash", "draft", "pending", "private", "publish")

#: Placeholder in an encoded product for the related ids, which are never cached.
_RELATED = encode({"related_ids": "~"})[1:-1]

_SIMPLE_TEXTS = (
    "description", "short_description", "sku", "external_url", "button_text", "tax_status",
    "tax_class", "weight", "purchase_note", "catalog_visibility", "backorders", "type",
    "post_password", "global_unique_id",
)  # fmt: skip
_FLAGS = (
    "featured", "virtual", "downloadable", "manage_stock", "sold_individually", "reviews_allowed",
)  # fmt: skip
_PLAIN = (
    "menu_order", "low_stock_amount", "upsell_ids", "cross_sell_ids", "grouped_products",
    "images", "default_attributes", "download_limit", "download_expiry", "dimensions", "downloads",
    "stock_status",
)  # fmt: skip


class Products(Resource):
    """The collection ``/products``; its objects can be read by the ids of variations too."""

    kind = "products"
    path = "products"
    rules = ListRules(
        orderby=(
            "date", "id", "include", "title", "slug", "modified",
            "menu_order", "price", "popularity", "rating",
        )
    )  # fmt: skip
    invalid_id = ("woocommerce_rest_product_invalid_id", "Invalid ID.")
    quick: t.ClassVar[dict[str, cabc.Callable[[t.Any, Row], t.Any]]] = {
        **QUICK_FIELDS,
        "status": lambda shop, row: row.status,
    }

    def __init__(self, shop: Shop) -> None:
        super().__init__(shop)
        #: Renders products.
        self.representation = ProductJson(shop)

    # Reading

    def find(self, row_id: int, parent: int = 0, *, method: str = "GET") -> Row:
        """Return a product, or a variation, which WooCommerce serves here too."""
        variation = self.shop.tables["variations"].get(row_id)
        if variation is not None and not parent:
            return variation
        return super().find(row_id, parent, method=method)

    def where(self, parameters: Parameters, parent: int) -> tuple[cabc.Hashable, Keep]:
        """Filter by status and by a few other fields."""
        allowed = self._statuses(parameters)
        wanted = {
            name: parameters.text(name)
            for name in ("sku", "type", "stock_status", "slug", "featured", "category", "search")
            if parameters.text(name)
        }
        low = wanted.get("search", "").lower()

        def keep(row: Row) -> bool:
            if row.status not in allowed:
                return False
            return not wanted or _fits(row.fields, wanted, low)

        return (allowed, tuple(wanted.items())), keep

    def _statuses(self, parameters: Parameters) -> frozenset[str]:
        live = frozenset(STATUSES) - {"any", "trash"}
        status = parameters.choice("status", "any", STATUSES)
        chosen = live if status == "any" else frozenset((status,))
        if self.shop.version.modern:
            included = parameters.choices("include_status", STATUSES)
            excluded = parameters.choices("exclude_status", STATUSES)
            if included:
                chosen = frozenset(included) | (live if "any" in included else frozenset())
            chosen -= set(excluded)
        return chosen

    def render(self, row: Row) -> Json:
        """Return all fields of a product, or of a variation in the form of a product."""
        shown = self.representation.render(row, self.related(row))
        shown["_links"] = self.representation.links(row)
        return shown

    def rendered_after_write(self, row: Row) -> Json:
        """Return the fields with two more and an unformatted rating."""
        shown = self.representation.render(row, self.related(row))
        shown["average_rating"] = row.fields.get("average_rating", "0")
        if self.shop.version.major >= 8:
            home = self.shop.home
            shown["permalink_template"] = f"{home}/product/%pagename%/"
            shown["generated_slug"] = self.unique_slug(slug(shown["name"]), row.id)
        shown["_links"] = self.representation.links(row)
        return shown

    def pieces(self, row: Row) -> tuple[bytes, ...]:
        """Return the encoded product, split at the related ids."""
        if not row.pieces:
            shown = self.representation.render(row, "~")
            shown["_links"] = self.representation.links(row)
            row.pieces = tuple(encode(shown).split(_RELATED))
        return row.pieces

    def encoded(self, row: Row) -> bytes:
        """Return the representation with newly shuffled related ids."""
        if row.parent:
            # The row's cache belongs to the collection of variations.
            return encode(self.render(row))
        return self._with_related(row, self.related(row))

    def repeatable(self, row: Row) -> bytes:
        """Return the representation without related ids."""
        return self._with_related(row, [])

    def _with_related(self, row: Row, related: list[int]) -> bytes:
        before, after = self.pieces(row)
        return b'%b"related_ids":[%b]%b' % (before, ",".join(map(str, related)).encode(), after)

    def trimmed(self, row: Row, fields: str) -> bytes:
        """Return only some fields; related ids are never cached."""
        if row.parent or "related_ids" in fields:
            return encode(pick(self.render(row), fields.split(",")))
        return super().trimmed(row, fields)

    def related(self, row: Row) -> list[int]:
        """Return the ids of a few other products of the same category, in random order."""
        if row.parent:
            return []
        found: list[int] = []
        for category in categories_of(row)[:1]:
            pool = self.table.listing(("category", category), lambda c=category: self._pool(c))  # type: ignore[misc]
            if len(pool) > 4 * RELATED:
                drawn = {pool[int(random.random() * len(pool))].id for _ in range(RELATED)}
                found = list(drawn - {row.id})
            else:
                found = [other.id for other in pool if other.id != row.id]
            random.shuffle(found)
        del found[RELATED:]
        return found

    def _pool(self, category: int) -> list[Row]:
        return [
            row for row in self.table if row.status == "publish" and category in categories_of(row)
        ]

    # Writing

    def insert(self, body: Json, parent: int) -> Row:
        """Create a product."""
        fields: Json = {"name": "Product", "slug": ""}
        self.write(fields, body)
        row = self.shop.create("products", fields, status=body.get("status") or "publish")
        fields["slug"] = self.unique_slug(slug(body.get("slug") or fields["name"]), row.id)
        self.shop.fire("woocommerce_new_product", row.id)
        return row

    def change(self, row: Row, body: Json) -> None:
        """Save a product, even where nothing changes."""
        self.write(row.fields, body)
        if body.get("slug"):
            row.fields["slug"] = self.unique_slug(slug(body["slug"]), row.id)
        status = body.get("status")
        if status and status != row.status and row.status == "trash":
            self.out_of_trash(row)
        row.status = status or row.status
        self.save(row)

    def save(self, row: Row) -> None:
        """Save: move the modified date and fire the hook."""
        row.modified = self.shop.now()
        self.touch(row)
        suffix = "_variation" if row.parent else ""
        self.shop.fire(f"woocommerce_update_product{suffix}", row.id)

    def touch(self, row: Row) -> None:
        """Record a change; for a variation also of its parent, whose date moves without a hook."""
        self.shop.tables["variations" if row.parent else "products"].changed(row)
        parent = self.table.get(row.parent) if row.parent else None
        if parent is not None:
            parent.modified = self.shop.now()
            self.table.changed(parent)

    def write(self, fields: Json, body: Json) -> None:
        """Write the fields that a client sent."""
        copy_sent(fields, body, _SIMPLE_TEXTS, text)
        copy_sent(fields, body, _FLAGS, boolean)
        copy_sent(fields, body, _PLAIN, lambda sent: sent)
        copy_sent(fields, body, ("name",), lambda sent: title(str(sent)))
        copy_sent(fields, body, ("attributes",), lambda sent: [dict(each) for each in sent or ()])
        copy_sent(fields, body, ("categories", "tags"), _term_ids)
        if "stock_quantity" in body and body["stock_quantity"] is not None:
            fields["stock_quantity"] = int(number(body["stock_quantity"]))
        self._write_prices(fields, body)
        if body.get("meta_data"):
            self.shop.set_meta(fields, body["meta_data"])

    def _write_prices(self, fields: Json, body: Json) -> None:
        for name in ("regular_price", "sale_price"):
            if name in body:
                fields[name] = str(body[name] if body[name] is not None else "")
        for end in ("from", "to"):
            for suffix, gmt in (("", False), ("_gmt", True)):
                name = f"date_on_sale_{end}{suffix}"
                if name in body:
                    fields[f"sale_{end}"] = self.shop.moment(body[name], gmt=gmt)
        if {"regular_price", "sale_price"} & body.keys() or "sale_from" in fields:
            self.settle_price(fields)

    def settle_price(self, fields: Json) -> None:
        """Set the current price: the sale price during the sale."""
        now = self.shop.now()
        begun = (fields.get("sale_from") or 0) <= now
        lasts = fields.get("sale_to") is None or fields["sale_to"] > now
        sale = fields.get("sale_price", "")
        fields["price"] = sale if sale and begun and lasts else fields.get("regular_price", "")

    def unique_slug(self, wanted: str, own: int) -> str:
        """Return a slug that no other product has."""
        taken = self.shop.slugs
        taken.setdefault(wanted, own)
        candidate, place = wanted, 2
        while taken.get(candidate, own) != own:
            candidate, place = f"{wanted}-{place}", place + 1
        taken[candidate] = own
        return candidate

    def set_stock(self, row: Row, quantity: int) -> None:
        """Set the stock and save the product, as ``wc_update_product_stock`` does."""
        row.fields["stock_quantity"] = quantity
        self.save(row)

    # The trash

    def trash(self, row: Row) -> None:
        """Move to the trash, the variations first."""
        for variation in self.shop.children_of("variations", row.id):
            if variation.status != "trash":
                self._into_trash(variation)
        self._into_trash(row)

    def _into_trash(self, row: Row) -> None:
        shop = self.shop
        shop.fire("wp_trash_post", row.id)
        old = row.fields.get("slug", "")
        self.mark_trashed(row, old)
        shop.slugs.pop(old, None)
        row.fields["slug"] = self.unique_slug(f"{old}__trashed", row.id)
        self.touch(row)
        shop.fire("woocommerce_trash_product", row.id)

    def out_of_trash(self, row: Row) -> None:
        """Undo the changes of the trash without a hook."""
        meta = row.fields["meta_data"]
        wanted = [entry["value"] for entry in meta if entry["key"] == "_wp_desired_post_slug"]
        if wanted:
            self.shop.slugs.pop(row.fields.get("slug", ""), None)
            row.fields["slug"] = self.unique_slug(wanted[0], row.id)
        self.unmark_trashed(row)
        self.touch(row)

    def restore(self, row: Row) -> None:
        """Restore a product and its variations from the trash as the admin does."""
        before = row.fields.get("before_trash", "publish")
        if before == "publish" and self.shop.version.major >= 9:
            self.shop.fire("woocommerce_update_product", row.id)
        self.out_of_trash(row)
        for variation in self.shop.children_of("variations", row.id):
            if variation.status == "trash":
                self.out_of_trash(variation)
                self.shop.fire("untrashed_post", variation.id)
        self.shop.fire("untrashed_post", row.id)

    def erase(self, row: Row) -> None:
        """Delete permanently, with variations and reviews."""
        shop = self.shop
        for variation in shop.children_of("variations", row.id):
            shop.remove("variations", variation)
            shop.fire("woocommerce_delete_product_variation", variation.id)
        for review in shop.children_of("reviews", row.id):
            shop.remove("reviews", review)
        shop.slugs.pop(row.fields.get("slug", ""), None)
        if row.parent:
            self.touch(row)
            shop.remove("variations", row)
            shop.fire("woocommerce_delete_product_variation", row.id)
        else:
            shop.remove("products", row)
            shop.fire("woocommerce_delete_product", row.id)


def _term_ids(sent: t.Any) -> list[int]:
    return [int(term["id"]) for term in sent or () if term.get("id")]


def _fits(fields: Json, wanted: dict[str, str], low: str) -> bool:
    for name, value in wanted.items():
        if name == "search":
            if low not in f"{fields.get('name', '')} {fields.get('description', '')}".lower():
                return False
        elif name == "category":
            if int(value) not in (fields.get("categories") or [UNCATEGORIZED]):
                return False
        elif name == "featured":
            if boolean(fields.get("featured", False)) != boolean(value):
                return False
        elif name == "sku":
            if fields.get("sku", "") not in value.split(","):
                return False
        elif str(fields.get(name, "simple" if name == "type" else "")) != value:
            return False
    return True
