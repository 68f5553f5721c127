"""The WooCommerce versions that can be simulated, and their differences."""

from __future__ import annotations

import dataclasses
import functools

#: Statuses of orders that nobody has placed.
DRAFTS = ("checkout-draft", "auto-draft")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Version:
    """One WooCommerce release and its features."""

    #: The full version, as in ``system_status`` and the User-Agent of webhooks.
    number: str
    #: The WordPress version.
    wordpress: str
    #: Whether orders are in their own tables (HPOS); otherwise they are posts.
    hpos: bool
    #: ``PUT`` with ``include_status`` and the collection ``/variations``.
    modern: bool = False
    #: The collection ``/refunds``; trashing a trashed object returns 410.
    refunds_collection: bool = False
    #: Coupons have a ``status`` field and filter.
    coupon_status: bool = True
    #: ``woocommerce_trash_order`` and ``woocommerce_untrash_order`` are hooks of the topics.
    order_trash_hooks: bool = False

    @functools.cached_property
    def major(self) -> int:
        """The first part of the version number."""
        return int(self.number.split(".", 1)[0])

    @property
    def target_hints(self) -> bool:
        """Whether ``_links`` contain the allowed methods (WordPress 6.7)."""
        return self.major >= 9

    @property
    def cache_control(self) -> str:
        """The Cache-Control of authenticated responses."""
        plain = "no-cache, must-revalidate, max-age=0"
        return plain if self.major < 8 else f"{plain}, no-store, private"

    @property
    def order_statuses(self) -> tuple[str, ...]:
        """The statuses that an order can be listed by, without ``any`` and ``trash``."""
        core = ("pending", "processing", "on-hold", "completed", "cancelled", "refunded", "failed")
        return core if self.major < 7 else (*core, "checkout-draft")

    @property
    def any_order(self) -> tuple[str, ...]:
        """The statuses of ``any`` for orders; the newest version leaves out drafts."""
        return tuple(one for one in self.order_statuses if not self.modern or one not in DRAFTS)


#: Every version that can be simulated, by its short name.
VERSIONS: dict[str, Version] = {
    "5.9": Version(number="5.9.0", wordpress="5.9.16", hpos=False, coupon_status=False),
    "7.0": Version(number="7.0.0", wordpress="6.1.12", hpos=False),
    "8.0": Version(number="8.0.3", wordpress="6.4.10", hpos=False),
    "9.4": Version(
        number="9.4.2",
        wordpress="6.7.7",
        hpos=True,
        refunds_collection=True,
        order_trash_hooks=True,
    ),
    "11.0": Version(
        number="11.0.1",
        wordpress="7.1",
        hpos=True,
        modern=True,
        refunds_collection=True,
        order_trash_hooks=True,
    ),
}


def find(name: str) -> Version:
    """Return the version of this short or full number.

    :raises ValueError: for a version that cannot be simulated.
    """
    short = ".".join(name.split(".")[:2])
    try:
        known = VERSIONS[short]
    except KeyError:
        choice = ", ".join(VERSIONS)
        raise ValueError(f"no simulation of WooCommerce {name!r}; choose one of {choice}") from None
    return dataclasses.replace(known, number=name) if name.count(".") == 2 else known
