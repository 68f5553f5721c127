"""The settings of a store: currency, tax rates and shipping zones."""

from __future__ import annotations

import collections.abc as cabc

from .encoding import Json
from .listing import Keep, ListRules
from .parameters import Parameters
from .resource import ITEM, Resource
from .responses import SimulatedRequest, SimulatedResponse, one_page_totals
from .state import Shop
from .tables import Row


def currency(shop: Shop) -> Json:
    """Return the currency of the store."""
    return {
        "code": "USD",
        "name": "United States (US) dollar",
        "symbol": "&#36;",
        "_links": {
            "self": shop.link("data/currencies/USD", ("GET",)),
            "collection": shop.link("data/currencies"),
        },
    }


class Taxes(Resource):
    """The collection ``/taxes``."""

    kind = "taxes"
    path = "taxes"
    rules = ListRules(
        orderby=("id", "order", "priority"), default="order", direction="asc", dates=False
    )
    invalid_id = ("woocommerce_rest_invalid_id", "Invalid resource ID.")
    not_trashable = "Taxes"

    def where(self, parameters: Parameters, parent: int) -> tuple[cabc.Hashable, Keep]:
        """Filter by class."""
        name = parameters.text("class")
        return name, lambda row: name in ("", row.fields.get("class", "standard"))

    def render(self, row: Row) -> Json:
        """Return all fields of a tax rate."""
        get = row.fields.get
        return {
            "id": row.id,
            "country": get("country", ""),
            "state": get("state", ""),
            "postcode": get("postcode", ""),
            "city": get("city", ""),
            "rate": get("rate", "0.0000"),
            "name": get("name", ""),
            "priority": get("priority", 1),
            "compound": get("compound", False),
            "shipping": get("shipping", True),
            "order": get("order", 0),
            "class": get("class", "standard"),
            "postcodes": get("postcodes", []),
            "cities": get("cities", []),
            "_links": {
                "self": self.shop.link(f"taxes/{row.id}", ITEM),
                "collection": self.shop.link("taxes"),
            },
        }

    def insert(self, body: Json, parent: int) -> Row:
        """Create a tax rate."""
        return self.shop.create("taxes", dict(body))


class Zones(Resource):
    """The collection ``/shipping/zones``, which had no totals before version 11."""

    kind = "zones"
    path = "shipping/zones"
    rules = ListRules(orderby=("id",), default="id", direction="asc", dates=False)
    invalid_id = ("woocommerce_rest_shipping_zone_invalid", "Resource does not exist.")
    not_trashable = "Shipping zones"

    def __init__(self, shop: Shop) -> None:
        super().__init__(shop)
        name = "Locations not covered by your other zones"
        self.table.add(Row(0, "publish", 0, 0, {"name": name}))

    def list(self, request: SimulatedRequest) -> SimulatedResponse:
        """Return all zones."""
        rows = self.table.sorted()
        totals = one_page_totals(len(rows)) if self.shop.version.modern else []
        return SimulatedResponse(200, self.encode_rows(rows, request), totals)

    def render(self, row: Row) -> Json:
        """Return all fields of a zone."""
        base = f"{self.path}/{row.id}"
        return {
            "id": row.id,
            "name": row.fields["name"],
            "order": row.fields.get("order", 0),
            "_links": {
                "self": self.shop.link(base, ITEM),
                "collection": self.shop.link(self.path),
                "describedby": self.shop.link(f"{base}/locations"),
            },
        }

    def insert(self, body: Json, parent: int) -> Row:
        """Create a zone."""
        fields = {"name": str(body.get("name") or "Zone"), "order": body.get("order", 0)}
        return self.shop.create("zones", fields)

    def change(self, row: Row, body: Json) -> None:
        """Save a zone."""
        row.fields.update({name: body[name] for name in ("name", "order") if name in body})
        self.table.changed(row)
