"""The list of one resource: the parameters with which a store returns all of its objects."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import itertools
import re
import typing as t

from ..errors import (
    ObjectUnreadableError,
    StoreAccessError,
    StoreGarbledError,
    StoreOrderError,
    StoreRejectedError,
    TransportError,
)
from ..values.dates import store_param
from .client import StoreClient, StoreResponse
from .endpoints import Collection, Trash
from .poller_filters import Filters, read_filters
from .rows import INCLUDE_AT_ONCE, Params, RowReader, may_be_rows
from .unreadable import Unreadable

__all__ = [
    "INCLUDE_AT_ONCE",
    "Filters",
    "Listing",
    "Params",
    "order_statuses",
    "read_filters",
]

Fetch = cabc.Callable[[int, int], StoreResponse]

#: Fields that a window reads of each row; changed rows are then read in full.
LIGHT_FIELDS = "id,date_modified_gmt,status"
#: ``include_status`` on products (seen on 9.9.5 and 11.0.1, silently ignored by 9.4.2).
_INCLUDE_STATUS_SINCE = (9, 9)
#: Parameters that decide how objects are shown, and not which. ``lang`` is not one of them:
#: plugins for several languages list the objects of one.
REPRESENTATION = frozenset({"_embed", "_envelope", "_jsonp", "_locale", "context", "dp"})
#: The field by which an object belongs to a collection, and the value that WooCommerce lists
#: by default.
_MEMBERS = {"customers": ("role", "customer"), "products-reviews": ("status", "approved")}
_BY_ID: Params = {"orderby": "id", "order": "asc"}
#: Statuses of orders that nobody has placed: a cart in the block checkout, and an order that is
#: being entered. WooCommerce deletes them after a day, and some versions show them with ``any``.
UNPLACED = ("checkout-draft", "auto-draft")


class Listing:
    """The requests that list one resource of one store.

    :param page_size: rows per page, 2 to 100.
    :param version: WooCommerce's version as the store reported it, or empty.
    :param statuses: the store's order statuses, without ``trash``; only for orders. Those of orders
        that were not placed are left out, unless the url names them.
    :param unreadable: objects that the store fails to show; it is kept up to date.
    """

    def __init__(
        self,
        client: StoreClient,
        collection: Collection,
        filters: Filters,
        *,
        page_size: int = 100,
        version: str = "",
        statuses: cabc.Sequence[str] = (),
        unreadable: Unreadable | None = None,
    ) -> None:
        self.client = client
        self.collection = collection
        self.page_size = page_size
        self.unreadable = Unreadable() if unreadable is None else unreadable
        self._reader = RowReader(client, collection.path, self.unreadable, page_size)
        self._filters = filters
        self._version = parse_version(version)
        self._statuses = tuple(one for one in statuses if one not in UNPLACED)
        self._unplaced = tuple(one for one in statuses if one in UNPLACED)

    @property
    def is_feed(self) -> bool:
        """Whether the list holds only objects changed since the last poll."""
        return self._filters.feed

    def unfiltered(self) -> Listing:
        """Return the listing of all objects of the collection."""
        # Without these, a store lists customers of one role and approved reviews.
        params = {"customers": {"role": "all"}, "products-reviews": {"status": "all"}}
        shown = {name: one for name, one in self._filters.params.items() if name in REPRESENTATION}
        return Listing(
            self.client,
            self.collection,
            Filters({**params.get(self.collection.hub_name, {}), **shown}, feed=False),
            page_size=self.page_size,
            version=".".join(str(part) for part in self._version),
            statuses=(*self._statuses, *self._unplaced),
            unreadable=self.unreadable,
        )

    def unplaced(self) -> Listing | None:
        """Return the listing of orders that were not placed, if this one leaves any out."""
        if self.collection.hub_name != "orders" or not self._unplaced:
            return None
        if "status" in self._filters.params:
            return None
        params = {**self._filters.params, "status": ",".join(self._unplaced)}
        filters = dataclasses.replace(self._filters, params=params)
        return Listing(
            self.client,
            self.collection,
            filters,
            page_size=self.page_size,
            unreadable=self.unreadable,
        )

    def below(self, parent: int) -> Listing:
        """Return the listing of one parent's children."""
        below = self.collection.below
        assert below is not None
        collection = dataclasses.replace(self.collection, path=below.path.format(parent))
        return Listing(
            self.client,
            collection,
            self._filters,
            page_size=self.page_size,
            unreadable=self.unreadable,
        )

    @property
    def at_once(self) -> int:
        """How many rows or ids one request may have."""
        return self._reader.at_once

    def check_up(self, exc: TransportError) -> None:
        """Raise the error of a request unless the store can show some object of the collection."""
        self._reader.check_up(exc)

    def page(self, offset: int, limit: int) -> StoreResponse:
        """Read live objects in full, by ascending id."""
        return self._rows(self._live() | _BY_ID, offset, limit)

    def newest(self, offset: int, limit: int) -> StoreResponse:
        """Read live objects in full, by descending id."""
        return self._rows(self._live() | _BY_ID | {"order": "desc"}, offset, limit)

    def ordered(self, orderby: str, order: str, offset: int, limit: int) -> StoreResponse:
        """Read live objects in another order of the store, which may vary between requests."""
        return self._rows(self._live() | {"orderby": orderby, "order": order}, offset, limit)

    @property
    def orders(self) -> list[Params]:
        """The orders in which to try to read it by page number: by id, as the url says, any."""
        by_id: Params = {"orderby": "id", "order": "asc"}
        if self.collection.orders_by_id:
            return [by_id, {}]  # A plugin may put another order in place of ours.
        named: Params = {**self._filters.order}
        return [by_id, named, {}] if named else [by_id, {}]

    def numbered(
        self,
        page: int,
        limit: int,
        order: Params | None = None,
        left_out: cabc.Sequence[int] = (),
    ) -> StoreResponse:
        """Read one page of a collection that may not support ``offset``.

        :param left_out: unreadable objects, the same for all pages.
        """
        params = {**self._filters.params, **self._live(), **(order or {})}
        return self._reader.numbered(params, page, limit, left_out)

    def brief(self, offset: int, limit: int, fields: str) -> StoreResponse:
        """Read some fields of live objects, by ascending id."""
        return self._rows(self._live() | _BY_ID | {"_fields": fields}, offset, limit)

    def ids(self, offset: int, limit: int) -> list[int]:
        """Read ids of live objects, ascending.

        :raises StoreGarbledError: the ids are not in that order.
        """
        params = self._live() | _BY_ID | {"_fields": "id"}
        answer = self._rows(params, offset, limit, fill=True)
        ids = [row["id"] for row in answer.data]
        if any(left >= right for left, right in itertools.pairwise(ids)):
            raise StoreOrderError("the ids are not in the requested order", status=200)
        return ids

    def total(self) -> int | None:
        """Return the store's count of live objects."""
        return self._rows(self._live() | _BY_ID | {"_fields": "id"}, 0, 1).total

    def windows(
        self, after: dt.datetime, fields: str = LIGHT_FIELDS, *, until: dt.datetime | None = None
    ) -> list[Fetch]:
        """Return the lists that together hold all objects modified after a date, also trashed ones.

        :param after: exclusive, by the store's clock. It is sent as naive UTC with
            ``dates_are_gmt``: with ``Z`` WooCommerce would compare local time with UTC.
        :param until: the last date, inclusive.
        """
        dates: Params = {
            "modified_after": store_param(after),
            "dates_are_gmt": "true",
            "_fields": fields,
        }
        if until is not None:
            # WooCommerce leaves out the date itself; dates have no fractions.
            dates["modified_before"] = store_param(until + dt.timedelta(seconds=1))
        return [self._window(dates | status) for status in self._window_statuses()]

    def by_ids(
        self, ids: cabc.Sequence[int], fields: str = "", *, again: bool = False
    ) -> StoreResponse:
        """Read those of these objects that are live, in full unless ``fields`` is given.

        :param again: also those that could not be read before.
        """
        chosen: Params = {"_fields": fields} if fields else {}
        params = {**self._filters.params, **self._live(), **_BY_ID, **chosen}
        return self._reader.named(params, ids, again=again)

    def one(self, object_id: int | str, fields: str = "") -> dict[str, t.Any] | None:
        """Read one object, in the trash or not; return ``None`` if there is none.

        :raises StoreGarbledError: the store answers with another object.
        :raises ObjectUnreadableError: the store fails to show it, and shows others.
        :raises StoreRejectedError: the objects have no addresses of their own.
        """
        path = f"{self.collection.path}/{object_id}"
        try:
            answer = self.client.get(path, {"_fields": fields} if fields else {})
        except StoreRejectedError as exc:
            # Without WooCommerce the route is missing, not the object.
            if exc.status in (404, 410) and exc.code not in ("", "rest_no_route"):
                return None
            raise
        except StoreAccessError as exc:
            # These keys could read the list.
            if self.collection.forbids_missing and exc.code == "woocommerce_rest_cannot_view":
                return None
            raise
        except TransportError as exc:
            if not may_be_rows(exc):
                raise
            self._reader.check_up(exc)
            if str(object_id).isdecimal():
                self.unreadable.add(int(object_id))
            raise ObjectUnreadableError(f"{path} cannot be read: {exc}", url=exc.url) from exc
        if not isinstance(answer.data, dict) or str(answer.data.get("id")) != str(object_id):
            raise StoreGarbledError(
                f"the store answered {path} with another object", status=answer.status
            )
        return answer.data

    def count(self, ids: cabc.Sequence[int]) -> int | None:
        """Return the store's count of those of these objects that are live, at any number."""
        include: Params = {"include": ",".join(str(one) for one in ids), "_fields": "id"}
        return self._rows(self._live() | _BY_ID | include, 0, 1).total

    def included(self, object_ids: cabc.Sequence[str]) -> StoreResponse:
        """Read those of these objects that the list holds, if it supports ``include``."""
        return self._named(self._live(), [int(one) for one in object_ids])

    def matches(self, body: cabc.Mapping[str, t.Any]) -> bool | None:
        """Return whether an object has the values that the url's filters name.

        :return: ``None`` if a filter names something that is not a field of the object.
        """
        unknown = False
        for name, value in self._filters.params.items():
            field = body.get(name)
            if isinstance(field, bool) or not isinstance(field, str | int):
                unknown = True
            elif str(field) not in value.split(",") and (name, value) != ("status", "any"):
                return False
        return None if unknown else True

    def is_placed(self, body: cabc.Mapping[str, t.Any]) -> bool:
        """Return whether an object is more than an order that nobody has placed.

        Such an order is like any other if the poller's ``url`` names its status.
        """
        if self.collection.hub_name != "orders" or body.get("status") not in UNPLACED:
            return True
        return body["status"] in self._filters.params.get("status", "").split(",")

    def excludes(self, body: cabc.Mapping[str, t.Any]) -> bool:
        """Return whether an object does not belong to the collection: it counts as deleted.

        That is in the trash, a user without the polled role, a review that is not approved, and a
        product that became a variation.
        """
        if self.collection.trash is Trash.BY_STATUS and body.get("status", "trash") == "trash":
            # WooCommerce 5.9 has no status on coupons: absence from the list is the only sign.
            return True
        return not self.is_member(body)

    def is_member(self, body: cabc.Mapping[str, t.Any]) -> bool:
        """Return whether an object that exists has the role, approval or type of the collection."""
        name = self.collection.hub_name
        if name == "products":
            return body.get("type") != "variation"
        field, default = _MEMBERS.get(name, ("", ""))
        wanted = self._filters.params.get(field, default)
        return wanted in ("", "all") or str(body.get(field)) in wanted.split(",")

    def without_role(self, ids: cabc.Sequence[int]) -> set[int]:
        """Return those of these users that exist without the polled role.

        The address of a user without any role shows ``customer`` (WooCommerce 8.0 and 11.0). A
        longer list may lack a user because a plugin has cut it off, so it is asked once more.
        """
        role = self._filters.params.get("role", "customer")
        if self.collection.hub_name != "customers" or role == "all" or not ids:
            return set()
        params: Params = {"role": "all", "_fields": "id"}
        users = {row["id"] for row in self._named(_BY_ID | params, ids).data} & set(ids)
        return users - {row["id"] for row in self.by_ids(sorted(users), "id").data}

    @property
    def is_filtered(self) -> bool:
        """Whether the poller's ``url`` selects objects by their content."""
        return bool(self._filters.params)

    def _window(self, params: Params) -> Fetch:
        return lambda offset, limit: self._rows(params | _BY_ID, offset, limit)

    def _rows(
        self, params: Params, offset: int, limit: int, *, fill: bool = False
    ) -> StoreResponse:
        return self._reader.page({**self._filters.params, **params}, offset, limit, fill=fill)

    def _named(self, params: Params, ids: cabc.Sequence[int]) -> StoreResponse:
        return self._reader.named({**self._filters.params, **params}, ids)

    def _live(self) -> Params:
        if "status" in self._filters.params:
            return {}
        if self.collection.hub_name == "orders" and self._statuses:
            return {"status": ",".join(self._statuses)}
        if self.collection.trash is Trash.BY_STATUS:
            return {"status": "any"}
        return {}

    def _window_statuses(self) -> list[Params]:
        chosen = self._filters.params.get("status")
        if chosen is not None:
            return [{"status": chosen}]
        if self.collection.hub_name == "orders" and self._statuses:
            return [{"status": ",".join((*self._statuses, "trash"))}]
        if self.collection.hub_name == "products" and self._version >= _INCLUDE_STATUS_SINCE:
            return [{"include_status": "any,trash"}]
        return [{"status": "any"}, {"status": "trash"}]


def parse_version(version: str) -> tuple[int, ...]:
    """Read ``11.0.1`` as ``(11, 0, 1)``; return ``()`` for an unknown version."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def order_statuses(client: StoreClient) -> tuple[str, ...]:
    """Read the store's order statuses, including those of plugins (WooCommerce 5.9 to 11.0)."""
    answer = client.get_list("reports/orders/totals")
    slugs = [row.get("slug") for row in answer.data]
    if not slugs or not all(isinstance(slug, str) and slug for slug in slugs):
        raise StoreGarbledError("the store's list of order statuses is not one", status=200)
    return tuple(t.cast("list[str]", slugs))
