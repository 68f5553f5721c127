"""The listing of one resource: with which parameters this store tells all of its objects."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import itertools
import re
import typing as t
import urllib.parse

from ..errors import InputError, StoreAccessError, StoreGarbledError, StoreRejectedError
from ..values.dates import expand_macros, store_param
from .ceql import Condition, read_where
from .client import StoreClient, StoreResponse
from .endpoints import Collection, Trash

Params = dict[str, str | int | bool]
Fetch = cabc.Callable[[int, int], StoreResponse]

#: What a window asks of each row; the rest is read only of rows that changed.
LIGHT_FIELDS = "id,date_modified_gmt,status"
#: ``include_status`` on products (seen on 9.9.5 and 11.0.1, silently ignored by 9.4.2).
_INCLUDE_STATUS_SINCE = (9, 9)
#: Conditions of a ``where`` that WooCommerce knows under another name.
_NATIVE = {"created_date": "after", "date_created": "after", "after": "after"}
#: Parameters of the page and its order, which are the poller's own.
_OURS = {"page", "per_page", "offset", "order", "orderby", "_fields", "pageSize", "nextPage"}
#: Enough to change every field of a date.
_STEP = dt.timedelta(days=400, hours=1, minutes=1, seconds=1, milliseconds=1)
#: Lower bounds on the modified date: the poller's own window replaces them.
_MODIFIED = {"date_modified", "date_modified_gmt", "modified_after", "updated_date"}


@dataclasses.dataclass(frozen=True)
class Filters:
    """What a poller's ``url`` asks for besides the path."""

    params: cabc.Mapping[str, str]
    #: The url moves with the last poll's date: its listing is never the whole collection.
    feed: bool


def read_filters(url: str, *, last_poll: dt.datetime, now: dt.datetime) -> Filters:
    """Expand the macros of a poller's ``url`` and turn its query into native parameters.

    :param last_poll: what ``${date}`` and its like mean, aware.
    :raises InputError: the ``where`` cannot be understood.
    """
    params = _native_params(expand_macros(url, last_poll=last_poll, now=now))
    # What moves is what another date makes another: a macro may stand where it does not matter.
    moved = _native_params(expand_macros(url, last_poll=last_poll - _STEP, now=now - _STEP))
    return Filters(params, params != moved)


def _native_params(url: str) -> dict[str, str]:
    params: dict[str, str] = {}
    for name, value in urllib.parse.parse_qsl(url.partition("?")[2], keep_blank_values=True):
        if name == "where":
            pairs = [_native_condition(condition) for condition in read_where(value, "url")]
            params.update(pair for pair in pairs if pair is not None)
        elif name.endswith("[]"):
            # The client sends lists joined with commas.
            listed = name.removesuffix("[]")
            params[listed] = f"{params[listed]},{value}" if listed in params else value
        elif name not in _OURS:
            params[name] = value
    return params


def _native_condition(condition: Condition) -> tuple[str, str] | None:
    field, op, value = condition.field, condition.op, condition.value
    if field in _MODIFIED and op in (">", ">="):
        return None
    if field in _NATIVE and op in (">", ">=", "="):
        return _NATIVE[field], value
    if op == "=":
        return field, value
    raise InputError(f"the store cannot filter by {condition.text!r}", "url")


