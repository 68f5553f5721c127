"""The routes of the REST API, and which resource answers each."""

from __future__ import annotations

import re
import typing as t

from .answers import Answer, Request, answer, no_route
from .coupons import Coupons
from .customers import Customers
from .encoding import Json
from .notes import Notes
from .orders import Orders
from .products import Products
from .refunds import AllRefunds, Refunds
from .resource import Resource
from .shop import Shop
from .variations import AllVariations, Variations

_NUMBER = re.compile(r"/(\d+)(?=/|\Z)")
_NAMESPACES = ["oembed/1.0", "wc/v1", "wc/v2", "wc/v3", "wc-analytics", "wp/v2"]


class Routes:
    """All resources of one store."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.products = Products(shop)
        self.customers = Customers(shop)
        self.coupons = Coupons(shop)
        self.notes = Notes(shop)
        self.orders = Orders(shop, self.products, self.customers, self.notes)
        self.refunds = Refunds(shop, self.orders)
        self.variations = Variations(shop, self.products)
        self._collections: dict[str, Resource] = {
            "orders": self.orders,
            "orders/#/refunds": self.refunds,
            "orders/#/notes": self.notes,
            "products": self.products,
            "products/#/variations": self.variations,
            "customers": self.customers,
            "coupons": self.coupons,
        }
        if shop.version.refunds_collection:
            self._collections["refunds"] = AllRefunds(shop, self.orders)
        if shop.version.modern:
            self._collections["variations"] = AllVariations(shop, self.products)

    def answer(
        self, method: str, path: str, url: str, params: dict[str, str], body: Json
    ) -> Answer:
        """Answer a call that has been let in.

        :param path: below ``/wp-json/wc/v3/``.
        :param url: the whole URL, for links to other pages.
        """
        ids = tuple(int(number) for number in _NUMBER.findall(f"/{path}"))
        shape = _NUMBER.sub("/#", f"/{path}").strip("/")
        request = Request(method, url, params, body, ids)
        if method == "GET" and shape in ("reports/orders/totals", "system_status"):
            return self._about(shape, params)
        collection = self._collections.get(shape)
        if collection is not None:
            calls = {"GET": collection.list, "POST": collection.create}
        elif shape.endswith("/batch") and shape[:-6] in self._collections:
            calls = dict.fromkeys(("POST", "PUT", "PATCH"), self._collections[shape[:-6]].batch)
        elif shape.endswith("/#") and shape[:-2] in self._collections:
            item = self._collections[shape[:-2]]
            calls = dict.fromkeys(("POST", "PUT", "PATCH"), item.update)
            calls |= {"GET": item.read, "DELETE": item.delete}
        else:
            raise no_route()
        if method not in calls:
            raise no_route()
        return calls[method](request)

    def index(self) -> Answer:
        """What the store tells everybody."""
        return answer(
            {
                "name": "Simulated store",
                "description": "",
                "url": self.shop.home,
                "home": self.shop.home,
                "gmt_offset": "0",
                "timezone_string": self.shop.timezone,
                "namespaces": _NAMESPACES,
                "authentication": {},
            }
        )

    def _about(self, shape: str, params: dict[str, str]) -> Answer:
        version = self.shop.version
        if shape == "system_status":
            status: dict[str, t.Any] = {
                "environment": {"version": version.number, "wp_version": version.wordpress},
                "settings": {"HPOS_enabled": version.hpos},
                "active_plugins": [],
            }
            wanted = params.get("_fields")
            names = wanted.split(",") if wanted else list(status)
            return answer({name: status[name] for name in names if name in status})
        rows = self.shop.tables["orders"]
        return answer(
            [
                {
                    "slug": status,
                    "name": status.replace("-", " ").capitalize(),
                    "total": sum(row.status == status for row in rows),
                }
                for status in version.order_statuses
            ]
        )
