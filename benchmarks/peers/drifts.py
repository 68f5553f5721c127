"""Drifts: listings that change while they are read, and changes that dates do not show."""

from __future__ import annotations

import collections.abc as cabc

from .shop import Shop

#: Objects of a store in which a drift happens; the orders fill more than three pages.
SIZES = {"orders": 350, "products": 10, "coupons": 3, "customers": 5}
#: How far back a late commit is dated, seconds.
LATE = 1800

#: Makes the drift happen, or prepares it for the next sync; the second argument syncs the peer.
Drift = cabc.Callable[[Shop, cabc.Callable[[], None]], None]


def edited_while_read(shop: Shop, sync: cabc.Callable[[], None]) -> None:
    """Edit 250 orders within five minutes, and more while the pages are read.

    Between two pages, one order of the page just read is edited and a new one is created.
    """
    acts, clock = shop.store.acts, shop.store.clock
    clock.advance(-300)
    for number in sorted(shop.store.truth("orders"))[:250]:
        acts.order_meta(number)
        clock.advance(1)
    clock.advance(50)
    product = min(shop.store.truth("products"))
    left = 3

    def between(ids: list[int]) -> None:
        nonlocal left
        if left:
            left -= 1
            acts.order_meta(ids[0], value=f"edited {left}")
            acts.place_order(0, [product])

    shop.between_pages = between


def one_second(shop: Shop, sync: cabc.Callable[[], None]) -> None:
    """Edit 300 orders in one second, as a bulk action does.

    The simulated store returns rows with equal dates in a different order for each query, as real
    stores were seen to do. With a stable order, paging by date would lose none of them.
    """
    shop.store.clock.freeze()
    for number in sorted(shop.store.truth("orders"))[:300]:
        shop.store.acts.order_meta(number)
    shop.store.clock.thaw()


def late_commits(shop: Shop, sync: cabc.Callable[[], None]) -> None:
    """Make ten edits and ten new orders visible with a date 30 minutes in the past.

    A new order is synced first, so every cursor, by creation or modification, is past that date.
    """
    acts, clock = shop.store.acts, shop.store.clock
    orders, product = sorted(shop.store.truth("orders")), min(shop.store.truth("products"))
    acts.place_order(0, [product])
    sync()
    for number in orders[10:20]:
        acts.late_commit("orders", number, LATE, customer_note="committed late")
    clock.advance(-LATE)
    for _ in range(10):
        acts.place_order(0, [product])
    clock.advance(LATE)


def deleted_for_good(shop: Shop, sync: cabc.Callable[[], None]) -> None:
    """Delete ten orders permanently, without the trash."""
    for number in sorted(shop.store.truth("orders"))[100:110]:
        shop.store.acts.delete_for_good("orders", number)


#: Every drift by its column heading.
DRIFTS: dict[str, Drift] = {
    "edited while read": edited_while_read,
    "300 in one second": one_second,
    "20 late commits": late_commits,
    "10 deleted permanently": deleted_for_good,
}
