"""Webhooks as objects of the REST API, and the queue of their deliveries."""

from __future__ import annotations

import collections.abc as cabc
import secrets
import threading

from . import webhook_topics
from .encoding import Json
from .listing import Keep, ListRules
from .parameters import Parameters
from .resource import ITEM, Resource
from .responses import RestError, missing
from .state import Shop
from .tables import Row

STATUSES = ("active", "paused", "disabled")

#: A queued delivery: the webhook's id and the argument of its hook.
Pending = tuple[int, int]


class Webhooks(Resource):
    """The collection ``/webhooks``; queues a delivery for each hook."""

    kind = "webhooks"
    path = "webhooks"
    rules = ListRules(orderby=("date", "id", "title"))
    invalid_id = ("woocommerce_rest_shop_webhook_invalid_id", "Invalid ID.")
    not_trashable = "Webhooks"

    def __init__(self, shop: Shop) -> None:
        super().__init__(shop)
        #: Queued deliveries in order; a queued one is not added again.
        self.queue: dict[Pending, None] = {}
        #: Webhooks to ping before the response.
        self.pings: list[int] = []
        #: Set when a delivery was queued.
        self.queued = threading.Event()
        shop.add_hook(self._enqueue)

    # The hooks

    def _enqueue(self, hook: str, argument: int) -> None:
        if not len(self.table):
            return
        # WordPress loads and calls the newest webhooks first.
        for row in reversed(self.table.sorted()):
            matching = row.status == "active" and hook in row.fields["hooks"]
            if matching and self._is_about(row.fields["topic"], argument):
                self.queue.setdefault((row.id, argument))
                self.queued.set()

    def _is_about(self, topic: str, argument: int) -> bool:
        """Return whether a topic applies; order topics ignore drafts and other objects."""
        if not topic.startswith("order."):
            return True
        order = self.shop.tables["orders"].get(argument)
        return order is not None and order.status not in ("draft", "auto-draft", "new")

    # The REST API

    def where(self, parameters: Parameters, parent: int) -> tuple[cabc.Hashable, Keep]:
        """Filter by status."""
        status = parameters.choice("status", "all", ("all", *STATUSES))
        search = parameters.text("search").lower()

        def keep(row: Row) -> bool:
            return status in ("all", row.status) and search in row.fields["name"].lower()

        return (status, search), keep

    def render(self, row: Row) -> Json:
        """Return all fields but the secret, which cannot be read."""
        shop, fields = self.shop, row.fields
        resource, _dot, event = fields["topic"].partition(".")
        return {
            "id": row.id,
            "name": fields["name"],
            "status": row.status,
            "topic": fields["topic"],
            "resource": resource,
            "event": event,
            "hooks": fields["hooks"],
            "delivery_url": fields["delivery_url"],
            **shop.dates(row),
            "_links": {
                "self": shop.link(f"webhooks/{row.id}", ITEM),
                "collection": shop.link("webhooks"),
            },
        }

    def insert(self, body: Json, parent: int) -> Row:
        """Create an active webhook, which is pinged before the response."""
        required = [name for name in ("topic", "delivery_url") if not body.get(name)]
        if required:
            raise missing(*required)
        fields: Json = {
            "name": str(
                body.get("name") or f"Webhook created on {self.shop.local(self.shop.now())}"
            ),
            "secret": str(body.get("secret") or secrets.token_urlsafe(36)),
            "failures": 0,
            "pending": True,
        }
        fields.update(self._checked(body))
        row = self.shop.create("webhooks", fields, status="active")
        row.modified = None
        self.pings.append(row.id)
        return row

    def _checked(self, body: Json) -> Json:
        fields: Json = {}
        if body.get("topic"):
            topic = str(body["topic"])
            if not webhook_topics.accepted(topic, self.shop.version):
                raise _invalid("topic", "Webhook topic is required and must be valid.")
            # Accepted in any case, but only lower-case topics have hooks.
            fields["topic"] = topic if topic == topic.lower() else ""
            fields["hooks"] = webhook_topics.hooks_of(fields["topic"], self.shop.version)
        if body.get("delivery_url"):
            url = str(body["delivery_url"])
            if not url.startswith(("http://", "https://")) or " " in url:
                message = (
                    "Webhook delivery URL must be a valid URL starting with http:// or https://."
                )
                raise _invalid("delivery_url", message)
            fields["delivery_url"] = url
        return fields

    def change(self, row: Row, body: Json) -> None:
        """Save; an active webhook is pinged if its URL is new or no ping succeeded."""
        fields, status = self._checked(body), body.get("status")
        if status and status not in STATUSES:
            raise _invalid("status", "Webhook status must be valid.")
        moved = fields.get("delivery_url", row.fields["delivery_url"]) != row.fields["delivery_url"]
        row.fields.update(fields)
        for name in ("name", "secret"):
            if body.get(name):
                row.fields[name] = str(body[name])
        row.status = status or row.status
        row.fields["pending"] = row.fields["pending"] or moved
        row.modified = self.shop.now()
        self.table.changed(row)
        if row.status == "active" and row.fields["pending"]:
            self.pings.append(row.id)


def _invalid(what: str, message: str) -> RestError:
    return RestError(400, f"woocommerce_rest_shop_webhook_invalid_{what}", message)
