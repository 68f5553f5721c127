"""Changes on the store's own side: by its staff, customers and plugins."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import functools
import typing as t

from .encoding import money, number
from .plugin_journal import JournalTable
from .resource import Resource
from .responses import RestError
from .routes import Routes
from .tables import Row

F = t.TypeVar("F", bound=cabc.Callable[..., t.Any])


def _locked(act: F) -> F:
    @functools.wraps(act)
    def wrapper(self: StoreSide, *args: t.Any, **kwargs: t.Any) -> t.Any:
        with self.lock:
            return act(self, *args, **kwargs)

    return t.cast(F, wrapper)


@dataclasses.dataclass(frozen=True)
class Backup:
    """A copy of the store's database, without its webhooks."""

    tables: dict[str, list[Row]]
    counters: dict[str, int]
    slugs: dict[str, int]
    #: The table of the companion plugin, if the copy includes it.
    journal: JournalTable | None = None


class StoreSide:
    """Changes without a REST request; each method returns the id of the changed object."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._shop = routes.shop
        self.lock = routes.shop.lock

    def _row(self, kind: str, row_id: int) -> Row:
        row = self._shop.tables[kind].get(row_id)
        if row is None:
            raise KeyError(f"the simulated store has no {row_id} among its {kind}")
        return row

    def _set(self, kind: str, row_id: int, **fields: t.Any) -> int:
        row = self._row(kind, row_id)
        row.fields.update(fields)
        self._shop.tables[kind].changed(row)
        return row_id

    def _post(self, row_id: int) -> tuple[str, Row]:
        for kind in ("orders", "products", "variations", "coupons"):
            row = self._shop.tables[kind].get(row_id)
            if row is not None:
                return kind, row
        raise KeyError(f"the simulated store has no post {row_id}")

    @_locked
    def status(self, order_id: int, status: str) -> int:
        """Set an order's status (``WC_Order::update_status``)."""
        self._routes.orders.set_status(self._row("orders", order_id), status, manual=True)
        return order_id

    @_locked
    def note(self, order_id: int, text: str = "A note") -> int:
        """Write an order note; the order does not change."""
        self._routes.notes.log(self._row("orders", order_id), text)
        return order_id

    @_locked
    def order_meta(self, order_id: int, key: str = "simulated", value: str = "1") -> int:
        """Write meta data of an order and save it; without HPOS the modified date stays."""
        row = self._row("orders", order_id)
        self._shop.set_meta(row.fields, [{"key": key, "value": value}])
        self._routes.orders.save(row, bump=self._shop.version.hpos)
        return order_id

    @_locked
    def stock(self, product_id: int, quantity: int) -> int:
        """Set a product's stock (``wc_update_product_stock``)."""
        self._routes.products.set_stock(self._row("products", product_id), quantity)
        return product_id

    @_locked
    def price_meta(self, product_id: int, price: str) -> int:
        """Write a price directly to the meta table; no hook fires and the modified date stays."""
        return self._set("products", product_id, regular_price=price)

    @_locked
    def post_update(self, product_id: int, name: str = "Renamed") -> int:
        """Change a product's title by ``wp_update_post``; the date moves, no webhook is sent."""
        self._row("products", product_id).modified = self._shop.now()
        return self._set("products", product_id, name=name)

    @_locked
    def profile(self, customer_id: int, first_name: str = "Edited") -> int:
        """Edit a customer's profile (``wp_update_user``)."""
        row = self._row("customers", customer_id)
        row.fields["first_name"] = first_name
        self._routes.customers.save(row)
        return customer_id

    @_locked
    def usermeta(self, customer_id: int, phone: str = "555") -> int:
        """Write a customer's phone by ``update_user_meta``; no hook fires."""
        billing = self._row("customers", customer_id).fields.get("billing", {})
        return self._set("customers", customer_id, billing={**billing, "phone": phone})

    @_locked
    def new_customer(self, name: str) -> int:
        """Register a customer as the checkout does (``wc_create_new_customer``)."""
        row = self._routes.customers.register(f"{name}@example.com", name)
        self._shop.fire("woocommerce_created_customer", row.id)
        if self._shop.version.major >= 7:
            self._routes.customers.save(row)
        return row.id

    @_locked
    def new_user(self, name: str) -> int:
        """Register a subscriber (``wp_create_user``)."""
        return self._routes.customers.register(f"{name}@example.com", name, "subscriber").id

    @_locked
    def role(self, user_id: int, role: str) -> int:
        """Give a user another role (``WP_User::set_role``); no hook fires."""
        return self._set("customers", user_id, role=role)

    @_locked
    def coupon_use(self, coupon_id: int) -> int:
        """Count one use of a coupon; no hook fires and the modified date stays."""
        self._routes.coupons.use(self._row("coupons", coupon_id))
        return coupon_id

    @_locked
    def trash_post(self, row_id: int) -> int:
        """Move an order, product or coupon to the trash."""
        kind, row = self._post(row_id)
        resources: dict[str, Resource] = {
            "orders": self._routes.orders,
            "coupons": self._routes.coupons,
        }
        resources.get(kind, self._routes.products).trash(row)
        return row_id

    @_locked
    def untrash_post(self, row_id: int) -> int:
        """Restore a product or coupon from the trash."""
        kind, row = self._post(row_id)
        if kind == "orders":
            self._routes.orders.untrash(row, as_post=True)
        elif kind == "coupons":
            self._routes.coupons.restore(row)
        else:
            self._routes.products.restore(row)
        return row_id

    @_locked
    def untrash_order(self, order_id: int) -> int:
        """Restore an order from the trash."""
        self._routes.orders.untrash(self._row("orders", order_id))
        return order_id

    @_locked
    def delete_for_good(self, kind: str, row_id: int) -> int:
        """Delete permanently, without the trash."""
        row = self._row(kind, row_id)
        resources: dict[str, Resource] = {
            "orders": self._routes.orders,
            "products": self._routes.products,
            "variations": self._routes.variations,
            "coupons": self._routes.coupons,
            "customers": self._routes.customers,
            "refunds": self._routes.refunds,
        }
        resources[kind].erase(row)
        return row_id

    @_locked
    def sql_update(self, kind: str, row_id: int, **fields: t.Any) -> int:
        """Change fields as by SQL; no hook fires and the modified date stays."""
        with self._routes.journal.muted():
            return self._set(kind, row_id, **fields)

    @_locked
    def late_commit(self, kind: str, row_id: int, seconds_back: int, **fields: t.Any) -> int:
        """Make a change that becomes visible now with an older modified date.

        :param seconds_back: age of the modified date, seconds.
        """
        self._row(kind, row_id).modified = self._shop.now() - seconds_back
        return self._set(kind, row_id, **fields)

    @_locked
    def edit_date(self, kind: str, row_id: int, moment: dt.datetime) -> int:
        """Write a modified date as by SQL; nothing else changes and no hook fires."""
        self._row(kind, row_id).modified = int(moment.timestamp())
        return self.sql_update(kind, row_id)

    @_locked
    def sql_status(self, kind: str, row_id: int, status: str) -> int:
        """Write a status as by SQL; no list shows the status of a plugin that is off."""
        self._row(kind, row_id).status = status
        return self.sql_update(kind, row_id)

    @_locked
    def place_order(
        self, customer_id: int, product_ids: cabc.Sequence[int], coupons: cabc.Sequence[str] = ()
    ) -> int:
        """Place and pay an order of a customer; stock, sales and the customer change."""
        body: dict[str, t.Any] = {
            "customer_id": customer_id,
            "line_items": [{"product_id": product, "quantity": 1} for product in product_ids],
            "coupon_lines": [{"code": code} for code in coupons],
            "set_paid": True,
        }
        return self._routes.orders.insert(body, 0).id

    @_locked
    def delete_refund(self, refund_id: int, *, on_page: bool = False) -> int:
        """Delete a refund; the order changes, but not its modified date.

        :param on_page: as on the page of the order, which also fires a hook.
        """
        self._routes.refunds.erase(self._row("refunds", refund_id))
        if on_page:
            self._shop.fire("woocommerce_refund_deleted", refund_id)
        return refund_id

    @_locked
    def assign_category(self, product_id: int, category: int | str) -> int:
        """Put a product into a category (``wp_set_object_terms``); no hook fires."""
        if isinstance(category, str):
            known = [row for row in self._shop.tables["categories"]
                     if row.fields["name"] == category]  # fmt: skip
            row = known[0] if known else self._routes.categories.insert({"name": category}, 0)
            category = row.id
        return self._set("products", product_id, categories=[category])

    @_locked
    def review(self, product_id: int, rating: int = 5, text: str = "Good") -> int:
        """Review a product, which changes its rating and saves it; return the review's id."""
        body = {
            "product_id": product_id,
            "review": text,
            "rating": rating,
            "reviewer": "Reviewer",
            "reviewer_email": "reviewer@example.com",
        }
        return self._routes.reviews.insert(body, 0).id

    @_locked
    def start_sale(self, product_id: int, sale_price: str = "1.00") -> int:
        """Start a scheduled sale; the store's own job saves the product."""
        row = self._row("products", product_id)
        row.fields.update(sale_price=sale_price, sale_from=self._shop.now())
        self._routes.products.settle_price(row.fields)
        self._routes.products.save(row)
        return product_id

    @_locked
    def snapshot(self, *, journal: bool = False) -> Backup:
        """Copy the database, for :meth:`restore_backup`.

        :param journal: whether to copy the companion plugin's table.
        """
        tables = {
            kind: table.copy() for kind, table in self._shop.tables.items() if kind != "webhooks"
        }
        kept = self._routes.journal.copy() if journal else None
        return Backup(tables, dict(self._shop.counters), dict(self._shop.slugs), kept)

    @_locked
    def restore_backup(self, backup: Backup) -> None:
        """Restore a backup; dates go back, new objects disappear and ids are used again."""
        self._shop.slugs = dict(backup.slugs)
        self._shop.counters.update(
            {name: value for name, value in backup.counters.items() if name != "webhooks"}
        )
        for kind, rows in backup.tables.items():
            children: dict[int, list[int]] = {}
            for row in rows:
                if row.parent:
                    children.setdefault(row.parent, []).append(row.id)
            self._shop.children[kind] = children
            # Copied again, so that the backup can be restored twice.
            self._shop.tables[kind].replace(rows)
            self._shop.tables[kind].replace(self._shop.tables[kind].copy())
        if backup.journal is not None:
            self._routes.journal.restore(backup.journal)

    @_locked
    def timezone(self, name: str) -> None:
        """Set the site's time zone; local dates change, dates in UTC do not."""
        self._shop.set_timezone(name)

    @_locked
    def new_product(self, name: str, price: str = "10.00") -> int:
        """Add a product."""
        body = {"name": name, "type": "simple", "regular_price": money(number(price))}
        return self._routes.products.insert(body, 0).id

    @_locked
    def new_coupon(self, code: str, amount: str = "10") -> int:
        """Add a coupon."""
        try:
            return self._routes.coupons.insert({"code": code, "amount": amount}, 0).id
        except RestError as exc:
            raise ValueError(str(exc)) from exc
