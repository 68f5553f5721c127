"""The collections of a WooCommerce store: how each is listed, filtered and read."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import enum
import re
import typing as t

from ..errors import InputError
from ..values.validation import is_id


class Trash(enum.Enum):
    """How a store lists the trash of a collection."""

    NONE = "none"  #: there is no trash
    BY_STATUS = "by-status"  #: ``status=trash`` lists it


@dataclasses.dataclass(frozen=True)
class ParentLink:
    """The relation of a collection to its parent collection."""

    #: The hub's name of the parent collection.
    parent: str
    #: Path of the children of one parent, with ``{}`` for its id.
    path: str
    #: The parent's field that lists its children, if it has one.
    named_in: str = ""
    #: Newer versions list all children at the collection's own path
    #: (``/refunds`` from WooCommerce 9.x, ``/variations`` in 11.0).
    own_route: bool = True
    #: Fewest parents that the rolling comparison reads in one poll.
    parents_at_once: int = 10
    #: Children inherit empty fields from their parent: image, stock, tax class.
    inherits: bool = False
    #: Query for the parents that can have children.
    parent_filter: tuple[tuple[str, str], ...] = ()

    def names(self, parent: cabc.Mapping[str, t.Any]) -> set[int]:
        """Return the ids of the children that a parent's JSON names."""
        named = parent.get(self.named_in)
        listed = named if isinstance(named, list) else ()
        ids = [one.get("id") if isinstance(one, dict) else one for one in listed]
        return {one for one in ids if is_id(one)}


@dataclasses.dataclass(frozen=True)
class Collection:
    """One collection of the REST API, and what it supports."""

    #: The hub's name, the last part of ``/hubs/ecommerce/<name>``.
    hub_name: str
    #: Path below ``/wp-json/wc/v3/``, or a complete path that begins with ``/wp-json/``.
    path: str
    #: The list supports ``modified_after`` (WooCommerce 5.8: orders, products, coupons).
    has_date_filter: bool = False
    #: Some changes do not update the date: every poll compares the whole collection.
    compare_whole: bool = False
    #: Every poll compares the newest objects, in addition to the rolling comparison.
    compare_newest: bool = False
    #: Objects leave the list and return to it without being deleted or created, and no date shows
    #: it.
    rejoined: bool = False
    trash: Trash = Trash.NONE
    #: The list supports ``orderby=id``.
    orders_by_id: bool = False
    #: A missing object is answered with 403 instead of 404 (reviews, WooCommerce 8.0).
    forbids_missing: bool = False
    #: Objects have a date of creation.
    dated: bool = True
    #: Fields that hold the dates in UTC.
    modified_field: str = "date_modified_gmt"
    created_field: str = "date_created_gmt"
    #: The parent collection, if the objects have one.
    below: ParentLink | None = None

    @property
    def is_custom(self) -> bool:
        """Whether it is known by its path alone: nothing is known of its fields."""
        return self.path.startswith("/")

    @property
    def is_woocommerce(self) -> bool:
        """Whether WooCommerce's own routes list it, by hub path or by the store's own."""
        return not self.is_custom or self.path.startswith("/wp-json/wc/")


_KNOWN = (
    Collection(
        "orders", "orders", True, compare_newest=True, trash=Trash.BY_STATUS, orders_by_id=True
    ),
    Collection("products", "products", True, trash=Trash.BY_STATUS, orders_by_id=True),
    Collection(
        "discounts", "coupons", compare_whole=True, trash=Trash.BY_STATUS, orders_by_id=True
    ),
    Collection("customers", "customers", compare_newest=True, rejoined=True, orders_by_id=True),
    Collection(
        "products-categories",
        "products/categories",
        compare_newest=True,
        orders_by_id=True,
        dated=False,
    ),
    Collection(
        "products-tags", "products/tags", compare_newest=True, orders_by_id=True, dated=False
    ),
    Collection("products-attributes", "products/attributes", dated=False),
    Collection(
        "products-shipping-classes",
        "products/shipping_classes",
        compare_newest=True,
        orders_by_id=True,
        dated=False,
    ),
    Collection(
        "products-reviews",
        "products/reviews",
        compare_newest=True,
        rejoined=True,
        orders_by_id=True,
        forbids_missing=True,
    ),
    Collection("taxes", "taxes", compare_newest=True, orders_by_id=True, dated=False),
    Collection(
        "variations",
        "variations",
        True,
        trash=Trash.BY_STATUS,
        orders_by_id=True,
        below=ParentLink(
            "products",
            "products/{}/variations",
            named_in="variations",
            inherits=True,
            parent_filter=(("type", "variable"),),
        ),
    ),
    Collection(
        "refunds",
        "refunds",
        compare_newest=True,
        orders_by_id=True,
        below=ParentLink("orders", "orders/{}/refunds", named_in="refunds", parents_at_once=100),
    ),
    Collection(
        "orders-comments",
        "orders/notes",
        below=ParentLink("orders", "orders/{}/notes", own_route=False),
    ),
)

#: Other names of the known collections.
_ALIASES = {
    "coupons": "discounts",
    "projects": "products",  # a typing error of the documentation
    "products/categories": "products-categories",
    "products/tags": "products-tags",
    "products/attributes": "products-attributes",
    "products/shipping_classes": "products-shipping-classes",
    "products/reviews": "products-reviews",
    "reviews": "products-reviews",
    "products-variations": "variations",
    "products/variations": "variations",
    "orders-refunds": "refunds",
    "orders/refunds": "refunds",
    "orders/comments": "orders-comments",
    "orders-notes": "orders-comments",
    "orders/notes": "orders-comments",
}
_BY_NAME = {collection.hub_name: collection for collection in _KNOWN}
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+\Z")

#: The resources polled when a configuration names none.
DEFAULT_RESOURCES = ("customers", "discounts", "orders", "products")


def named(hub_name: str) -> Collection:
    """Return the known collection with this name."""
    return _BY_NAME[hub_name]


def names() -> tuple[str, ...]:
    """Return the hub's names of all known collections."""
    return tuple(_BY_NAME)


def resolve(url: str) -> Collection:
    """Return the collection of a poller's ``url``.

    The hub segment is ignored (Cloud Elements: ``/hubs/crap/orders`` is ``/orders``).

    :param url: ``/hubs/ecommerce/orders``, ``/orders`` or ``/wp-json/...``, with or without query.
    :raises InputError: the text is not such a path.
    """
    path = url.split("?", 1)[0].strip()
    if not path.startswith("/"):
        raise InputError(
            f"url must be a path such as /hubs/ecommerce/orders, not {url[:200]!r}", "url"
        )
    segments = [segment for segment in path.split("/") if segment]
    if not segments or not all(_SEGMENT.match(segment) for segment in segments):
        raise InputError(f"url is not a path that a store can have: {url[:200]!r}", "url")
    if segments[0] == "wp-json":
        return Collection(path, "/" + "/".join(segments), dated=False)
    if segments[0] == "hubs":
        segments = segments[2:]
    name = "/".join(segments)
    known = _BY_NAME.get(_ALIASES.get(name, name))
    if known is not None:
        return known
    if not name:
        raise InputError(f"url names no resource: {url[:200]!r}", "url")
    raise InputError(
        f"the hub has no resource {name!r}; it has {', '.join(sorted(_BY_NAME))}. "
        f"For anything else give the store's own path, /wp-json/wc/v3/{name}",
        "url",
    )
