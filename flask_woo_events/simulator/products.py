"""Products: how they look, what changes them, and their trash."""

from __future__ import annotations

import collections.abc as cabc
import random
import typing as t

from .encoding import Json, encode, money, number, slug, title, truth
from .listing import Keep, Rules
from .parameters import Parameters
from .resource import ITEM, QUICK_FIELDS, Resource, pick
from .rows import Row

#: Related products that are shown, in another order at each read.
RELATED = 5

STATUSES = ("any", "future", "trash", "draft", "pending", "private", "publish")

#: Stands in an encoded product for the related ids, which are never cached.
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
)  # fmt: skip

NO_DIMENSIONS = {"length": "", "width": "", "height": ""}


class Products(Resource):
    """The collection ``/products``; its objects can be read by the ids of variations too."""

    kind = "products"
    path = "products"
    rules = Rules(
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

    # Reading

    def find(self, row_id: int, parent: int = 0, *, method: str = "GET") -> Row:
        """A product, or a variation, which WooCommerce serves here too."""
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
        """All fields of a product or of a variation in the form of a product."""
        shown = self._render(row, self.related(row))
        shown["_links"] = self._links(row)
        return shown

    def _links(self, row: Row) -> Json:
        shop = self.shop
        links = {"self": shop.link(f"products/{row.id}", ITEM), "collection": shop.link("products")}
        if row.parent:
            links["up"] = shop.link(f"products/{row.parent}")
        return links

    def rendered_after_write(self, row: Row) -> Json:
        """Two fields more, and a rating that is not formatted."""
        shown = self._render(row, self.related(row))
        shown["average_rating"] = row.fields.get("average_rating", "0")
        if self.shop.version.major >= 8:
            home = self.shop.home
            shown["permalink_template"] = f"{home}/product/%pagename%/"
            shown["generated_slug"] = self.unique_slug(slug(shown["name"]), row.id)
        shown["_links"] = self._links(row)
        return shown

    def pieces(self, row: Row) -> tuple[bytes, ...]:
        """The encoded product, cut where the related ids belong."""
        if not row.pieces:
            shown = self._render(row, "~")
            shown["_links"] = self._links(row)
            row.pieces = tuple(encode(shown).split(_RELATED))
        return row.pieces

    def encoded(self, row: Row) -> bytes:
        """The representation, with the related ids shuffled anew."""
        if row.parent:
            # The row's cache belongs to the collection of variations.
            return encode(self.render(row))
        before, after = self.pieces(row)
        related = ",".join(map(str, self.related(row)))
        return b'%b"related_ids":[%b]%b' % (before, related.encode(), after)

    def trimmed(self, row: Row, fields: str) -> bytes:
        """Only some fields; related ids are never kept."""
        if row.parent or "related_ids" in fields:
            return encode(pick(self.render(row), fields.split(",")))
        return super().trimmed(row, fields)

    def related(self, row: Row) -> list[int]:
        """A few other products of the same category, in random order."""
        if row.parent:
            return []
        found: list[int] = []
        for category in self._categories_of(row)[:1]:
            pool = self.table.listing(("category", category), lambda c=category: self._pool(c))  # type: ignore[misc]
            sample = random.sample(pool, min(RELATED + 1, len(pool)))
            found = [other.id for other in sample if other.id != row.id][:RELATED]
        return found

    def _pool(self, category: int) -> list[Row]:
        return [
            row
            for row in self.table
            if row.status == "publish" and category in self._categories_of(row)
        ]

    @staticmethod
    def _categories_of(row: Row) -> list[int]:
        return row.fields.get("categories") or [15]

    def _terms(self, kind: str, ids: cabc.Iterable[int]) -> list[Json]:
        found = (self.shop.tables[kind].get(term) for term in ids)
        return [
            {"id": term.id, "name": term.fields["name"], "slug": term.fields["slug"]}
            for term in found
            if term is not None
        ]

    def _render(self, row: Row, related: t.Any) -> Json:
        shop, fields, version = self.shop, row.fields, self.shop.version
        get = fields.get
        variable = get("type") == "variable"
        variations = shop.children_of("variations", row.id) if variable else []
        price, price_html, on_sale = self._price(row, variations)
        managed = truth(get("manage_stock", False))
        stock_status = self._stock_status(row, variations)
        backorders = get("backorders", "no")
        permalink, name = self._address(row)
        return {
            "id": row.id,
            "name": name,
            "slug": get("slug", ""),
            "permalink": permalink,
            "date_created": shop.local(row.created),
            "date_created_gmt": shop.gmt(row.created),
            "date_modified": shop.local(row.modified),
            "date_modified_gmt": shop.gmt(row.modified),
            "type": "variation" if row.parent else get("type", "simple"),
            "status": row.status,
            "featured": get("featured", False),
            "catalog_visibility": get("catalog_visibility", "visible"),
            "description": get("description", ""),
            "short_description": get("short_description", ""),
            "sku": get("sku", ""),
            "price": price,
            "regular_price": get("regular_price", ""),
            "sale_price": get("sale_price", ""),
            "date_on_sale_from": shop.local(get("sale_from")),
            "date_on_sale_from_gmt": shop.gmt(get("sale_from")),
            "date_on_sale_to": shop.local(get("sale_to")),
            "date_on_sale_to_gmt": shop.gmt(get("sale_to")),
            "on_sale": on_sale,
            "purchasable": price != "",
            "total_sales": "0" if row.parent else get("total_sales", 0),
            "virtual": get("virtual", False),
            "downloadable": get("downloadable", False),
            "downloads": get("downloads", []),
            "download_limit": get("download_limit", -1),
            "download_expiry": get("download_expiry", -1),
            "external_url": get("external_url", ""),
            "button_text": get("button_text", ""),
            "tax_status": get("tax_status", "taxable"),
            "tax_class": get("tax_class", ""),
            "manage_stock": managed,
            "stock_quantity": get("stock_quantity") if managed else None,
            "backorders": backorders,
            "backorders_allowed": backorders != "no",
            "backordered": stock_status == "onbackorder",
            "low_stock_amount": get("low_stock_amount"),
            "sold_individually": get("sold_individually", False),
            "weight": get("weight", ""),
            "dimensions": get("dimensions", NO_DIMENSIONS),
            "shipping_required": not get("virtual", False),
            "shipping_taxable": not get("virtual", False),
            "shipping_class": get("shipping_class", ""),
            "shipping_class_id": get("shipping_class_id", 0),
            "reviews_allowed": get("reviews_allowed", not row.parent),
            "average_rating": money(get("average_rating", "0")),
            "rating_count": get("rating_count", 0),
            "upsell_ids": get("upsell_ids", []),
            "cross_sell_ids": get("cross_sell_ids", []),
            "parent_id": row.parent,
            "purchase_note": get("purchase_note", ""),
            "categories": [] if row.parent else self._terms("categories", self._categories_of(row)),
            **({"brands": []} if version.modern else {}),
            "tags": self._terms("tags", get("tags", ())),
            "images": get("images", []),
            "attributes": self.attributes(row),
            "default_attributes": get("default_attributes", []),
            "variations": [variation.id for variation in variations],
            "grouped_products": get("grouped_products", []),
            "menu_order": get("menu_order", 0),
            "price_html": price_html,
            "related_ids": related,
            "meta_data": get("meta_data", []),
            "stock_status": stock_status,
            **({"has_options": variable} if version.major >= 7 else {}),
            **(
                {
                    "post_password": get("post_password", ""),
                    "global_unique_id": get("global_unique_id", ""),
                }
                if version.major >= 9
                else {}
            ),
        }

    def _address(self, row: Row) -> tuple[str, str]:
        home, fields = self.shop.home, row.fields
        if row.status == "trash":
            return f"{home}/?post_type=product&p={row.id}", fields.get("name", "")
        if not row.parent:
            return f"{home}/product/{fields.get('slug', '')}/", fields.get("name", "")
        parent = self.table.get(row.parent)
        options = [attribute["option"] for attribute in fields.get("attributes", ())]
        chosen = "&".join(
            f"attribute_{slug(attribute['name'])}={attribute['option']}"
            for attribute in fields.get("attributes", ())
        )
        base = f"{home}/product/{parent.fields.get('slug', '') if parent else ''}/"
        name = parent.fields.get("name", "") if parent else ""
        return f"{base}?{chosen}" if chosen else base, " - ".join((name, *options))

    def attributes(self, row: Row) -> list[Json]:
        """The attributes; their slug is shown since version 9."""
        slugged = self.shop.version.major >= 9
        shown = []
        for place, attribute in enumerate(row.fields.get("attributes", ())):
            name = attribute.get("name", "")
            entry = {"id": attribute.get("id", 0), "name": name}
            if row.parent:
                if slugged:
                    entry["slug"] = slug(name)
                entry["option"] = attribute.get("option", "")
            else:
                if slugged:
                    entry["slug"] = name
                entry["position"] = attribute.get("position", place)
                entry["visible"] = truth(attribute.get("visible", False))
                entry["variation"] = truth(attribute.get("variation", False))
                entry["options"] = attribute.get("options", [])
            shown.append(entry)
        return shown

    def current_price(self, row: Row) -> str:
        """What the product costs now."""
        return self._price(row, self.shop.children_of("variations", row.id))[0]

    def _price(self, row: Row, variations: list[Row]) -> tuple[str, str, bool]:
        if variations:
            priced = [self._price(each, []) for each in variations if each.status == "publish"]
            prices = [price for price, _, _ in priced if price]
            if not prices:
                return "", "", False
            low, high = min(prices, key=number), max(prices, key=number)
            shown = self._amount(low)
            if low != high:
                shown = f"{shown} &ndash; {self._amount(high)}"
            return low, shown, any(sale for _, _, sale in priced)
        # The price is a column of its own, so that writing the other straight leaves it.
        price = row.fields.get("price", "")
        regular = row.fields.get("regular_price", "")
        on_sale = bool(row.fields.get("sale_price")) and price == row.fields.get("sale_price")
        if price == "":
            return "", "", False
        if on_sale:
            shown = f"<del>{self._amount(regular)}</del> <ins>{self._amount(price)}</ins>"
            return price, shown, True
        return price, self._amount(price), False

    def _amount(self, price: str) -> str:
        mark = ' translate="no"' if self.shop.version.modern else ""
        return (
            '<span class="woocommerce-Price-amount amount"><bdi>'
            f'<span class="woocommerce-Price-currencySymbol"{mark}>&#36;</span>'
            f"{money(price)}</bdi></span>"
        )

    def _stock_status(self, row: Row, variations: list[Row]) -> str:
        fields = row.fields
        if fields.get("type") == "variable":
            states = {self._stock_status(variation, []) for variation in variations}
            return "instock" if "instock" in states else "outofstock"
        if truth(fields.get("manage_stock", False)):
            if (fields.get("stock_quantity") or 0) > 0:
                return "instock"
            return "onbackorder" if fields.get("backorders", "no") != "no" else "outofstock"
        return str(fields.get("stock_status", "instock"))

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
        """Save: the date moves and the webhooks hear of it."""
        row.modified = self.shop.now()
        self.touch(row)
        suffix = "_variation" if row.parent else ""
        self.shop.fire(f"woocommerce_update_product{suffix}", row.id)

    def touch(self, row: Row) -> None:
        """Note a change; one of a variation is one of its parent, whose date moves silently."""
        self.shop.tables["variations" if row.parent else "products"].changed(row)
        parent = self.table.get(row.parent) if row.parent else None
        if parent is not None:
            parent.modified = self.shop.now()
            self.table.changed(parent)

    def write(self, fields: Json, body: Json) -> None:
        """Copy what a client may write."""
        for name in _SIMPLE_TEXTS:
            if name in body:
                fields[name] = str(body[name] or "")
        for name in _FLAGS:
            if name in body:
                fields[name] = truth(body[name])
        for name in _PLAIN:
            if name in body:
                fields[name] = body[name]
        if "name" in body:
            fields["name"] = title(str(body["name"]))
        for name in ("attributes",):
            if name in body:
                fields[name] = [dict(attribute) for attribute in body[name] or ()]
        for name in ("categories", "tags"):
            if name in body:
                fields[name] = [int(term["id"]) for term in body[name] or () if term.get("id")]
        if "stock_quantity" in body and body["stock_quantity"] is not None:
            fields["stock_quantity"] = int(number(body["stock_quantity"]))
        if "stock_status" in body:
            fields["stock_status"] = body["stock_status"]
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
        """Set the price that counts now: the sale's while it lasts."""
        now = self.shop.now()
        begun = (fields.get("sale_from") or 0) <= now
        lasts = fields.get("sale_to") is None or fields["sale_to"] > now
        sale = fields.get("sale_price", "")
        fields["price"] = sale if sale and begun and lasts else fields.get("regular_price", "")

    def unique_slug(self, wanted: str, own: int) -> str:
        """A slug that no other product has."""
        taken = self.shop.slugs
        taken.setdefault(wanted, own)
        candidate, place = wanted, 2
        while taken.get(candidate, own) != own:
            candidate, place = f"{wanted}-{place}", place + 1
        taken[candidate] = own
        return candidate

    def set_stock(self, row: Row, quantity: int) -> None:
        """Write the stock as orders and the function of WooCommerce do: the product is saved."""
        row.fields["stock_quantity"] = quantity
        self.save(row)

    # The trash

    def trash(self, row: Row) -> None:
        """Move to the trash, the variations of the product first."""
        for variation in self.shop.children_of("variations", row.id):
            if variation.status != "trash":
                self._into_trash(variation)
        self._into_trash(row)

    def _into_trash(self, row: Row) -> None:
        shop = self.shop
        shop.fire("wp_trash_post", row.id)
        old = row.fields.get("slug", "")
        shop.set_meta(
            row.fields,
            [
                {"key": "_wp_trash_meta_status", "value": row.status},
                {"key": "_wp_trash_meta_time", "value": str(shop.now())},
                {"key": "_wp_desired_post_slug", "value": old},
            ],
        )
        row.fields["before_trash"] = row.status
        shop.slugs.pop(old, None)
        row.fields["slug"] = self.unique_slug(f"{old}__trashed", row.id)
        row.status = "trash"
        row.modified = shop.now()
        self.touch(row)
        shop.fire("woocommerce_trash_product", row.id)

    def out_of_trash(self, row: Row) -> None:
        """Undo what the trash did to a row, without telling anybody."""
        row.status = row.fields.pop("before_trash", "publish")
        old = row.fields.get("slug", "")
        if old.endswith("__trashed"):
            self.shop.slugs.pop(old, None)
            row.fields["slug"] = self.unique_slug(old.removesuffix("__trashed"), row.id)
        self.shop.drop_meta(
            row.fields, "_wp_trash_meta_status", "_wp_trash_meta_time", "_wp_desired_post_slug"
        )
        row.modified = self.shop.now()
        self.touch(row)

    def restore(self, row: Row) -> None:
        """Take a product out of the trash as the admin does."""
        before = row.fields.get("before_trash", "publish")
        if before == "publish" and self.shop.version.major >= 9:
            self.shop.fire("woocommerce_update_product", row.id)
        self.out_of_trash(row)
        self.shop.fire("untrashed_post", row.id)

    def erase(self, row: Row) -> None:
        """Delete for good, with variations and reviews."""
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


def _fits(fields: Json, wanted: dict[str, str], low: str) -> bool:
    for name, value in wanted.items():
        if name == "search":
            if low not in f"{fields.get('name', '')} {fields.get('description', '')}".lower():
                return False
        elif name == "category":
            if int(value) not in (fields.get("categories") or [15]):
                return False
        elif name == "featured":
            if truth(fields.get("featured", False)) != truth(value):
                return False
        elif name == "sku":
            if fields.get("sku", "") not in value.split(","):
                return False
        elif str(fields.get(name, "simple" if name == "type" else "")) != value:
            return False
    return True
