"""Collections of the hub: the objects of a store that clients read and write."""

from __future__ import annotations

import dataclasses
import datetime as dt

from ...errors import InputError, NotFoundError, StoreGarbledError
from ...woocommerce import endpoints
from ...woocommerce.client import StoreClient, StoreResponse
from ...woocommerce.endpoints import Collection, Trash
from ...woocommerce.list_filters import ABILITIES, FilterSupport, Params
from . import pages
from .pages import CollectionPage, PageQuery, Row, picked

LIST_CALLS = ("GET", "POST")
ITEM_CALLS = ("GET", "PUT", "PATCH", "DELETE")

_PERIOD = FilterSupport(
    filters=frozenset({"period", "date_min", "date_max"}), ids=False, whole=True
)
_REPORTS = {
    "reports": (Collection("reports", "reports"), FilterSupport(ids=False, whole=True)),
    "reports-sales": (Collection("reports-sales", "reports/sales"), _PERIOD),
    "reports-top-sellers": (Collection("reports-top-sellers", "reports/top_sellers"), _PERIOD),
}
#: Child collections by parent.
CHILDREN = {"orders": ("comments", "refunds"), "products": ("variations",)}
#: Child collections whose objects cannot be changed.
_UNCHANGEABLE = frozenset({"refunds", "orders-comments"})

#: The resources without a parent.
NAMES = tuple(
    sorted({name for name in ABILITIES if endpoints.named(name).below is None} | set(_REPORTS))
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CollectionAccess:
    """A collection of one store, or of one of its objects."""

    collection: Collection
    abilities: FilterSupport
    #: HTTP methods of the collection, and of one of its objects.
    calls: tuple[str, ...] = LIST_CALLS
    item_calls: tuple[str, ...] = ITEM_CALLS


def place(resource: str, parent: int | None = None, child: str = "") -> CollectionAccess:
    """Find the collection that a path of the hub names.

    :param parent: id of an object of the resource, for a child collection.
    :raises NotFoundError: the hub has no collection of this name.
    """
    if resource in _REPORTS and not child:
        collection, abilities = _REPORTS[resource]
        return CollectionAccess(
            collection=collection, abilities=abilities, calls=("GET",), item_calls=()
        )
    try:
        collection = endpoints.resolve(f"/hubs/any/{resource}/{child}")
    except InputError:
        raise NotFoundError(f"No resource found; the hub has {', '.join(NAMES)}") from None
    abilities, below = ABILITIES[collection.hub_name], collection.below
    if parent is None:
        if below is None:
            return CollectionAccess(collection=collection, abilities=abilities)
        if not below.own_route:
            raise NotFoundError("No resource found; comments are at /orders/{id}/comments")
        # One list over all parents: WooCommerce 9.x has it for refunds, 11.0 for variations.
        return CollectionAccess(
            collection=collection, abilities=abilities, calls=("GET",), item_calls=()
        )
    if below is None:
        raise NotFoundError(f"No resource found; below {resource} there is no {child}")
    return CollectionAccess(
        collection=dataclasses.replace(collection, path=below.path.format(parent)),
        abilities=abilities,
        item_calls=(("GET", "DELETE") if collection.hub_name in _UNCHANGEABLE else ITEM_CALLS),
    )


def methods(name: str) -> list[str]:
    """Return the HTTP methods of a collection and its objects, below a parent if only there."""
    below = endpoints.named(name).below
    if below is None or below.own_route:
        found = place(name)
    else:
        found = place(below.parent, 0, name.removeprefix(f"{below.parent}-"))
    return list(dict.fromkeys((*found.calls, *found.item_calls)))


def read(client: StoreClient, place: CollectionAccess, query: PageQuery) -> CollectionPage:
    """Read one page of a collection.

    :raises InputError: the store does not support the query.
    """
    return pages.read(client, place.collection, place.abilities, query)


def get(
    client: StoreClient, place: CollectionAccess, object_id: int, fields: tuple[str, ...] = ()
) -> Row:
    """Read one object, also from the trash."""
    params = {"_fields": ",".join(fields)} if fields else {}
    return picked(_object(client.get(f"{place.collection.path}/{object_id}", params)), fields)


def create(client: StoreClient, place: CollectionAccess, body: Row) -> Row:
    """Create an object and return it as the store answers it."""
    return _object(client.post(place.collection.path, body))


def change(client: StoreClient, place: CollectionAccess, object_id: int, body: Row) -> Row:
    """Change the members in the body and return the object as the store answers it."""
    return _object(client.put(f"{place.collection.path}/{object_id}", body))


def delete(client: StoreClient, place: CollectionAccess, object_id: int, params: Params) -> Row:
    """Move an object to the trash, or delete it where there is none; return the old object.

    :param params: ``force`` deletes permanently; ``reassign`` is the user who gets a deleted
        customer's posts.
    """
    trash = place.collection.trash is not Trash.NONE
    if not trash and place.collection.hub_name != "products-reviews":
        params = {**params, "force": "true"}
    return _object(client.delete(f"{place.collection.path}/{object_id}", params))


def ping(client: StoreClient) -> dt.datetime | None:
    """Read one row with the instance's keys and return the store's clock."""
    return client.get_list("products", {"per_page": 1, "_fields": "id"}).date


def _object(answer: StoreResponse) -> Row:
    if not isinstance(answer.data, dict):
        raise StoreGarbledError("the store's answer is not an object", status=answer.status)
    return answer.data
