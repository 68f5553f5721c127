"""Drifts: rows that move, appear late, or change without a date while and between polls."""

from __future__ import annotations

import concurrent.futures
import datetime as dt

from ...worker.worker import Worker
from .harness import Rig, Setup
from .scenario import scenario

_HOUR = dt.timedelta(hours=1)


def _touch(rig: Rig) -> None:
    """One ordinary change of an order and of a product."""
    rig.acts.status(rig.ids("orders")[0], "completed")
    rig.acts.stock(rig.ids("products")[0], 3)


def _mixed(rig: Rig) -> None:
    """Insert, edit, trash and delete for good, at both ends of the ids."""
    orders, products = rig.ids("orders"), rig.ids("products")
    rig.acts.place_order(0, [products[-1]])
    rig.acts.status(orders[-1], "cancelled")
    rig.acts.trash_post(orders[0])
    rig.acts.delete_for_good("orders", orders[1])
    rig.acts.new_product("In between")
    rig.acts.trash_post(products[0])
    rig.acts.delete_for_good("products", products[1])
    rig.acts.delete_for_good("customers", rig.ids("customers")[0])
    rig.acts.coupon_use(rig.ids("coupons")[0])


@scenario("several changes between two polls", "Objects change several times before we look.")
def _several(rig: Rig) -> None:
    order = rig.ids("orders")[0]
    for status in ("processing", "completed", "refunded"):
        rig.do(lambda status=status: rig.acts.status(order, status))  # type: ignore[misc]
    made = rig.do(lambda: rig.acts.new_product("Here and gone"))
    rig.do(lambda: rig.acts.delete_for_good("products", made))


def _during(request: int) -> None:
    @scenario(
        f"changes at request {request} of a poll",
        "Rows are inserted, edited, trashed and deleted while pages are read.",
        setup=Setup(orders=23, products=17, coupons=6, customers=11),
        with_journal=request < 8,  # So few requests does a poll make there.
    )
    def play(rig: Rig) -> None:
        rig.do(lambda: _touch(rig))
        done = rig.when(request, lambda: _mixed(rig))
        rig.poll()
        assert done.is_set(), "the poll made fewer requests"


for _request in (0, 1, 2, 3, 5, 8, 12):
    _during(_request)


def _during_baseline(request: int) -> None:
    @scenario(
        f"changes at request {request} of the first reading",
        "What is made, changed and deleted while the store is read the first time.",
        setup=Setup(orders=23, products=17, baseline=False),
    )
    def play(rig: Rig) -> None:
        def act() -> None:
            rig.acts.status(rig.ids("orders")[0], "cancelled")
            rig.acts.stock(rig.ids("products")[-1], 1)
            rig.acts.place_order(0, [rig.ids("products")[2]])

        done = rig.when(request, act)
        rig.poll()
        assert done.is_set(), "the first reading made fewer requests"


for _request in (1, 3, 6, 9):
    _during_baseline(_request)


@scenario(
    "300 changes in one second",
    "An import gives 300 products the same date, more than two pages of ties.",
    setup=Setup(products=300, orders=2, page_size=100),
    changes=300,
)
def _one_second(rig: Rig) -> None:
    rig.store.clock.freeze()

    def act() -> None:
        for number in rig.ids("products"):
            rig.acts.post_update(number, f"Imported {number}")

    rig.do(act)
    rig.poll()
    rig.store.clock.thaw()


@scenario(
    "changes in one second around a poll",
    "A second change comes in the same second as the first, after the poll has read it.",
    changes=2,
)
def _second_change(rig: Rig) -> None:
    product = rig.ids("products")[0]
    rig.do(lambda: rig.acts.stock(product, 3))
    rig.store.clock.freeze()
    rig.poll()
    rig.do(lambda: rig.acts.stock(product, 4))
    rig.poll()
    rig.store.clock.thaw()


def _late(words: str, seconds: int) -> None:
    @scenario(
        f"late commit, {words} back",
        "A change becomes visible with a date that polls have passed already.",
        changes=2,
    )
    def play(rig: Rig) -> None:
        rig.do(lambda: _touch(rig))
        rig.poll()
        for kind, field in (("orders", "customer_note"), ("products", "description")):
            number = rig.ids(kind)[1]
            rig.do(
                lambda kind=kind, number=number, field=field: rig.acts.late_commit(  # type: ignore[misc]
                    kind, number, seconds, **{field: "late"}
                )
            )


for _words, _seconds in (
    ("a second", 1), ("a minute", 60), ("half an hour", 1800), ("two hours", 7199),
):  # fmt: skip
    _late(_words, _seconds)


def _clock(words: str, step: dt.timedelta) -> None:
    @scenario(
        f"store clock {words}",
        "The store's clock is wrong, and changes carry its dates.",
        changes=3,
    )
    def play(rig: Rig) -> None:
        rig.do(lambda: _touch(rig))
        rig.poll()
        rig.pass_time(dt.timedelta(), step)
        rig.do(lambda: rig.acts.status(rig.ids("orders")[2], "completed"))
        rig.poll()
        rig.do(lambda: rig.acts.stock(rig.ids("products")[2], 9))
        rig.poll()
        rig.pass_time(dt.timedelta(), -step)
        rig.do(lambda: rig.acts.status(rig.ids("orders")[3], "on-hold"))
        rig.poll()


_clock("a day ahead, then right", 24 * _HOUR)
_clock("a day behind, then right", -24 * _HOUR)
_clock("an hour back, then forward", -_HOUR)