class Listing:
    """One resource at one store.

    :param page_size: rows a page, 2 to 100.
    :param version: WooCommerce's version as the store told it, empty when it did not.
    :param statuses: the store's own order statuses, without ``trash``; only for orders.
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
    ) -> None:
        self.client = client
        self.collection = collection
        self.page_size = page_size
        self._filters = filters
        self._version = parse_version(version)
        self._statuses = tuple(statuses)

    @property
    def is_feed(self) -> bool:
        """The listing shows only what moved since the last poll."""
        return self._filters.feed

    def below(self, parent: int) -> Listing:
        """The listing of what belongs to one parent."""
        below = self.collection.below
        assert below is not None
        collection = dataclasses.replace(self.collection, path=below.path.format(parent))
        return Listing(self.client, collection, self._filters, page_size=self.page_size)

    def page(self, offset: int, limit: int) -> StoreResponse:
        """Live objects in full, in the order of their ids."""
        return self._get(self._live() | _by_id(offset, limit))

    def newest(self, offset: int, limit: int) -> StoreResponse:
        """Live objects in full, the newest first."""
        return self._get(self._live() | _by_id(offset, limit) | {"order": "desc"})

    def ordered(self, orderby: str, order: str, offset: int, limit: int) -> StoreResponse:
        """Live objects in an order that the store knows, which may not be the same twice."""
        chosen: Params = {"orderby": orderby, "order": order}
        return self._get(self._live() | _by_id(offset, limit) | chosen)

    def numbered(self, page: int, limit: int) -> StoreResponse:
        """One page of a collection that cannot be ordered by id."""
        return self._get(self._live() | {"per_page": limit, "page": page})

    def brief(self, offset: int, limit: int, fields: str) -> StoreResponse:
        """Live objects in the order of their ids, with only these fields."""
        return self._get(self._live() | _by_id(offset, limit) | {"_fields": fields})

    def ids(self, offset: int, limit: int) -> list[int]:
        """Ids of live objects, ascending.

        :raises StoreGarbledError: they are not in that order.
        """
        answer = self.client.get_list(
            self.collection.path,
            {**self._filters.params, **self._live(), **_by_id(offset, limit), "_fields": "id"},
            ids=True,
        )
        ids = [int(row["id"]) for row in answer.data]
        if any(left >= right for left, right in itertools.pairwise(ids)):
            raise StoreGarbledError("the ids are not in order, which was asked for", status=200)
        return ids

    def total(self) -> int | None:
        """How many live objects the store counts now."""
        return self._get(self._live() | _by_id(0, 1) | {"_fields": "id"}).total

    def windows(self, after: dt.datetime, fields: str = LIGHT_FIELDS) -> list[Fetch]:
        """Listings that together hold every object modified after a date, trashed ones too.

        :param after: exclusive, the store's clock. It goes out as naive UTC with
            ``dates_are_gmt``: with ``Z`` WooCommerce compares local time with UTC.
        """
        dates: Params = {
            "modified_after": store_param(after),
            "dates_are_gmt": "true",
            "_fields": fields,
        }
        return [self._window(dates | status) for status in self._window_statuses()]

    def by_ids(self, ids: cabc.Sequence[int], fields: str = "") -> StoreResponse:
        """Those of the objects that are live, in full unless fields are named; at most 100 ids."""
        include: Params = {"include": ",".join(str(one) for one in ids)}
        chosen: Params = {"_fields": fields} if fields else {}
        return self._get(self._live() | _by_id(0, 100) | include | chosen)

    def one(self, object_id: int, fields: str = "") -> dict[str, t.Any] | None:
        """An object by its own address, in the trash or not; ``None`` when there is none.

        :raises StoreGarbledError: the store answers with another object.
        """
        path = f"{self.collection.path}/{object_id}"
        try:
            answer = self.client.get(path, {"_fields": fields} if fields else {})
        except StoreRejectedError as exc:
            if exc.status in (404, 410):
                return None
            raise
        except StoreAccessError as exc:
            # The list of the others could be read with these keys.
            if self.collection.forbids_missing and exc.code == "woocommerce_rest_cannot_view":
                return None
            raise
        if not isinstance(answer.data, dict) or answer.data.get("id") != object_id:
            raise StoreGarbledError(
                f"the store answered {path} with another object", status=answer.status
            )
        return answer.data

    def exists(self, object_id: int) -> bool:
        """Whether the store has this object outside the trash, asked by its own address."""
        body = self.one(object_id)
        return body is not None and self._is_listed(body)

    def _is_listed(self, body: cabc.Mapping[str, t.Any]) -> bool:
        """Whether the list that was asked for should hold this object."""
        filters = dict(self._filters.params)
        if self.collection.hub_name == "customers":
            filters.setdefault("role", "customer")
            if filters["role"] == "all":
                del filters["role"]
        if self.collection.hub_name == "products-reviews":
            filters.setdefault("status", "approved")
            if filters["status"] == "all":
                del filters["status"]
        if self.collection.trash is Trash.BY_STATUS and body.get("status", "trash") == "trash":
            # WooCommerce 5.9 has no status on coupons: absence from the list is the only sign.
            return False
        # By what the body does not show, only the store can tell.
        return all(
            str(body.get(name)) in value.split(",") or (name, value) == ("status", "any")
            for name, value in filters.items()
        )

    def _window(self, params: Params) -> Fetch:
        return lambda offset, limit: self._get(params | _by_id(offset, limit))

    def _get(self, params: Params) -> StoreResponse:
        return self.client.get_list(self.collection.path, {**self._filters.params, **params})

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


def _by_id(offset: int, limit: int) -> Params:
    params: Params = {"orderby": "id", "order": "asc", "per_page": limit}
    return params | {"offset": offset} if offset else params


def parse_version(version: str) -> tuple[int, ...]:
    """``(11, 0, 1)`` of ``11.0.1``; empty when it is unknown."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def order_statuses(client: StoreClient) -> tuple[str, ...]:
    """The store's own order statuses, plugins' included (WooCommerce 5.9 to 11.0)."""
    answer = client.get_list("reports/orders/totals")
    slugs = [row.get("slug") for row in answer.data]
    if not slugs or not all(isinstance(slug, str) and slug for slug in slugs):
        raise StoreGarbledError("the store's list of order statuses is not one", status=200)
    return tuple(t.cast("list[str]", slugs))
