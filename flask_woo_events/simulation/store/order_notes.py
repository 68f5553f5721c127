"""Notes of orders."""

from __future__ import annotations

import collections.abc as cabc

from .encoding import Json, boolean
from .listing import Keep
from .parameters import Parameters
from .resource import Resource
from .responses import RestError, SimulatedRequest, SimulatedResponse, missing
from .tables import Row


class Notes(Resource):
    """The collection ``/orders/{id}/notes``, which has no pages."""

    kind = "notes"
    path = "orders"
    invalid_id = ("woocommerce_rest_invalid_id", "Invalid resource ID.")
    not_trashable = "Webhooks"
    changeable = False
    #: Whether the store can send mail; if not, version 11 adds a note to the order.
    mail_works = True

    def log(self, order: Row, text: str, *, customer_note: bool = False) -> Row:
        """Write a note, which changes nothing else."""
        fields = {"note": text, "customer_note": customer_note}
        row = self.shop.create("notes", fields, parent=order.id)
        self.shop.fire("woocommerce_order_note_added", row.id)
        return row

    def mail(self, order: Row, *titles: str) -> None:
        """Send mails, or add a note for each that the store cannot send."""
        if not self.mail_works:
            for title in titles:
                text = f'Email "{title}" failed to send: Could not instantiate mail function..'
                self.log(order, text)

    def location(self, request: SimulatedRequest) -> str:
        """Return the beginning of the path in ``Location``."""
        return f"orders/{request.ids[0]}/notes"

    def list(self, request: SimulatedRequest) -> SimulatedResponse:
        """Return all notes, newest first."""
        if self.shop.tables["orders"].get(request.ids[0]) is None:
            raise RestError(404, "woocommerce_rest_order_invalid_id", "Invalid order ID.")
        rows = sorted(
            self.shop.children_of("notes", request.ids[0]), key=lambda row: (-row.created, row.id)
        )
        return SimulatedResponse(200, self.encode_rows(rows, request))

    def where(self, parameters: Parameters, parent: int) -> tuple[cabc.Hashable, Keep]:
        """Return the filter by order."""
        return parent, lambda row: row.parent == parent

    def render(self, row: Row) -> Json:
        """Return all fields of a note."""
        base = f"orders/{row.parent}"
        return {
            "id": row.id,
            "author": row.fields.get("author", "WooCommerce"),
            **self.shop.created_dates(row),
            "note": row.fields["note"],
            "customer_note": row.fields.get("customer_note", False),
            "_links": {
                "self": self.shop.link(f"{base}/notes/{row.id}", ("GET", "DELETE")),
                "collection": self.shop.link(f"{base}/notes"),
                "up": self.shop.link(base),
            },
        }

    def insert(self, body: Json, parent: int) -> Row:
        """Add a note by REST."""
        if not body.get("note"):
            raise missing("note")
        order = self.shop.tables["orders"].get(parent)
        if order is None:
            raise RestError(404, "woocommerce_rest_order_invalid_id", "Invalid order ID.")
        return self.log(
            order, str(body["note"]), customer_note=boolean(body.get("customer_note", False))
        )
