"""Orders, and the effects of their changes on products, coupons and customers."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import hashlib
import typing as t

from .customers import Customers
from .encoding import Json, boolean, encode, number, text
from .listing import Keep, ListRules
from .order_effects import PAID, OrderEffects
from .order_lines import OrderLines, rotated
from .order_notes import Notes
from .parameters import Parameters
from .products import Products
from .resource import ITEM, QUICK_FIELDS, Resource, copy_sent
from .responses import RestError, invalid
from .state import Shop
from .tables import Row

#: Order of an address in orders; in customers the postcode comes earlier.
_ADDRESS = (
    "first_name", "last_name", "company", "address_1", "address_2", "city", "state", "postcode",
    "country", "email", "phone",
)  # fmt: skip
_NO_BILLING = dict.fromkeys(_ADDRESS, "")
_NO_SHIPPING = {name: "" for name in _ADDRESS if name != "email"}

_TEXTS = (
    "currency", "payment_method", "payment_method_title", "transaction_id", "customer_note",
    "created_via",
)  # fmt: skip

TITLES = {
    "pending": "Pending payment",
    "processing": "Processing",
    "on-hold": "On hold",
    "completed": "Completed",
    "cancelled": "Cancelled",
    "refunded": "Refunded",
    "failed": "Failed",
    "checkout-draft": "Draft",
}


class Orders(Resource):
    """The collection ``/orders``."""

    kind = "orders"
    path = "orders"
    invalid_id = ("woocommerce_rest_shop_order_invalid_id", "Invalid ID.")
    quick: t.ClassVar[dict[str, cabc.Callable[[t.Any, Row], t.Any]]] = {
        "id": QUICK_FIELDS["id"],
        "status": lambda shop, row: row.status,
        **{name: QUICK_FIELDS[name] for name in ("date_created", "date_modified")},
        **QUICK_FIELDS,
    }

    def __init__(self, shop: Shop, products: Products, customers: Customers, notes: Notes) -> None:
        super().__init__(shop)
        self.lines = OrderLines(shop, products)
        #: The effects of orders on the rest of the store.
        self.effects = OrderEffects(shop, products, self.lines, notes)
        self.notes = notes
        self._customers = customers
        #: Whether each read shows the metadata in another order, if the store has HPOS.
        self.varies = True
        self._reads = 0
        self.rules = ListRules(stable_dates=True, zero_past_end=shop.version.hpos)  # type: ignore[misc]

    # Reading

    def pieces(self, row: Row) -> tuple[bytes, ...]:
        """Return the representation with the metadata in each order that a client may see."""
        if not row.pieces:
            body = self.render(row)
            lists = [body["meta_data"], *(item["meta_data"] for item in body["line_items"])]
            rotations = max(1, *map(len, lists)) if self.shop.version.hpos else 1
            row.pieces = tuple(encode(rotated(body, by)) for by in range(rotations))
        return row.pieces

    def encoded(self, row: Row) -> bytes:
        """Return the representation; tables of orders (HPOS) keep no order of the metadata."""
        pieces = self.pieces(row)
        self._reads += self.varies
        return pieces[self._reads % len(pieces)]

    def repeatable(self, row: Row) -> bytes:
        """Return the representation with the metadata in the order of its ids."""
        return self.pieces(row)[0]

    def where(self, parameters: Parameters, parent: int) -> tuple[cabc.Hashable, Keep]:
        """Filter by status; ``any`` overrides all others and excludes the trash."""
        known = self.shop.version.order_statuses
        statuses = parameters.choices("status", ("any", "trash", "auto-draft", *known))
        live = not statuses or "any" in statuses
        chosen = frozenset(self.shop.version.any_order if live else statuses)
        customer = parameters.integer("customer", 0, 0)
        product = parameters.integer("product", 0, 0)
        search = parameters.text("search").lower()

        def keep(row: Row) -> bool:
            if row.status not in chosen:
                return False
            if customer and row.fields.get("customer_id") != customer:
                return False
            if product and all(
                line["product_id"] != product for line in row.fields.get("line_items", ())
            ):
                return False
            return not search or search in " ".join(row.fields.get("billing", {}).values()).lower()

        return (chosen, customer, product, search), keep

    def render(self, row: Row) -> Json:
        """Return all fields of an order."""
        shop, get, version = self.shop, row.fields.get, self.shop.version
        paid, completed = get("paid"), get("completed")
        key = get("order_key") or _order_key(row)
        shown: Json = {
            "id": row.id,
            "parent_id": 0,
            "status": row.status,
            "currency": get("currency", "USD"),
            "version": version.number,
            "prices_include_tax": False,
            "date_created": shop.local(row.created),
            "date_modified": shop.local(row.modified),
            "discount_total": get("discount_total", "0.00"),
            "discount_tax": "0.00",
            "shipping_total": get("shipping_total", "0.00"),
            "shipping_tax": "0.00",
            "cart_tax": "0.00",
            "total": get("total", "0.00"),
            "total_tax": "0.00",
            "customer_id": get("customer_id", 0),
            "order_key": key,
            "billing": {**_NO_BILLING, **get("billing", {})},
            "shipping": {**_NO_SHIPPING, **get("shipping", {})},
            "payment_method": get("payment_method", ""),
            "payment_method_title": get("payment_method_title", ""),
            "transaction_id": get("transaction_id", ""),
            "customer_ip_address": get("customer_ip_address", ""),
            "customer_user_agent": "",
            "created_via": get("created_via", "rest-api"),
            "customer_note": get("customer_note", ""),
            "date_completed": shop.local(completed),
            "date_paid": shop.local(paid),
            "cart_hash": "",
            "number": str(row.id),
            "meta_data": get("meta_data", []),
            "line_items": self.lines.items(row.fields),
            "tax_lines": [],
            "shipping_lines": get("shipping_lines", []),
            "fee_lines": get("fee_lines", []),
            "coupon_lines": self.lines.coupons(row.fields),
            "refunds": self._refunds(row),
        }
        if version.major >= 7:
            pay = f"{shop.home}/checkout/order-pay/{row.id}/?pay_for_order=true&key={key}"
            open_ = row.status in ("pending", "failed", "checkout-draft")
            shown["payment_url"] = pay
            shown["is_editable"] = row.status in ("pending", "on-hold", "auto-draft")
            shown["needs_payment"] = open_ and number(shown["total"]) > 0
            shown["needs_processing"] = self.lines.processed(row.fields)
        shown["date_created_gmt"] = shop.gmt(row.created)
        shown["date_modified_gmt"] = shop.gmt(row.modified)
        shown["date_completed_gmt"] = shop.gmt(completed)
        shown["date_paid_gmt"] = shop.gmt(paid)
        shown["currency_symbol"] = "$"
        shown["_links"] = self._links(row)
        return shown

    def _refunds(self, row: Row) -> list[Json]:
        tax = {"total_tax": "0.00"} if self.shop.version.modern else {}
        return [
            {
                "id": refund.id,
                "reason": refund.fields.get("reason", ""),
                "total": f"-{refund.fields['amount']}",
                **tax,
            }
            for refund in reversed(self.shop.children_of("refunds", row.id))
        ]

    def _links(self, row: Row) -> Json:
        shop, customer = self.shop, row.fields.get("customer_id", 0)
        links = {"self": shop.link(f"orders/{row.id}", ITEM), "collection": shop.link("orders")}
        if shop.version.modern:
            href = shop.api(f"orders/{row.id}/actions/email_templates")
            links["email_templates"] = [{"embeddable": True, "href": href}]
        if customer:
            links["customer"] = shop.link(f"customers/{customer}")
        return links

    # Writing

    def insert(self, body: Json, parent: int) -> Row:
        """Create an order, which the store saves several times."""
        fields: Json = {}
        self._check_status(body)
        self.fill(fields, body)
        row = self.shop.create("orders", fields, status="pending")
        fields["order_key"] = _order_key(row)
        self.shop.fire("woocommerce_new_order", row.id)
        self.shop.fire("woocommerce_update_order", row.id)
        if self.shop.version.major < 7:
            # Version 5.9 counts a use when the coupon is applied, and again with the status.
            self.effects.count_coupons(row, 1)
        if boolean(body.get("set_paid", False)):
            row.fields["paid"] = row.created
            self.set_status(row, body.get("status") or "processing", paid=True)
        elif body.get("status", "pending") != "pending":
            self.set_status(row, body["status"])
        else:
            self.effects.settle(row)
        return row

    def _check_status(self, body: Json) -> None:
        known = self.shop.version.order_statuses
        status = body.get("status")
        if status is not None and status not in known:
            statuses = ", ".join(("auto-draft", *known))
            raise invalid({"status": ("rest_not_in_enum", f"status is not one of {statuses}.")})

    def fill(self, fields: Json, body: Json) -> None:
        """Write the fields that a client sent."""
        copy_sent(fields, body, _TEXTS, text)
        for name, empty in (("billing", _NO_BILLING), ("shipping", _NO_SHIPPING)):
            if isinstance(body.get(name), dict):
                sent = {key: str(value) for key, value in body[name].items() if key in empty}
                fields[name] = {**fields.get(name, {}), **sent}
        if "customer_id" in body:
            customer = int(body["customer_id"] or 0)
            if customer and self.shop.tables["customers"].get(customer) is None:
                raise RestError(
                    400, "woocommerce_rest_invalid_customer_id", "Customer ID is invalid."
                )
            fields["customer_id"] = customer
        self.lines.write(fields, body)
        if body.get("meta_data"):
            self.shop.set_meta(fields, body["meta_data"])

    def change(self, row: Row, body: Json) -> None:
        """Save the fields that a client sent; for posts, most of them do not move the date."""
        self._check_status(body)
        if row.status == "trash" and body.get("status"):
            self.leave_trash(row)
        note_before = row.fields.get("customer_note", "")
        self.fill(row.fields, body)
        noted = row.fields.get("customer_note", "") != note_before
        self.save(row, bump=self.shop.version.hpos or noted)
        status = body.get("status")
        if boolean(body.get("set_paid", False)) and not row.fields.get("paid"):
            row.fields["paid"] = self.shop.now()
            status = status or "processing"
        if status and status != row.status:
            self.set_status(row, status, manual=True)

    def save(self, row: Row, *, bump: bool) -> None:
        """Save and fire the hook for updates.

        :param bump: whether the modified date moves.
        """
        if bump:
            self.bump(row)
        self.table.changed(row)
        self.shop.fire("woocommerce_update_order", row.id)

    def bump(self, row: Row) -> None:
        """Move the modified date.

        HPOS tables are written from local digits, so the repeated hour in autumn is recorded an
        hour too early.
        """
        now = self.shop.now()
        if self.shop.version.hpos:
            local = dt.datetime.fromtimestamp(now, self.shop.zone)
            now = int(local.replace(fold=0).timestamp())
        row.modified = now
        self.table.changed(row)

    def set_status(
        self, row: Row, status: str, *, paid: bool = False, manual: bool = False
    ) -> None:
        """Change the status, with its effects and notes."""
        before, row.status = row.status, status
        now = self.shop.now()
        if status in ("processing", "completed") and not row.fields.get("paid"):
            row.fields["paid"] = now
        if status == "completed" and not row.fields.get("completed"):
            row.fields["completed"] = now
        self.save(row, bump=True)
        self.shop.fire(f"woocommerce_order_status_{status}", row.id)
        self.effects.settle(row)
        if self.shop.version.modern:
            if paid:
                self.notes.log(row, "Payment complete.")
        self.effects.reduce_stock(row)
        names = TITLES.get(before, before), TITLES.get(status, status)
        changed = f"Order status changed from {names[0]} to {names[1]}."
        if not self.shop.version.modern:
            self.notes.log(row, changed)
        elif paid:
            self.notes.mail(row, "New order", "Processing order")
        else:
            self.notes.mail(row, f"{names[1]} order")
            self.notes.log(row, changed)
        if before == "pending" and status in PAID and self.shop.version.major < 8:
            self.shop.set_meta(row.fields, [{"key": "_new_order_email_sent", "value": "true"}])
        if status in ("processing", "completed"):
            self._customers.paid(row.fields.get("customer_id", 0))
        self.table.changed(row)

    # The trash

    def trash(self, row: Row) -> None:
        """Move to the trash; sales and, with HPOS, coupon uses are counted back."""
        shop, version = self.shop, self.shop.version
        if row.status == "trash":
            return
        if not version.hpos:
            shop.fire("wp_trash_post", row.id)
        row.fields["before_trash"] = row.status
        entries: list[Json] = [
            {"key": "_wp_trash_meta_status", "value": f"wc-{row.status}"},
            {"key": "_wp_trash_meta_time", "value": str(shop.now())},
        ]
        if not version.hpos:
            name = self._post_name(row)
            notes = {str(note.id): "1" for note in shop.children_of("notes", row.id)}
            entries.append({"key": "_wp_desired_post_slug", "value": name})
            entries.append({"key": "_wp_trash_meta_comments_status", "value": notes})
        shop.set_meta(row.fields, entries)
        row.status = "trash"
        self.bump(row)
        shop.fire("woocommerce_trash_order", row.id)
        if version.major >= 8:
            self.effects.count_sales(row, -1)
        if version.hpos and row.fields.get("coupons_counted"):
            row.fields["coupons_counted"] = False
            self.effects.count_coupons(row, -1)

    def _post_name(self, row: Row) -> str:
        """Return the slug of an order that is a post: its minute, with a number if taken."""
        minute = row.created // 60
        before = sum(other.created // 60 == minute and other.id < row.id for other in self.table)
        name = dt.datetime.fromtimestamp(row.created, dt.UTC).strftime("order-%b-%d-%Y-%I%M-%p")
        return f"{name}-{before + 1}".lower() if before else name.lower()

    def leave_trash(self, row: Row) -> None:
        """Remove the meta data of the trash."""
        row.status = row.fields.pop("before_trash", "pending")
        if not self.shop.version.hpos:
            self.shop.drop_meta(
                row.fields,
                "_wp_trash_meta_status",
                "_wp_trash_meta_time",
                "_wp_desired_post_slug",
                "_wp_trash_meta_comments_status",
            )
        self.bump(row)

    def untrash(self, row: Row, *, as_post: bool = False) -> None:
        """Restore an order from the trash, as the admin does or only as a post."""
        if self.shop.version.hpos and as_post:
            # With HPOS, the post of an order is only a placeholder.
            return
        self.leave_trash(row)
        if not self.shop.version.hpos:
            self.shop.fire("untrashed_post", row.id)
            if as_post:
                return
        self.shop.fire("woocommerce_untrash_order", row.id)
        if not self.shop.version.hpos:
            self.shop.fire("woocommerce_update_order", row.id)
        if self.shop.version.major >= 8:
            self.effects.count_sales(row, 1)

    def erase(self, row: Row) -> None:
        """Delete permanently, with refunds; HPOS leaves the notes behind."""
        shop, version = self.shop, self.shop.version
        if version.major >= 8:
            self.effects.count_sales(row, -1)
        self.table.remove(row.id)
        customer = row.fields.get("customer_id", 0)
        if customer and all(other.fields.get("customer_id") != customer for other in self.table):
            self._customers.lost_last_order(customer)
        for kind in ("refunds",) if version.hpos else ("refunds", "notes"):
            for child in shop.children_of(kind, row.id):
                shop.remove(kind, child)
        shop.fire("woocommerce_delete_order", row.id)


def _order_key(row: Row) -> str:
    digest = hashlib.sha256(f"{row.id}:{row.created}".encode()).hexdigest()
    return f"wc_order_{digest[:13]}"
