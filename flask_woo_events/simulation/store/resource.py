"""One kind of object behind the REST API: list, read, create, change, delete, batch."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from . import listing
from .encoding import Json, encode
from .parameters import Parameters
from .responses import RestError, SimulatedRequest, SimulatedResponse, answer, no_trash
from .state import Shop
from .tables import Row, Table

#: Methods of an object, as in ``Allow``.
ITEM = ("GET", "POST", "PUT", "PATCH", "DELETE")

#: Objects in one batch.
BATCH_LIMIT = 100

#: Fields that can be rendered without the whole representation, for ``_fields``.
QUICK_FIELDS: dict[str, cabc.Callable[[Shop, Row], t.Any]] = {
    "id": lambda shop, row: row.id,
    "date_created": lambda shop, row: shop.local(row.created),
    "date_created_gmt": lambda shop, row: shop.gmt(row.created),
    "date_modified": lambda shop, row: shop.local(row.modified),
    "date_modified_gmt": lambda shop, row: shop.gmt(row.modified),
}


class Resource:
    """A kind of object; subclasses define its representation and the effects of changes."""

    kind: t.ClassVar[str]
    #: The path of the collection below ``/wc/v3/``.
    path: t.ClassVar[str]
    rules: t.ClassVar[listing.ListRules] = listing.ListRules()
    #: Code and message of the error for unknown ids.
    invalid_id: t.ClassVar[tuple[str, str]] = ("woocommerce_rest_term_invalid", "Invalid ID.")
    #: The name in the error for a deletion without ``force``; None if there is a trash.
    not_trashable: t.ClassVar[str | None] = None
    #: Whether objects can be created and deleted here.
    writable: t.ClassVar[bool] = True
    #: Whether its objects have addresses below its own.
    has_items: t.ClassVar[bool] = True
    #: Whether objects can be changed here.
    changeable: t.ClassVar[bool] = True
    #: Whether rows keep their encoded representation here; it belongs to one collection of a kind.
    cached: t.ClassVar[bool] = True
    #: Fields that can be rendered alone, in the order of the representation.
    quick: t.ClassVar[dict[str, cabc.Callable[[Shop, Row], t.Any]]] = QUICK_FIELDS

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    @property
    def table(self) -> Table:
        """The table of the rows."""
        return self.shop.tables[self.kind]

    # What subclasses define

    def render(self, row: Row) -> Json:
        """Return the representation that clients read."""
        raise NotImplementedError

    def insert(self, body: Json, parent: int) -> Row:
        """Create an object from the fields that a client sent."""
        raise NotImplementedError

    def change(self, row: Row, body: Json) -> None:
        """Write the fields that a client sent."""
        row.fields.update(body)
        self.table.changed(row)

    def trash(self, row: Row) -> None:
        """Move to the trash."""
        raise NotImplementedError

    def erase(self, row: Row) -> None:
        """Delete permanently."""
        self.shop.remove(self.kind, row)

    def mark_trashed(self, row: Row, slug: str) -> None:
        """Write what WordPress writes to a post in the trash."""
        self.shop.set_meta(
            row.fields,
            [
                {"key": "_wp_trash_meta_status", "value": row.status},
                {"key": "_wp_trash_meta_time", "value": str(self.shop.now())},
                {"key": "_wp_desired_post_slug", "value": slug},
            ],
        )
        row.fields["before_trash"] = row.status
        row.status, row.modified = "trash", self.shop.now()

    def unmark_trashed(self, row: Row) -> None:
        """Undo :meth:`mark_trashed`."""
        row.status = row.fields.pop("before_trash", "publish")
        keys = ("_wp_trash_meta_status", "_wp_trash_meta_time", "_wp_desired_post_slug")
        self.shop.drop_meta(row.fields, *keys)
        row.modified = self.shop.now()

    def where(self, parameters: Parameters, parent: int) -> tuple[cabc.Hashable, listing.Keep]:
        """Return a cache key for the filter of a listing, and the filter."""
        return ("parent", parent), lambda row: row.parent == parent

    def rendered_after_write(self, row: Row) -> Json:
        """Return the representation in the response to a write."""
        return self.render(row)

    # Representations

    def pieces(self, row: Row) -> tuple[bytes, ...]:
        """Return the encoded representation, which is cached until the row changes."""
        if not self.cached:
            return (encode(self.render(row)),)
        if not row.pieces:
            row.pieces = (encode(self.render(row)),)
        return row.pieces

    def encoded(self, row: Row) -> bytes:
        """Return the representation as bytes."""
        return self.pieces(row)[0]

    def repeatable(self, row: Row) -> bytes:
        """Return the representation without what is drawn at random."""
        return self.encoded(row)

    def trimmed(self, row: Row, fields: str) -> bytes:
        """Return only the fields that ``_fields`` lists."""
        if self.cached and row.trimmed is not None and row.trimmed[0] == fields:
            return row.trimmed[1]
        names = fields.split(",")
        if all(name in self.quick for name in names):
            # In the order of the representation, not of the request.
            quick = ((name, make) for name, make in self.quick.items() if name in names)
            body = encode({name: make(self.shop, row) for name, make in quick})
        else:
            body = encode(pick(self.render(row), names))
        if self.cached:
            row.trimmed = (fields, body)
        return body

    def shown(self, row: Row, request: SimulatedRequest) -> bytes:
        """Return the representation with the fields of this request."""
        return self.trimmed(row, request.fields) if request.fields else self.encoded(row)

    def encode_rows(self, rows: cabc.Iterable[Row], request: SimulatedRequest) -> bytes:
        """Return the representations of rows as an array."""
        return b"[" + b",".join([self.shown(row, request) for row in rows]) + b"]"

    # The REST calls

    def list(self, request: SimulatedRequest) -> SimulatedResponse:
        """Answer ``GET`` of the collection."""
        page = self.page(request)
        return SimulatedResponse(200, self.encode_rows(page.rows, request), page.headers)

    def page(self, request: SimulatedRequest) -> listing.ListPage:
        """Return the requested page of the collection."""
        parameters = Parameters(request.params)
        query = listing.read(parameters, self.rules, self.shop)
        parent = request.ids[0] if request.ids else 0
        filters, keep = self.where(parameters, parent)
        parameters.check()
        rules = self.rules

        def make() -> list[Row]:
            hpos = self.kind in ("orders", "refunds") and self.shop.version.hpos
            return listing.select(self.table, query, keep, rules, self.shop, hpos=hpos)

        if listing.stable(query, rules):
            key = (
                filters, query.orderby, query.direction, query.include,
                query.exclude, query.dates, query.gmt,
            )  # fmt: skip
            rows = self.table.listing(key, make)
        else:
            rows = make()
        return listing.cut(rows, query, rules, request.path)

    def find(self, row_id: int, parent: int = 0, *, method: str = "GET") -> Row:
        """Return the row of this id.

        :raises RestError: there is none.
        """
        row = self.table.get(row_id)
        if row is None or (parent and row.parent != parent):
            raise self.unknown(method)
        return row

    def unknown(self, method: str) -> RestError:
        """Return the error for an unknown id: 400 for writing, 404 for reading."""
        code, message = self.invalid_id
        return RestError(400 if method in ("POST", "PUT", "PATCH") else 404, code, message)

    def read(self, request: SimulatedRequest) -> SimulatedResponse:
        """Answer ``GET`` of an object."""
        row = self.find(request.ids[-1], request.ids[0] if len(request.ids) > 1 else 0)
        return answer(self.shown(row, request))

    def create(self, request: SimulatedRequest) -> SimulatedResponse:
        """Answer ``POST`` of the collection."""
        row = self.insert(request.body, request.ids[0] if request.ids else 0)
        location = f"{self.location(request)}/{row.id}"
        body = self.rendered_after_write(row)
        return answer(_fields(body, request), 201, [("Location", self.shop.api(location))])

    def location(self, request: SimulatedRequest) -> str:
        """Return the beginning of the path in ``Location``."""
        return self.path

    def update(self, request: SimulatedRequest) -> SimulatedResponse:
        """Answer ``PUT``, ``PATCH`` and ``POST`` of an object."""
        parent = request.ids[0] if len(request.ids) > 1 else 0
        row = self.find(request.ids[-1], parent, method="PUT")
        self.change(row, request.body)
        return answer(_fields(self.rendered_after_write(row), request))

    def delete(self, request: SimulatedRequest) -> SimulatedResponse:
        """Answer ``DELETE`` of an object with its state before."""
        parent = request.ids[0] if len(request.ids) > 1 else 0
        row = self.find(request.ids[-1], parent, method="DELETE")
        body = self.remove(row, force=request.force)
        return answer(_fields(body, request))

    def remove(self, row: Row, *, force: bool) -> Json:
        """Delete or trash a row, and return its state before."""
        body = self.rendered_after_write(row)
        if force:
            self.erase(row)
            return body
        if self.not_trashable is not None:
            raise no_trash(self.not_trashable)
        if row.status == "trash" and self.shop.version.refunds_collection:
            kind = self.post_type
            raise RestError(
                410,
                "woocommerce_rest_already_trashed",
                f"The {kind} has already been deleted.",
            )
        self.trash(row)
        return body

    @property
    def post_type(self) -> str:
        """The WordPress post type of this kind."""
        return {"orders": "shop_order", "coupons": "shop_coupon"}.get(self.kind, "product")

    def batch(self, request: SimulatedRequest) -> SimulatedResponse:
        """Answer ``POST`` of ``batch``; each entry succeeds or fails on its own."""
        body = request.body
        count = sum(len(body.get(act) or ()) for act in ("create", "update", "delete"))
        if count > BATCH_LIMIT:
            raise RestError(
                413,
                "woocommerce_rest_request_entity_too_large",
                f"Unable to accept more than {BATCH_LIMIT} items for this request.",
            )
        parent = request.ids[0] if request.ids else 0
        acts: dict[str, cabc.Callable[[t.Any], Json]] = {
            "create": lambda entry: self.rendered_after_write(self.insert(entry, parent)),
            "update": lambda entry: self._batch_update(entry, parent),
            "delete": lambda entry: self.remove(
                self.find(int(entry), parent, method="DELETE"), force=True
            ),
        }
        result: Json = {}
        for name, act in acts.items():
            if body.get(name):
                result[name] = [_attempt(act, entry) for entry in body[name]]
        return answer(result)

    def _batch_update(self, entry: Json, parent: int) -> Json:
        row = self.find(int(entry.get("id", 0)), parent, method="PUT")
        self.change(row, {key: value for key, value in entry.items() if key != "id"})
        return self.rendered_after_write(row)


def copy_sent(
    fields: Json, body: Json, names: cabc.Iterable[str], convert: cabc.Callable[[t.Any], t.Any]
) -> None:
    """Write those of some fields that a client sent."""
    fields.update({name: convert(body[name]) for name in names if name in body})


def _attempt(act: cabc.Callable[[t.Any], Json], entry: t.Any) -> Json:
    try:
        return act(entry)
    except RestError as exc:
        row_id = entry.get("id", 0) if isinstance(entry, dict) else entry
        return {"id": row_id, "error": exc.body}


def _fields(body: Json, request: SimulatedRequest) -> Json:
    return pick(body, request.fields.split(",")) if request.fields else body


def pick(body: Json, names: cabc.Sequence[str]) -> Json:
    """Return only these fields; a dot selects a field of a nested object."""
    tops = {name.split(".", 1)[0] for name in names}
    picked = {}
    for key, value in body.items():
        if key not in tops:
            continue
        deeper = [name[len(key) + 1 :] for name in names if name.startswith(f"{key}.")]
        if deeper and key not in names and isinstance(value, dict):
            value = pick(value, deeper)
        elif deeper and key not in names and isinstance(value, list):
            value = [pick(each, deeper) for each in value if isinstance(each, dict)]
        picked[key] = value
    return picked
