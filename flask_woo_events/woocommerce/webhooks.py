"""Our webhooks at one store: created, checked, replaced and removed."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import typing as t

from ..errors import StoreAccessError, StoreError, StoreGarbledError, TransportError
from ..values.validation import is_id
from .client import StoreClient

#: Topics of a deleted refund: deleted on its order's page, and one that is a post (5.9 to 11.0).
_REFUND_GONE = ("action.woocommerce_refund_deleted", "action.woocommerce_delete_order_refund")
#: Topics by the hub's name of the collection. WooCommerce sends the actions for permanent deletions
#: and for sold items, which have no ordinary topic (5.9 to 11.0).
_TOPICS: dict[str, tuple[str, ...]] = {
    "orders": (
        "order.created", "order.updated", "order.deleted", "order.restored",
        "action.woocommerce_delete_order", *_REFUND_GONE,
    ),
    "products": (
        "product.created", "product.updated", "product.deleted", "product.restored",
        "action.woocommerce_delete_product", "action.woocommerce_delete_product_variation",
        "action.woocommerce_updated_product_sales",
    ),
    "variations": (
        "product.created", "product.updated", "product.deleted", "product.restored",
        "action.woocommerce_delete_product_variation",
    ),
    "discounts": (
        "coupon.created", "coupon.updated", "coupon.deleted", "coupon.restored",
        "action.woocommerce_delete_coupon",
    ),
    "customers": (
        "customer.created", "customer.updated", "customer.deleted",
        "action.woocommerce_delete_customer",
    ),
    "refunds": ("order.updated", "action.woocommerce_refund_created", *_REFUND_GONE),
    "orders-comments": ("action.woocommerce_order_note_added",),
}  # fmt: skip
#: These name only the deleted object, and not the order or product that it changes.
GONE_BELOW = (*_REFUND_GONE, "action.woocommerce_delete_product_variation")
_PER_PAGE = 100
#: Most pages of a store's webhooks that are read.
_MAX_PAGES = 50


def topics(hub_names: cabc.Iterable[str]) -> tuple[str, ...]:
    """Return the topics of some collections, each once."""
    wanted = [topic for name in hub_names for topic in _TOPICS.get(name, ())]
    return tuple(dict.fromkeys(wanted))


@dataclasses.dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook as a store shows it, or why there is none."""

    topic: str
    id: int | None = None
    status: str = "missing"
    error: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class WebhookCheck:
    """The result of a check of our webhooks at a store."""

    webhooks: tuple[Webhook, ...]
    #: Descriptions of what was repaired; empty if nothing was wrong.
    repaired: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether every topic has an active webhook."""
        return all(one.status == "active" for one in self.webhooks)


class Registrar:
    """The registration of one instance's webhooks at its store; other webhooks are not touched.

    :param url: delivery URL of the instance.
    :param is_ours: returns whether a delivery URL is a current or old one of this instance.
    :param name: prefix of the webhooks' names in the store, before the topic.
    :param reached: returns whether the store's ping has arrived since the previous call.
    """

    def __init__(
        self,
        client: StoreClient,
        url: str,
        secret: str,
        *,
        is_ours: cabc.Callable[[str], bool],
        name: str,
        reached: cabc.Callable[[], bool],
    ) -> None:
        self._client = client
        client.keep_secret(secret)
        self._url = url
        self._secret = secret
        self._is_ours = is_ours
        self._name = name
        self._reached = reached

    def read(self) -> list[dict[str, t.Any]]:
        """Read our webhooks from the store.

        :raises StoreAccessError: the key may not read webhooks.
        """
        found: list[dict[str, t.Any]] = []
        for page in range(1, _MAX_PAGES + 1):
            rows = self._client.get("webhooks", {"per_page": _PER_PAGE, "page": page}).data
            if not isinstance(rows, list):
                raise StoreGarbledError("the store's answer is not a list of webhooks", status=200)
            found += [row for row in rows if isinstance(row, dict)]
            if len(rows) < _PER_PAGE:
                break
        ours = [row for row in found if self._is_ours(str(row.get("delivery_url", "")))]
        if not all(is_id(row.get("id")) for row in ours):
            raise StoreGarbledError(
                "the store's list of webhooks has one without an id", status=200
            )
        return ours

    def reconcile(
        self, wanted: cabc.Sequence[str], distrusted: cabc.Collection[int] = ()
    ) -> WebhookCheck:
        """Make the store have one active webhook of ours for each topic, and no others of ours.

        A disabled webhook is replaced, because WooCommerce keeps its count of failures, and one
        more would disable it again (5.9 to 11.0).

        :param wanted: the topics.
        :param distrusted: ids of webhooks whose deliveries had an invalid signature.
        """
        kept, useless, repaired = self._sort(wanted, distrusted)
        missing = [topic for topic in wanted if topic not in kept]
        # New ones first: meanwhile both deliver, and no event is sent twice.
        created = self._create(missing)
        if all(one.status == "active" for one in created) or not missing:
            self._delete(useless)
        found = {one.topic: one for one in created} | kept
        return WebhookCheck(tuple(found[topic] for topic in wanted), tuple(repaired))

    def check(self, wanted: cabc.Sequence[str], distrusted: cabc.Collection[int] = ()) -> list[str]:
        """Return descriptions of what :meth:`reconcile` would repair."""
        return self._sort(wanted, distrusted)[2]

    def _sort(
        self, wanted: cabc.Sequence[str], distrusted: cabc.Collection[int]
    ) -> tuple[dict[str, Webhook], list[int], list[str]]:
        """Return our valid webhooks, the ids of the others, and descriptions of what is wrong."""
        by_topic: dict[str, list[dict[str, t.Any]]] = collections.defaultdict(list)
        for row in self.read():
            by_topic[str(row.get("topic", ""))].append(row)
        kept: dict[str, Webhook] = {}
        useless: list[int] = []
        wrong: list[str] = []
        # Stores list webhooks of one second in any order; notices must not vary by it.
        for topic, rows in sorted(by_topic.items()):
            for row in sorted(rows, key=lambda row: row["id"]):
                problem = self._problem(row, topic in wanted, topic in kept, distrusted)
                if problem is None:
                    kept[topic] = Webhook(topic, row["id"], "active")
                else:
                    useless.append(row["id"])
                    wrong.append(f"{topic or 'one without a topic'} {problem}")
        wrong += [f"{topic} was missing" for topic in wanted if topic not in by_topic]
        return kept, useless, wrong

    def remove(self) -> int:
        """Remove our webhooks, and return their number."""
        ours = [row["id"] for row in self.read()]
        self._delete(ours)
        return len(ours)

    def _problem(
        self,
        row: cabc.Mapping[str, t.Any],
        wanted: bool,
        doubled: bool,
        distrusted: cabc.Collection[int],
    ) -> str | None:
        if not wanted:
            return "is no longer needed"
        if row.get("status") != "active":
            return f"was {self._client.hide(str(row.get('status')))[:40]}"
        if row.get("delivery_url") != self._url:
            return "had another address"
        if row["id"] in distrusted:
            return "had another secret"
        return "existed twice" if doubled else None

    def _create(self, wanted: cabc.Sequence[str]) -> list[Webhook]:
        """Create webhooks: the first alone, since the store pings us before it answers."""
        if not wanted:
            return []
        try:
            self._reached()
            first = self._made(wanted[0], self._client.post("webhooks", self._body(wanted[0])).data)
        except (StoreAccessError, StoreError) as exc:
            if isinstance(exc, StoreAccessError) or len(wanted) == 1:
                return [Webhook(topic, error=_why(exc)) for topic in wanted]
            return [Webhook(wanted[0], error=_why(exc)), *self._create(wanted[1:])]
        if not self._reached():
            self._delete([first.id] if first.id is not None else [])
            reason = (
                f"the store cannot reach {self._url.rpartition('/')[0]}/...: WooCommerce delivers "
                "to public addresses at the ports 80, 443 and 8080 only, and follows no redirect"
            )
            return [Webhook(topic, error=reason) for topic in wanted]
        return [first, *self._create_rest(wanted[1:])]

    def _create_rest(self, wanted: cabc.Sequence[str]) -> list[Webhook]:
        if not wanted:
            return []
        bodies = [self._body(topic) for topic in wanted]
        answer = self._client.post("webhooks/batch", {"create": bodies}).data
        rows = answer.get("create") if isinstance(answer, dict) else None
        if not isinstance(rows, list) or len(rows) != len(wanted):
            raise StoreGarbledError("the store did not return the created webhooks", status=200)
        return [self._made(topic, row) for topic, row in zip(wanted, rows, strict=True)]

    def _body(self, topic: str) -> dict[str, str]:
        return {
            "name": f"{self._name} {topic}",
            "topic": topic,
            "delivery_url": self._url,
            "secret": self._secret,
        }

    def _made(self, topic: str, row: t.Any) -> Webhook:
        error = row.get("error") if isinstance(row, dict) else None
        if isinstance(error, dict):
            words = self._client.hide(str(error.get("message", "the store refused it")))
            return Webhook(topic, error=words[:300])
        if not isinstance(row, dict) or not is_id(row.get("id")):
            return Webhook(topic, error="the store did not create it")
        number = row["id"]
        if row.get("topic") != topic or not row.get("hooks"):
            # Accepted but without effect: customer.restored has no hooks before 10.9.
            self._delete([number])
            return Webhook(topic, error="this version of WooCommerce does not know the topic")
        return Webhook(topic, number, str(row.get("status", "active")))

    def _delete(self, numbers: cabc.Sequence[int]) -> None:
        for start in range(0, len(numbers), _PER_PAGE):
            some = list(numbers[start : start + _PER_PAGE])
            self._client.post("webhooks/batch", {"delete": some})


def _why(exc: TransportError) -> str:
    said = getattr(exc, "said", "")
    return str(said or exc)[:300]
