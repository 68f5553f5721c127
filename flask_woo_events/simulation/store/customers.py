"""Customers: users of the store with any role."""

from __future__ import annotations

import collections.abc as cabc
import hashlib
import random

from .encoding import Json, text
from .listing import Keep, ListRules
from .parameters import Parameters
from .resource import ITEM, Resource, copy_sent
from .responses import RestError, missing, no_trash
from .state import Shop
from .tables import Row

_COMMON = ("first_name", "last_name", "company", "address_1", "address_2", "city", "postcode")
#: An empty billing address.
BILLING: dict[str, str] = dict.fromkeys((*_COMMON, "country", "state", "email", "phone"), "")
#: An empty shipping address.
SHIPPING: dict[str, str] = dict.fromkeys((*_COMMON, "country", "state", "phone"), "")

ROLES = (
    "all", "administrator", "editor", "author", "contributor", "subscriber", "customer",
    "shop_manager",
)  # fmt: skip


def address(sent: object, empty: dict[str, str]) -> dict[str, str]:
    """Return the known members of an address that a client sent."""
    if not isinstance(sent, dict):
        return {}
    return {key: str(value or "") for key, value in sent.items() if key in empty}


class Customers(Resource):
    """The collection ``/customers``, which has no date filters."""

    kind = "customers"
    path = "customers"
    rules = ListRules(
        orderby=("id", "include", "name", "registered_date"),
        default="name",
        direction="asc",
        dates=False,
    )

    def __init__(self, shop: Shop) -> None:
        super().__init__(shop)
        admin = {"email": "admin@example.com", "username": "admin", "name": "admin"}
        fields = {**admin, "role": "administrator"}
        # No two stores were installed in the same second.
        installed = shop.now() - random.SystemRandom().randrange(10**7)
        self.table.add(Row(1, "publish", installed, None, fields))

    def unknown(self, method: str) -> RestError:
        """Return the error for an unknown id."""
        status = 400 if method in ("POST", "PUT", "PATCH") else 404
        if self.shop.version.modern:
            return RestError(404, "wc_user_invalid_id", "Invalid user ID.")
        return RestError(status, "woocommerce_rest_invalid_id", "Invalid resource ID.")

    def where(self, parameters: Parameters, parent: int) -> tuple[cabc.Hashable, Keep]:
        """Filter by role, by default ``customer``, and by e-mail or search."""
        role = parameters.choice("role", "customer", ROLES)
        email = parameters.text("email").lower()
        search = parameters.text("search").lower().strip("*")

        def keep(row: Row) -> bool:
            get = row.fields.get
            if role != "all" and get("role", "customer") != role:
                return False
            if email and str(get("email", "")).lower() != email:
                return False
            texts = (get("email", ""), get("username", ""), get("first_name", ""))
            return not search or any(search in str(each).lower() for each in texts)

        return (role, email, search), keep

    def render(self, row: Row) -> Json:
        """Return all fields of a user."""
        shop, get = self.shop, row.fields.get
        role = get("role", "customer")
        email = get("email", "")
        digest = hashlib.sha256(email.lower().encode()).hexdigest()
        host = "https://secure.gravatar.com"
        if shop.version.major < 11:
            digest = hashlib.md5(email.lower().encode(), usedforsecurity=False).hexdigest()
        if shop.version.major < 9:
            host = f"http://{int(digest[0], 16) % 3}.gravatar.com"
        kept = role == "administrator" and shop.version.modern
        allow = ITEM[:-1] if kept else ITEM
        return {
            "id": row.id,
            **shop.dates(row),
            "email": email,
            "first_name": get("first_name", ""),
            "last_name": get("last_name", ""),
            # As WooCommerce shows a user without any role.
            "role": role or "customer",
            "username": get("username", ""),
            "billing": {**BILLING, **get("billing", {})},
            "shipping": {**SHIPPING, **get("shipping", {})},
            "is_paying_customer": get("is_paying_customer", False),
            "avatar_url": f"{host}/avatar/{digest}?s=96&d=mm&r=g",
            "meta_data": get("meta_data", []),
            "_links": {
                "self": shop.link(f"customers/{row.id}", allow if self._exists(row) else ()),
                "collection": shop.link("customers"),
            },
        }

    def _exists(self, row: Row) -> bool:
        return not self.shop.version.modern or self.table.get(row.id) is row

    def insert(self, body: Json, parent: int) -> Row:
        """Create a customer by REST, which fires the hooks for created and updated."""
        if not body.get("email"):
            raise missing("email")
        email = str(body["email"])
        if any(row.fields.get("email") == email for row in self.table):
            raise RestError(
                400,
                "registration-error-email-exists",
                "An account is already registered with your email address.",
            )
        row = self.register(email, str(body.get("username") or email.partition("@")[0]))
        self._write(row, body)
        self.shop.fire("woocommerce_new_customer", row.id)
        self.save(row)
        return row

    def register(self, email: str, username: str, role: str = "customer") -> Row:
        """Add a user, without a modified date until the first tracked change."""
        fields = {"email": email, "username": username, "name": username, "role": role}
        row = self.shop.create("customers", fields)
        row.modified = None
        self.shop.fire("user_register", row.id)
        return row

    def save(self, row: Row) -> None:
        """Save a customer."""
        row.modified = self.shop.now()
        self.table.changed(row)
        self.shop.fire("profile_update", row.id)
        self.shop.fire("woocommerce_update_customer", row.id)

    def _write(self, row: Row, body: Json) -> None:
        copy_sent(row.fields, body, ("email", "first_name", "last_name"), text)
        for name, empty in (("billing", BILLING), ("shipping", SHIPPING)):
            if name in body:
                kept = row.fields.get(name, {})
                row.fields[name] = {**kept, **address(body[name], empty)}
        if body.get("meta_data"):
            self.shop.set_meta(row.fields, body["meta_data"])

    def change(self, row: Row, body: Json) -> None:
        """Save the fields that a client sent."""
        self._write(row, body)
        self.save(row)

    def remove(self, row: Row, *, force: bool) -> Json:
        """Delete a user, and return it as rendered after the deletion."""
        if not force:
            raise no_trash("Customers")
        self.erase(row)
        return self.render(row)

    def erase(self, row: Row) -> None:
        """Delete a user; the hook for webhooks fires only for the role customer."""
        if row.fields.get("role", "customer") == "customer":
            self.shop.fire("delete_user", row.id)
        self.shop.remove("customers", row)
        self.shop.fire("woocommerce_delete_customer", row.id)

    def paid(self, customer_id: int) -> None:
        """Record that a customer has paid for an order."""
        row = self.table.get(customer_id)
        if row is None or row.fields.get("is_paying_customer"):
            return
        row.fields["is_paying_customer"] = True
        if self.shop.version.major < 9:
            midnight = self.shop.now() // 86400 * 86400
            entry = {"key": "wc_last_active", "value": str(midnight)}
            self.shop.set_meta(row.fields, [entry])
        self.save(row)

    def lost_last_order(self, customer_id: int) -> None:
        """Record that the last order of a customer was deleted."""
        row = self.table.get(customer_id)
        if row is not None:
            row.fields["is_paying_customer"] = False
            self.save(row)
