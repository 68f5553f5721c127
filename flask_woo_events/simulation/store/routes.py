"""The routes of the REST API and the resources behind them."""

from __future__ import annotations

import collections
import collections.abc as cabc
import datetime as dt
import re
import typing as t

from . import settings
from .coupons import Coupons
from .customers import Customers
from .encoding import Json
from .order_notes import Notes
from .orders import TITLES, Orders
from .plugin_journal import NAMESPACE, Journal
from .product_references import ProductReferences
from .products import Products
from .refunds import AllRefunds, Refunds
from .reports import Reports
from .resource import Resource
from .responses import RestError, SimulatedRequest, SimulatedResponse, answer, no_route
from .reviews import Reviews
from .state import Shop
from .terms import Attributes, Categories, ShippingClasses, Tags
from .variations import AllVariations, Variations
from .webhooks import Webhooks

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
        self.categories = Categories(shop)
        self.reviews = Reviews(shop, self.products)
        self.webhooks = Webhooks(shop)
        self.reports = Reports(shop)
        self.journal = Journal(shop, ProductReferences(shop))
        self._collections: dict[str, Resource] = {
            "orders": self.orders,
            "orders/#/refunds": self.refunds,
            "orders/#/notes": self.notes,
            "products": self.products,
            "products/#/variations": self.variations,
            "customers": self.customers,
            "coupons": self.coupons,
            "products/categories": self.categories,
            "products/tags": Tags(shop),
            "products/shipping_classes": ShippingClasses(shop),
            "products/attributes": Attributes(shop),
            "products/reviews": self.reviews,
            "shipping/zones": settings.Zones(shop),
            "taxes": settings.Taxes(shop),
            "webhooks": self.webhooks,
        }
        if shop.version.refunds_collection:
            self._collections["refunds"] = AllRefunds(shop, self.orders)
        if shop.version.modern:
            self._collections["variations"] = AllVariations(shop, self.products)

    def answer(
        self, method: str, path: str, url: str, params: dict[str, str], body: Json
    ) -> SimulatedResponse:
        """Answer an authenticated request.

        :param path: below ``/wp-json/wc/v3/``.
        :param url: the whole URL, for links to other pages.
        """
        ids = tuple(int(number) for number in _NUMBER.findall(f"/{path}"))
        shape = _NUMBER.sub("/#", f"/{path}").strip("/")
        request = SimulatedRequest(method, url, params, body, ids)
        calls = self._calls(shape)
        if method not in calls:
            raise no_route()
        try:
            given = calls[method](request)
        except RestError as exc:
            given = exc.answer()
        # The newest version finds the methods of a user only while the user exists.
        gone = shape == "customers/#" and (given.status == 404 or method == "DELETE")
        if not (gone and self.shop.version.modern):
            given.headers.append(("Allow", ", ".join(calls)))
        return given

    def _calls(self, shape: str) -> dict[str, cabc.Callable[[SimulatedRequest], SimulatedResponse]]:
        """Return the handlers of a path by method, in the order of ``Allow``."""
        writes = ("POST", "PUT", "PATCH")
        collection = self._collections.get(shape)
        if collection is not None:
            if not collection.writable:
                return {"GET": collection.list}
            return {"GET": collection.list, "POST": collection.create}
        if shape.endswith("/batch") and shape[:-6] in self._collections:
            return dict.fromkeys(writes, self._collections[shape[:-6]].batch)
        item = self._collections.get(shape.removesuffix("/#")) if shape.endswith("/#") else None
        if item is not None and item.has_items:
            calls: dict[str, cabc.Callable[[SimulatedRequest], SimulatedResponse]] = {
                "GET": item.read
            }
            if item.changeable:
                calls |= dict.fromkeys(writes, item.update)
            return {**calls, "DELETE": item.delete} if item.writable else calls
        about = {
            "reports": self.reports.listed,
            "reports/sales": self.reports.sales,
            "reports/top_sellers": self.reports.top_sellers,
            "reports/orders/totals": self._order_totals,
            "system_status": self._system_status,
            "data/currencies/current": lambda _request: answer(settings.currency(self.shop)),
        }
        return {"GET": about[shape]} if shape in about else {}

    def index(self, more: cabc.Sequence[str] = ()) -> SimulatedResponse:
        """Return the index, which needs no key.

        :param more: further namespaces.
        """
        now = dt.datetime.fromtimestamp(self.shop.now(), self.shop.zone)
        offset = (now.utcoffset() or dt.timedelta()).total_seconds() / 3600
        return answer(
            {
                "name": "Simulated store",
                "description": "",
                "url": self.shop.home,
                "home": self.shop.home,
                "gmt_offset": f"{offset:g}",
                "timezone_string": self.shop.timezone,
                "namespaces": [*_NAMESPACES, *[NAMESPACE] * self.journal.installed, *more],
                "authentication": {},
            }
        )

    def _system_status(self, request: SimulatedRequest) -> SimulatedResponse:
        version = self.shop.version
        store = "OrdersTableDataStore" if version.hpos else "WC_Order_Data_Store_CPT"
        status: dict[str, t.Any] = {
            "environment": {
                "home_url": self.shop.home,
                "site_url": self.shop.home,
                "version": version.number,
                "wp_version": version.wordpress,
                "wp_cron": True,
                "external_object_cache": None,
            },
            "settings": {
                "currency": "USD",
                "HPOS_enabled": version.hpos,
                "order_datastore": store,
                "HPOS_sync_enabled": False,
            },
            "active_plugins": [],
        }
        wanted = request.params.get("_fields")
        names = wanted.split(",") if wanted else list(status)
        return answer({name: status[name] for name in names if name in status})

    def _order_totals(self, request: SimulatedRequest) -> SimulatedResponse:
        counts = collections.Counter(row.status for row in self.shop.tables["orders"])
        return answer(
            [
                {"slug": status, "name": TITLES.get(status, status), "total": counts[status]}
                for status in self.shop.version.order_statuses
            ]
        )
