"""Filters and orders that the collections of a store support.

WooCommerce ignores unknown parameters and answers with all objects. So only what is in these
tables is passed on, and everything else is refused (wc/v3 of WooCommerce 5.9 to 11.0).
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import re

from ...errors import InputError
from ...woocommerce.ceql import Condition

Params = dict[str, str]

#: One id, or several.
_IDS = re.compile(r"\d{1,19}(?:,\d{1,19})*\Z")
_SECOND = dt.timedelta(seconds=1)
_CREATED = {"created_date": "", "date_created": "", "date_created_gmt": "Z"}
_MODIFIED = {
    "updated_date": "",
    "modified_date": "",
    "date_modified": "",
    "date_modified_gmt": "Z",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FilterSupport:
    """The filters and orders of one collection.

    :param filters: parameters that filter it.
    :param lists: filters that take several values, joined by commas.
    :param ids: it filters by ``include`` and ``exclude``.
    :param orders: fields that order it, with WooCommerce's names for them.
    :param created: it filters by the date of creation.
    :param modified: it filters by the date of the last change.
    :param dated_order: WooCommerce's order by the date of creation, for a collection without a
        filter by it: the rows are read in this order up to the date.
    :param whole: the store always answers all of it, so conditions and order are applied here.
    """

    filters: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()
    ids: bool = True
    orders: cabc.Mapping[str, str] = dataclasses.field(default_factory=dict)
    created: bool = False
    modified: bool = False
    dated_order: str = ""
    whole: bool = False

    @property
    def names(self) -> list[str]:
        """Parameters and fields that filter it, for errors."""
        dates = ["created_date", "after", "before"] if self.created else []
        dates += ["date_modified", "modified_after", "modified_before"] if self.modified else []
        ids = ["id", "include", "exclude"] if self.ids else []
        return sorted({*ids, *self.filters, *dates})

    def native(self, conditions: cabc.Iterable[Condition]) -> Params:
        """Return the store's parameters for all of these conditions.

        :raises InputError: the store has none for one of them.
        """
        params: Params = {}
        for condition in conditions:
            for name, value in self._params(condition):
                if params.setdefault(name, value) != value:
                    raise InputError(
                        f"where uses the store's parameter {name} twice, which it takes once: "
                        f"{condition.text!r}",
                        "where",
                    )
        return params

    def order(self, field: str) -> str:
        """Return WooCommerce's name of the order by a field.

        :raises InputError: there is no such order.
        """
        try:
            return self.orders[field]
        except KeyError:
            raise InputError(
                f"orderBy can be {', '.join(sorted(self.orders))}, not {field[:100]!r}", "orderBy"
            ) from None

    def local(self, condition: Condition) -> bool:
        """Return whether a condition is applied here, because the store has no filter for it."""
        return self.whole and condition.field not in self.filters

    def _params(self, condition: Condition) -> list[tuple[str, str]]:
        field, op, value = condition.field, condition.op, condition.value
        if self.ids and field in ("id", "include", "exclude"):
            return [self._ids(condition)]
        if self.created and field in ("after", "before") and op == "=":
            return [(field, _date(value))]
        if self.modified and field in ("modified_after", "modified_before") and op == "=":
            return [(field, _date(value))]
        if self.created and field in _CREATED:
            return _range(condition, ("after", "before"), _CREATED[field])
        if self.modified and field in _MODIFIED:
            return _range(condition, ("modified_after", "modified_before"), _MODIFIED[field])
        if field in self.filters and op == "=":
            return [(field, value)]
        if field in self.lists and op == "in":
            return [(field, ",".join(condition.values))]
        raise InputError(
            f"the store cannot filter by {condition.text!r}; it filters by {', '.join(self.names)}",
            "where",
        )

    def _ids(self, condition: Condition) -> tuple[str, str]:
        name = "exclude" if condition.field == "exclude" else "include"
        if condition.field == "id" and condition.op == "!=":
            name = "exclude"
        elif condition.op not in ("=", "in"):
            raise InputError(f"the store cannot filter by {condition.text!r}", "where")
        ids = ",".join(condition.values).replace(" ", "")
        if not _IDS.match(ids):
            raise InputError(f"ids are whole numbers, unlike {condition.text!r}", "where")
        return name, ids


def _date(text: str) -> str:
    return _shifted(text, dt.timedelta(), "")


def _shifted(text: str, by: dt.timedelta, zone: str) -> str:
    """Write a date for WordPress: local time of the site, or with an offset."""
    try:
        date = dt.datetime.fromisoformat(text.strip()).replace(microsecond=0) + by
    except (ValueError, OverflowError):
        raise InputError(f"where has a value that is not a date: {text[:100]!r}", "where") from None
    return date.isoformat() + (zone if date.tzinfo is None else "")


def _range(condition: Condition, names: tuple[str, str], zone: str) -> list[tuple[str, str]]:
    """Return the parameters of a range; the store excludes both ends and compares seconds."""
    (after, before), op, text = names, condition.op, condition.value
    ends = {
        ">": [(after, 0)],
        ">=": [(after, -1)],
        "<": [(before, 0)],
        "<=": [(before, 1)],
        "=": [(after, -1), (before, 1)],
    }
    if op not in ends:
        raise InputError(f"the store cannot filter by {condition.text!r}", "where")
    return [(name, _shifted(text, step * _SECOND, zone)) for name, step in ends[op]]


_BY_DATE = {
    "id": "id",
    "created_date": "date",
    "date_created": "date",
    "updated_date": "modified",
    "date_modified": "modified",
}
_POSTS = {**_BY_DATE, "title": "title", "slug": "slug"}
_TERMS = {name: name for name in ("id", "name", "slug", "description", "count")}

_ORDERS = FilterSupport(
    filters=frozenset({"status", "customer", "product", "search", "parent", "dp"}),
    lists=frozenset({"status"}),
    orders=_POSTS,
    created=True,
    modified=True,
)
_PRODUCTS = FilterSupport(
    filters=frozenset(
        {
            "status", "type", "sku", "slug", "featured", "category", "tag", "shipping_class",
            "attribute", "attribute_term", "tax_class", "on_sale", "min_price", "max_price",
            "stock_status", "search", "parent",
        }
    ),
    orders={
        **_POSTS, "name": "title", "price": "price", "popularity": "popularity",
        "rating": "rating", "menu_order": "menu_order",
    },
    created=True,
    modified=True,
)  # fmt: skip
_CATEGORIES = FilterSupport(
    filters=frozenset({"slug", "parent", "product", "hide_empty", "search"}), orders=_TERMS
)
_PLAIN_TERMS = FilterSupport(
    filters=frozenset({"slug", "product", "hide_empty", "search"}), orders=_TERMS
)

#: By the collection's name in the hub.
ABILITIES: dict[str, FilterSupport] = {
    "orders": _ORDERS,
    "products": _PRODUCTS,
    "discounts": FilterSupport(
        filters=frozenset({"status", "code", "search"}),
        orders={**_POSTS, "code": "title"},
        created=True,
        modified=True,
    ),
    "customers": FilterSupport(
        filters=frozenset({"email", "role", "search"}),
        orders={
            "id": "id", "name": "name", "created_date": "registered_date",
            "date_created": "registered_date",
        },
        created=True,
        dated_order="registered_date",
    ),
    "products-categories": _CATEGORIES,
    "products-tags": _PLAIN_TERMS,
    "products-shipping-classes": _PLAIN_TERMS,
    "products-attributes": FilterSupport(whole=True),
    "products-reviews": FilterSupport(
        filters=frozenset({"status", "product", "reviewer", "reviewer_email", "search"}),
        orders={"id": "id", "created_date": "date", "date_created": "date", "product": "product"},
        created=True,
    ),
    "taxes": FilterSupport(
        filters=frozenset({"class"}),
        ids=False,
        orders={"id": "id", "order": "order", "priority": "priority"}
    ),
    "variations": FilterSupport(
        filters=frozenset({"status", "sku", "stock_status", "on_sale", "search"}),
        orders=_POSTS,
        created=True,
        modified=True,
    ),
    "refunds": FilterSupport(filters=frozenset({"search", "dp"}), orders=_BY_DATE, created=True),
    "orders-comments": FilterSupport(filters=frozenset({"type"}), whole=True),
}  # fmt: skip
