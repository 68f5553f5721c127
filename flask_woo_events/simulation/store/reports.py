"""The reports of a store: the list of reports, sales and top sellers.

Not in the recordings; based on the documentation of wc/v3 and the source of WooCommerce 9.9.
"""

from __future__ import annotations

import collections
import datetime as dt

from .encoding import Json, money, number
from .parameters import Parameters
from .responses import SimulatedRequest, SimulatedResponse, answer, one_page_totals
from .state import Shop
from .tables import Row

PERIODS = ("week", "month", "last_month", "year")
#: Orders that count as sales.
SOLD = ("completed", "processing", "on-hold")
_NAMES = {
    "sales": "List of sales reports.",
    "top_sellers": "List of top sellers products.",
    "orders/totals": "Orders totals.",
    "products/totals": "Products totals.",
    "customers/totals": "Customers totals.",
    "coupons/totals": "Coupons totals.",
    "reviews/totals": "Reviews totals.",
    "categories/totals": "Categories totals.",
    "tags/totals": "Tags totals.",
    "attributes/totals": "Attributes totals.",
}


class Reports:
    """The paths ``/reports``, ``/reports/sales`` and ``/reports/top_sellers``."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    def listed(self, request: SimulatedRequest) -> SimulatedResponse:
        """Return the list of reports."""
        rows = [
            {
                "slug": slug,
                "description": description,
                "_links": {
                    "self": [{"href": self.shop.api(f"reports/{slug}")}],
                    "collection": [{"href": self.shop.api("reports")}],
                },
            }
            for slug, description in _NAMES.items()
        ]
        return answer(rows, 200, one_page_totals(len(rows)))

    def sales(self, request: SimulatedRequest) -> SimulatedResponse:
        """Return one row with the sales of a period by day."""
        days = self._days(request)
        orders = self._orders(days)
        sums = {day.isoformat(): self._sum(orders.get(day, [])) for day in days}
        whole = self._sum([row for rows in orders.values() for row in rows])
        row: Json = {
            "total_sales": whole["sales"],
            "net_sales": money(number(whole["sales"]) - number(whole["shipping"])),
            "average_sales": money(number(whole["sales"]) / max(len(days), 1)),
            "total_orders": whole["orders"],
            "total_items": whole["items"],
            "total_tax": whole["tax"],
            "total_shipping": whole["shipping"],
            "total_refunds": 0,
            "total_discount": whole["discount"],
            "totals_grouped_by": "day",
            "totals": sums,
            "total_customers": 0,
            "_links": {"about": [{"href": self.shop.api("reports")}]},
        }
        return answer([row])

    def top_sellers(self, request: SimulatedRequest) -> SimulatedResponse:
        """Return the best-selling products of a period."""
        counts: collections.Counter[int] = collections.Counter()
        for rows in self._orders(self._days(request)).values():
            for row in rows:
                for line in row.fields.get("line_items", ()):
                    counts[line["product_id"]] += line["quantity"]
        shown = []
        for product_id, quantity in counts.most_common(12):
            product = self.shop.tables["products"].get(product_id)
            if product is None:
                continue
            links = {
                "about": [{"href": self.shop.api("reports")}],
                "product": [{"href": self.shop.api(f"products/{product_id}")}],
            }
            name = product.fields.get("name", "")
            shown.append(
                {"name": name, "product_id": product_id, "quantity": quantity, "_links": links}
            )
        return answer(shown)

    def _days(self, request: SimulatedRequest) -> list[dt.date]:
        """Return the days of the requested period, by default the last seven."""
        parameters = Parameters(request.params)
        period = parameters.choice("period", "week", PERIODS)
        ends = [parameters.date(name, self.shop.zone) for name in ("date_min", "date_max")]
        parameters.check()
        today = dt.datetime.fromtimestamp(self.shop.now(), self.shop.zone).date()
        first, last = today - dt.timedelta(days=6), today
        if any(ends):
            first, last = (end.date() if end is not None else today for end in ends)
        elif period == "month":
            first = today.replace(day=1)
        elif period == "last_month":
            last = today.replace(day=1) - dt.timedelta(days=1)
            first = last.replace(day=1)
        elif period == "year":
            first = today.replace(month=1, day=1)
        return [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]

    def _orders(self, days: list[dt.date]) -> dict[dt.date, list[Row]]:
        wanted: dict[dt.date, list[Row]] = {day: [] for day in days}
        for row in self.shop.tables["orders"]:
            day = dt.datetime.fromtimestamp(row.created, self.shop.zone).date()
            if row.status in SOLD and day in wanted:
                wanted[day].append(row)
        return wanted

    def _sum(self, rows: list[Row]) -> Json:
        def total(field: str) -> str:
            return money(sum((number(row.fields.get(field)) for row in rows), number(0)))

        return {
            "sales": total("total"),
            "orders": len(rows),
            "items": sum(
                line["quantity"] for row in rows for line in row.fields.get("line_items", ())
            ),
            "tax": "0.00",
            "shipping": total("shipping_total"),
            "discount": total("discount_total"),
            "customers": 0,
        }
