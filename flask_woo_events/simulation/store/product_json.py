"""The JSON of products and variations: fields, prices, permalinks and stock status."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from .encoding import Json, boolean, money, number, slug
from .product_references import is_on_sale
from .resource import ITEM
from .state import Shop
from .tables import Row

#: The category of products without a category.
UNCATEGORIZED = 15
NO_DIMENSIONS = {"length": "", "width": "", "height": ""}


def categories_of(row: Row) -> list[int]:
    """Return the ids of a product's categories."""
    return row.fields.get("categories") or [UNCATEGORIZED]


class ProductJson:
    """Renders products and variations."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    def render(self, row: Row, related: t.Any) -> Json:
        """Return all fields but the links.

        :param related: the value of ``related_ids``.
        """
        shop, fields, version = self.shop, row.fields, self.shop.version
        get = fields.get
        variable = get("type") == "variable"
        variations = shop.children_of("variations", row.id) if variable else []
        price, price_html, on_sale = self._price(row, variations)
        managed = boolean(get("manage_stock", False))
        stock_status = self._stock_status(row, variations)
        backorders = get("backorders", "no")
        permalink, name = self.address(row)
        return {
            "id": row.id,
            "name": name,
            "slug": get("slug", ""),
            "permalink": permalink,
            **shop.dates(row),
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
            "categories": [] if row.parent else self._terms("categories", categories_of(row)),
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

    def links(self, row: Row) -> Json:
        """Return the links of a product."""
        shop = self.shop
        links = {"self": shop.link(f"products/{row.id}", ITEM), "collection": shop.link("products")}
        if row.parent:
            links["up"] = shop.link(f"products/{row.parent}")
        return links

    def _terms(self, kind: str, ids: cabc.Iterable[int]) -> list[Json]:
        found = (self.shop.tables[kind].get(term) for term in ids)
        return [
            {"id": term.id, "name": term.fields["name"], "slug": term.fields["slug"]}
            for term in found
            if term is not None
        ]

    def address(self, row: Row) -> tuple[str, str]:
        """Return the permalink and the full name."""
        home, fields = self.shop.home, row.fields
        if row.status == "trash":
            return f"{home}/?post_type=product&p={row.id}", fields.get("name", "")
        if not row.parent:
            return f"{home}/product/{fields.get('slug', '')}/", fields.get("name", "")
        parent = self.shop.tables["products"].get(row.parent)
        options = [attribute["option"] for attribute in fields.get("attributes", ())]
        chosen = "&".join(
            f"attribute_{slug(attribute['name'])}={attribute['option']}"
            for attribute in fields.get("attributes", ())
        )
        base = f"{home}/product/{parent.fields.get('slug', '') if parent else ''}/"
        name = parent.fields.get("name", "") if parent else ""
        return f"{base}?{chosen}" if chosen else base, " - ".join((name, *options))

    def attributes(self, row: Row) -> list[Json]:
        """Return the attributes, with slugs since version 9."""
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
                entry["visible"] = boolean(attribute.get("visible", False))
                entry["variation"] = boolean(attribute.get("variation", False))
                entry["options"] = attribute.get("options", [])
            shown.append(entry)
        return shown

    def current_price(self, row: Row) -> str:
        """Return the current price."""
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
        # The price is its own column, which writing ``regular_price`` by SQL does not change.
        price = row.fields.get("price", "")
        regular = row.fields.get("regular_price", "")
        on_sale = is_on_sale(row)
        if row.fields.get("type") == "grouped":
            return "", "", self._group_is_on_sale(row)
        if price == "":
            return "", "", False
        if on_sale:
            shown = f"<del>{self._amount(regular)}</del> <ins>{self._amount(price)}</ins>"
            return price, shown, True
        return price, self._amount(price), False

    def _group_is_on_sale(self, row: Row) -> bool:
        table = self.shop.tables["products"]
        children = [table.get(int(number)) for number in row.fields.get("grouped_products", ())]
        return any(is_on_sale(child) for child in children if child is not None)

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
        if boolean(fields.get("manage_stock", False)):
            if (fields.get("stock_quantity") or 0) > 0:
                return "instock"
            return "onbackorder" if fields.get("backorders", "no") != "no" else "outofstock"
        return str(fields.get("stock_status", "instock"))