def _zone(zone: str, words: str, moment: dt.datetime) -> None:
    @scenario(
        f"{zone}, {words}",
        "The site's local time is repeated or skipped while changes happen.",
        setup=Setup(timezone=zone),
        changes=6,
    )
    def play(rig: Rig) -> None:
        rig.pass_time(dt.timedelta(), moment - rig.store.clock.now() - 2 * _HOUR)
        rig.poll()
        for number in range(8):
            rig.do(lambda number=number: rig.acts.status(  # type: ignore[misc]
                rig.ids("orders")[number % 12], ("completed", "on-hold")[number % 2]))  # fmt: skip
            rig.do(lambda number=number: rig.acts.stock(rig.ids("products")[3], 20 + number))  # type: ignore[misc]
            rig.pass_time(dt.timedelta(minutes=15))
            rig.poll()


def _utc(*when: int) -> dt.datetime:
    return dt.datetime(*when, tzinfo=dt.UTC)  # type: ignore[misc, arg-type]


_zone("Europe/Berlin", "summer time begins", _utc(2027, 3, 28, 1))
_zone("Europe/Berlin", "summer time ends", _utc(2027, 10, 31, 1))
_zone("America/New_York", "summer time begins", _utc(2027, 3, 14, 7))
_zone("America/New_York", "summer time ends", _utc(2027, 11, 7, 6))


@scenario(
    "the site moves to another time zone",
    "Every local date is another one; nothing happened.",
    setup=Setup(timezone="America/New_York"),
)
def _moved(rig: Rig) -> None:
    rig.acts.timezone("Europe/Berlin")
    rig.poll()
    rig.do(lambda: _touch(rig))


def _deleted(many: int) -> None:
    @scenario(
        f"{many} of 1,000 deleted for good",
        "No date and no webhook tells of it.",
        setup=Setup(orders=1000, products=2, coupons=1, customers=2, page_size=100),
        changes=many,
    )
    def play(rig: Rig) -> None:
        ids = rig.ids("orders")

        def act() -> None:
            for number in ids[7 :: len(ids) // many][:many]:
                rig.acts.delete_for_good("orders", number)

        rig.do(act)
        rig.poll()
        assert rig.judge.agrees(rig.truth()), "not all of it at the next poll"


for _many in (1, 10, 100):
    _deleted(_many)


@scenario(
    "as many made as deleted",
    "The total stays the same: counting alone would see nothing.",
    setup=Setup(orders=60, page_size=10),
    changes=6,
)
def _balanced(rig: Rig) -> None:
    def act() -> None:
        for number in rig.ids("orders")[5:20:5]:
            rig.acts.delete_for_good("orders", number)
            rig.acts.place_order(0, [])

    rig.do(act)
    rig.poll()


@scenario("a role is lost and regained", "Nothing but the role tells who is a customer.", changes=2)
def _role(rig: Rig) -> None:
    customer = rig.ids("customers")[1]
    rig.do(lambda: rig.acts.role(customer, "subscriber"))
    rig.poll()
    rig.do(lambda: rig.acts.role(customer, "customer"))
    rig.poll()


@scenario(
    "trash, restore, trash, deleted from the trash",
    "The last of them is silent: the object was gone already.",
    changes=3,
)
def _trash(rig: Rig) -> None:
    product = rig.ids("products")[0]
    for act in (rig.acts.trash_post, rig.acts.untrash_post, rig.acts.trash_post):
        rig.do(lambda act=act: act(product))  # type: ignore[misc]
        rig.poll()
    rig.do(lambda: rig.acts.delete_for_good("products", product))
    rig.poll()


@scenario(
    "silent writes in a large store",
    "SQL changes one row in each hundred; the comparison finds them within a day.",
    setup=Setup(orders=400, products=200, customers=150, coupons=20, page_size=20),
    changes=9,
)
def _silent(rig: Rig) -> None:
    def act() -> None:
        for kind, field in (
            ("orders", "customer_note"), ("products", "description"), ("customers", "last_name"),
        ):  # fmt: skip
            for number in rig.ids(kind)[::70]:
                rig.acts.sql_update(kind, number, **{field: "silent"})

    rig.do(act)
    for _ in range(24 * 4):
        if rig.judge.agrees(rig.truth()):
            return
        rig.poll()


def _crash(commit: int, after: bool) -> None:
    words = "after" if after else "before"

    @scenario(
        f"our process dies {words} commit {commit}",
        "Another worker takes over where it ended.",
        setup=Setup(orders=23, products=17),
        changes=4,
    )  # fmt: skip
    def play(rig: Rig) -> None:
        rig.do(lambda: _mixed(rig))
        rig.crash_at(commit, after=after)
        rig.poll()


for _commit in range(7):
    _crash(_commit, after=bool(_commit % 2))


@scenario(
    "our process dies again and again",
    "Each of six workers gets one commit further.",
    setup=Setup(orders=23, products=17, baseline=False),
    changes=0,
)
def _crashes(rig: Rig) -> None:
    for commit in range(6):
        rig.crash_at(commit)
        rig.poll()
    rig.settle()
    rig.do(lambda: _touch(rig))


@scenario(
    "two workers at once",
    "Two processes poll and deliver the same instance.",
    setup=Setup(orders=23, products=17),
    changes=4,
)
def _two(rig: Rig) -> None:
    for _ in range(3):
        rig.do(lambda: _mixed(rig))

        def work() -> None:
            worker = Worker(rig.runtime)
            worker.poll_once([rig.instance_id])
            worker.deliver_once()

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(work) for _ in range(2)]:
                done.result()
        rig.collect()
