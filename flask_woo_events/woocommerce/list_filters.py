"""Filters and orders that the collections of a store support.

WooCommerce ignores unknown parameters and answers with all objects. So only what is in these
tables is passed on, and rows are filtered by everything else (wc/v3 of WooCommerce 5.9 to 11.0).
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import re

from ..errors import InputError
from .ceql import Condition, Where, conditions_of

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
#: Members of rows that have other names in the documented service.
_ALIASES = {
    "created_date": "date_created",
    "updated_date": "date_modified",
    "modified_date": "date_modified",
}
#: Parameters of a store that are no members of its rows.
_PARAMETERS = frozenset(
    {
        "after", "attribute", "attribute_term", "before", "category", "customer", "date_max",
        "date_min", "dp", "exclude", "hide_empty", "include", "max_price", "min_price",
        "modified_after", "modified_before", "period", "product", "search", "tag",
    }
)  # fmt: skip
#: Parameters that take the id of an object whose name or slug the member of the same name shows.
_BY_ID = frozenset({"reviewer", "shipping_class"})
#: Parameters that a store ignores if they are 0 (``empty`` in PHP).
_NOT_ZERO = frozenset({"attribute_term", "category", "max_price", "product", "tag"})
#: Statuses of objects that a list shows only if its parameter names them.
_HIDDEN = frozenset({"any", "all", "auto-draft", "checkout-draft", "spam", "trash"})


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
    :param parameters: filters that are no members of its rows, or another one.
    :param narrowed: members that the list is filtered by unless its parameter is ``all``.
    """

    filters: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()
    ids: bool = True
    orders: cabc.Mapping[str, str] = dataclasses.field(default_factory=dict)
    created: bool = False
    modified: bool = False
    dated_order: str = ""
    whole: bool = False
    parameters: frozenset[str] = frozenset()
    narrowed: frozenset[str] = frozenset()

    @property
    def names(self) -> list[str]:
        """Parameters and fields that filter it, for errors."""
        dates = ["created_date", "after", "before"] if self.created else []
        dates += ["date_modified", "modified_after", "modified_before"] if self.modified else []
        ids = ["id", "include", "exclude"] if self.ids else []
        return sorted({*ids, *self.filters, *dates})

    def split(self, parts: cabc.Iterable[Where]) -> tuple[Params, tuple[Where, ...]]:
        """Divide a ``where`` into the store's parameters and the rest, which rows are tested for.

        :param parts: the conditions that must all hold.
        :raises InputError: a condition that is neither a parameter nor about a member.
        """
        params: Params = {}
        rest: list[Where] = []
        for part in parts:
            pairs = self._params(part) if isinstance(part, Condition) else []
            if pairs and all(params.get(name, value) == value for name, value in pairs):
                params.update(pairs)
            else:
                rest.append(self._of_rows(part))
        if ("attribute" in params) != ("attribute_term" in params):
            raise InputError(
                "the store filters by attribute only together with attribute_term: "
                "attribute='pa_color' and attribute_term=12",
                "where",
            )
        tested = {condition.field for part in rest for condition in conditions_of(part)}
        for name in self.narrowed & tested:
            params.setdefault(name, "all")
        return params, tuple(rest)

    def has_parameter(self, name: str) -> bool:
        """Return whether a query can have a parameter of this name beside ``where``."""
        dates = (self.created and name in _CREATED) or (self.modified and name in _MODIFIED)
        return self.whole or dates or name in self.names

    def has_text(self, name: str) -> bool:
        """Return whether a parameter is also a member of the rows that may be an empty text."""
        others = _PARAMETERS | self.parameters | _CREATED.keys() | _MODIFIED.keys() | {"id"}
        return name not in others

    @property
    def sent(self) -> frozenset[str]:
        """Parameters that a poller can send: the store itself filters by them."""
        ids = {"include", "exclude"} if self.ids else set()
        created = {"after", "before"} if self.created and not self.dated_order else set()
        modified = {"modified_after", "modified_before"} if self.modified else set()
        return self.filters | ids | created | modified

    def check_sent(self, name: str, value: str) -> None:
        """Check a parameter of a poller.

        :raises InputError: the store would ignore it and list everything.
        """
        if name not in self.sent:
            raise InputError(
                f"the store cannot filter this list by {name!r}, so where takes "
                f"{', '.join(sorted(self.sent)) or 'nothing'}; a parameter that a plugin of the "
                f"store adds is written without where: ?{name}=...",
                "url",
            )
        if not value.strip() or (name in _NOT_ZERO and value == "0"):
            raise InputError(f"the store ignores {name} if it is {value!r}", "url")

    def _of_rows(self, where: Where) -> Where:
        """Return a ``where`` with the names that the rows' members have.

        :raises InputError: it names what is no member, or rows that the list does not show.
        """
        if not isinstance(where, Condition):
            return dataclasses.replace(where, parts=tuple(map(self._of_rows, where.parts)))
        field, text = where.field, where.text
        if field in _PARAMETERS or field in self.parameters:
            if field not in self.names:
                raise InputError(
                    f"{field} is no member of these objects; their list has the parameters "
                    f"{', '.join(self.names) or 'none'}",
                    "where",
                )
            raise InputError(
                f"{field} is a parameter of the store: it takes one value, compared once by = "
                f"and outside of OR, unlike {text!r}",
                "where",
            )
        if field in ("role", "status") and field in self.filters and where.op in ("=", "in"):
            hidden = _HIDDEN.intersection(where.texts)
            if hidden:
                raise InputError(
                    f"{field} {min(hidden)!r} must be compared by = and outside of OR, unlike "
                    f"{text!r}: the store lists these objects only by themselves",
                    "where",
                )
        return dataclasses.replace(where, field=member_of(field))

    def _params(self, condition: Condition) -> list[tuple[str, str]]:
        """Return the parameters of a condition; none if the store has none."""
        field, op, value = condition.field, condition.op, condition.value
        if self.ids and field in ("id", "include", "exclude"):
            return self._ids(condition)
        if self.created and field in ("after", "before") and op == "=":
            return [(field, _date(value))]
        if self.modified and field in ("modified_after", "modified_before") and op == "=":
            return [(field, _date(value))]
        if self.created and field in _CREATED:
            return _range(condition, ("after", "before"), _CREATED[field])
        if self.modified and field in _MODIFIED:
            return _range(condition, ("modified_after", "modified_before"), _MODIFIED[field])
        values = [one.strip() for one in condition.texts]
        # WooCommerce ignores an empty parameter, and would return everything.
        sent = all(values) and not (field in _NOT_ZERO and "0" in values)
        if field in _BY_ID and not _IDS.match(value):
            sent = False
        if sent and field in self.filters and op == "=":
            return [(field, value)]
        if sent and field in self.lists and op == "in":
            return [(field, ",".join(values))]
        return []

    def _ids(self, condition: Condition) -> list[tuple[str, str]]:
        name = "exclude" if condition.field == "exclude" else "include"
        if condition.field == "id" and condition.op == "!=":
            name = "exclude"
        elif condition.op not in ("=", "in"):
            return []
        ids = ",".join(condition.texts).replace(" ", "")
        if not _IDS.match(ids):
            raise InputError(f"ids are whole numbers, unlike {condition.text!r}", "where")
        return [(name, ids)]


def member_of(field: str) -> str:
    """Return the member of rows that a field of a query means."""
    return _ALIASES.get(field, field)


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
    return [(name, _shifted(text, step * _SECOND, zone)) for name, step in ends.get(op, [])]


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
    parameters=frozenset({"parent"}),
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
    parameters=frozenset({"parent"}),
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
        narrowed=frozenset({"role"}),
    ),
    "products-categories": _CATEGORIES,
    "products-tags": _PLAIN_TERMS,
    "products-shipping-classes": _PLAIN_TERMS,
    "products-attributes": FilterSupport(ids=False, whole=True),
    "products-reviews": FilterSupport(
        filters=frozenset({"status", "product", "reviewer", "reviewer_email", "search"}),
        orders={"id": "id", "created_date": "date", "date_created": "date", "product": "product"},
        created=True,
        narrowed=frozenset({"status"}),
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
    "orders-comments": FilterSupport(
        filters=frozenset({"type"}), ids=False, whole=True, parameters=frozenset({"type"})
    ),
}  # fmt: skip
