"""The webhooks of one store that are ours: made, looked at, replaced and removed."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import typing as t

from ..errors import StoreAccessError, StoreError, StoreGarbledError, TransportError
from .client import StoreClient

#: Of a refund that is gone: by the page of its order, and of one that is a post (5.9 to 11.0).
_REFUND_GONE = ("action.woocommerce_refund_deleted", "action.woocommerce_delete_order_refund")
#: Topics by the hub's name of what is polled. WooCommerce sends the actions for deletions for
#: good and for sold pieces, which no ordinary topic tells (5.9 to 11.0).
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
#: These name only what is gone, which shows in an order or a product that is not named.
GONE_BELOW = (*_REFUND_GONE, "action.woocommerce_delete_product_variation")
_PER_PAGE = 100
#: Pages of webhooks that are read; a store with more has another trouble.
_MAX_PAGES = 50


def topics(hub_names: cabc.Iterable[str]) -> tuple[str, ...]:
    """The topics that tell of these collections, each once."""
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
    """What a look at a store's webhooks came to."""

    webhooks: tuple[Webhook, ...]
    #: What had to be put right, for people; empty when all was well.
    repaired: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Every topic has its webhook."""
        return all(one.status == "active" for one in self.webhooks)


class Registrar:
    """Keeps our webhooks at one store as they should be; others' are never touched.

    :param url: the address of our intake.
    :param is_ours: whether a delivery address is one of this instance's, an old one too.
    :param name: what the webhooks are called in the store, before their topic.
    :param reached: whether the store has reached us since this was last asked.
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
        self._url = url
        self._secret = secret
        self._is_ours = is_ours
        self._name = name
        self._reached = reached

    def look(self) -> list[dict[str, t.Any]]:
        """Our webhooks as the store shows them.

        :raises StoreAccessError: the key may not read webhooks.
        """
        found: list[dict[str, t.Any]] = []
        for page in range(1, _MAX_PAGES + 1):
            rows = self._client.get("webhooks", {"per_page": _PER_PAGE, "page": page}).data
            if not isinstance(rows, list):
                raise StoreGarbledError("the store's list of webhooks is not one", status=200)
            found += [row for row in rows if isinstance(row, dict)]
            if len(rows) < _PER_PAGE:
                break
        return [row for row in found if self._is_ours(str(row.get("delivery_url", "")))]

    def reconcile(
        self, wanted: cabc.Sequence[str], distrusted: cabc.Collection[int] = ()
    ) -> WebhookCheck:
        """Make the store have one healthy webhook for each topic, and none of ours besides.

        What was disabled is made anew: WooCommerce keeps its count of failures, and one more
        would disable it again (5.9 to 11.0).

        :param distrusted: ids of webhooks whose signatures did not hold.
        """
        kept, useless, repaired = self._sort(wanted, distrusted)
        missing = [topic for topic in wanted if topic not in kept]
        # First the new ones: in between both deliver, and nothing is told twice.
        made = self._make(missing)
        if all(one.status == "active" for one in made) or not missing:
            self._delete(useless)
        found = {one.topic: one for one in made} | kept
        return WebhookCheck(tuple(found[topic] for topic in wanted), tuple(repaired))

    def check(self, wanted: cabc.Sequence[str], distrusted: cabc.Collection[int] = ()) -> list[str]:
        """What would have to be put right, for people."""
        return self._sort(wanted, distrusted)[2]

    def _sort(
        self, wanted: cabc.Sequence[str], distrusted: cabc.Collection[int]
    ) -> tuple[dict[str, Webhook], list[int], list[str]]:
        """Which of ours are good, the ids of those which are not, and what is wrong in words."""
        by_topic: dict[str, list[dict[str, t.Any]]] = collections.defaultdict(list)
        for row in self.look():
            by_topic[str(row.get("topic", ""))].append(row)
        kept: dict[str, Webhook] = {}
        useless: list[int] = []
        wrong: list[str] = []
        # Stores list what was made in one second in any order; people read the same words again.
        for topic, rows in sorted(by_topic.items()):
            for row in sorted(rows, key=lambda row: int(row["id"])):
                trouble = self._trouble(row, topic in wanted, topic in kept, distrusted)
                if trouble is None:
                    kept[topic] = Webhook(topic, int(row["id"]), "active")
                else:
                    useless.append(int(row["id"]))
                    wrong.append(f"{topic or 'one without a topic'} {trouble}")
        wrong += [f"{topic} was missing" for topic in wanted if topic not in by_topic]
        return kept, useless, wrong

    def remove(self) -> int:
        """Remove ours; tell how many there were."""
        ours = [int(row["id"]) for row in self.look()]
        self._delete(ours)
        return len(ours)

    def _trouble(
        self,
        row: cabc.Mapping[str, t.Any],
        wanted: bool,
        doubled: bool,
        distrusted: cabc.Collection[int],
    ) -> str | None:
        if not wanted:
            return "is not wanted any more"
        if row.get("status") != "active":
            return f"was {row.get('status')}"
        if row.get("delivery_url") != self._url:
            return "had another address"
        if int(row["id"]) in distrusted:
            return "had another secret"
        return "was there twice" if doubled else None

    def _make(self, wanted: cabc.Sequence[str]) -> list[Webhook]:
        """Make webhooks: the first alone, since the store pings us before it answers."""
        if not wanted:
            return []
        try:
            self._reached()
            first = self._made(wanted[0], self._client.post("webhooks", self._body(wanted[0])).data)
        except (StoreAccessError, StoreError) as exc:
            if isinstance(exc, StoreAccessError) or len(wanted) == 1:
                return [Webhook(topic, error=_why(exc)) for topic in wanted]
            return [Webhook(wanted[0], error=_why(exc)), *self._make(wanted[1:])]
        if not self._reached():
            self._delete([first.id] if first.id is not None else [])
            reason = (
                f"the store cannot reach {self._url.rpartition('/')[0]}/...: WooCommerce delivers "
                "to public addresses at the ports 80, 443 and 8080 only, and follows no redirect"
            )
            return [Webhook(topic, error=reason) for topic in wanted]
        return [first, *self._make_rest(wanted[1:])]

    def _make_rest(self, wanted: cabc.Sequence[str]) -> list[Webhook]:
        if not wanted:
            return []
        bodies = [self._body(topic) for topic in wanted]
        answer = self._client.post("webhooks/batch", {"create": bodies}).data
        rows = answer.get("create") if isinstance(answer, dict) else None
        if not isinstance(rows, list) or len(rows) != len(wanted):
            raise StoreGarbledError("the store did not say which webhooks it made", status=200)
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
            return Webhook(topic, error=str(error.get("message", "the store refused it"))[:300])
        if not isinstance(row, dict) or not row.get("id"):
            return Webhook(topic, error="the store did not make it")
        number = int(row["id"])
        if row.get("topic") != topic or not row.get("hooks"):
            # Accepted, and dead: customer.restored has no hooks before 10.9.
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
