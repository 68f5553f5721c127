"""Drifts: rows that move, appear late, or change without a date, during and between polls."""

from __future__ import annotations

import concurrent.futures
import datetime as dt

from ...worker.worker import Worker
from .harness import Environment, Setup
from .scenario import scenario

_HOUR = dt.timedelta(hours=1)


def _touch(env: Environment) -> None:
    """Change an order and a product in an ordinary way."""
    env.acts.status(env.ids("orders")[0], "completed")
    env.acts.stock(env.ids("products")[0], 3)


def _mixed(env: Environment) -> None:
    """Insert, edit, trash and permanently delete rows at both ends of the ids."""
    orders, products = env.ids("orders"), env.ids("products")
    env.acts.place_order(0, [products[-1]])
    env.acts.status(orders[-1], "cancelled")
    env.acts.trash_post(orders[0])
    env.acts.delete_for_good("orders", orders[1])
    env.acts.new_product("In between")
    env.acts.trash_post(products[0])
    env.acts.delete_for_good("products", products[1])
    env.acts.delete_for_good("customers", env.ids("customers")[0])
    env.acts.coupon_use(env.ids("coupons")[0])


@scenario("several changes between two polls", "Objects change several times between two polls.")
def _several_changes(env: Environment) -> None:
    order = env.ids("orders")[0]
    for status in ("processing", "completed", "refunded"):
        env.do(lambda status=status: env.acts.status(order, status))  # type: ignore[misc]
    made = env.do(lambda: env.acts.new_product("Here and gone"))
    env.do(lambda: env.acts.delete_for_good("products", made))


def _during(request: int) -> None:
    @scenario(
        f"changes at request {request} of a poll",
        "Rows are inserted, edited, trashed and deleted while pages are read.",
        setup=Setup(orders=23, products=17, coupons=6, customers=11),
        with_journal=request < 8,  # With the journal, a poll makes fewer requests.
    )
    def play(env: Environment) -> None:
        env.do(lambda: _touch(env))
        done = env.when(request, lambda: _mixed(env))
        env.poll()
        assert done.is_set(), "the poll made fewer requests"


for _request in (0, 1, 2, 3, 5, 8, 12):
    _during(_request)


def _during_baseline(request: int) -> None:
    @scenario(
        f"changes at request {request} of the baseline",
        "Objects are created, changed and deleted while the baseline is recorded.",
        setup=Setup(orders=23, products=17, baseline=False),
    )
    def play(env: Environment) -> None:
        def change() -> None:
            env.acts.status(env.ids("orders")[0], "cancelled")
            env.acts.stock(env.ids("products")[-1], 1)
            env.acts.place_order(0, [env.ids("products")[2]])

        done = env.when(request, change)
        env.poll()
        assert done.is_set(), "the baseline made fewer requests"


for _request in (1, 3, 6, 9):
    _during_baseline(_request)


@scenario(
    "300 changes in one second",
    "An import gives 300 products the same date, on more than two pages.",
    setup=Setup(products=300, orders=2, page_size=100),
    changes=300,
)
def _one_second(env: Environment) -> None:
    env.store.clock.freeze()

    def change() -> None:
        for number in env.ids("products"):
            env.acts.post_update(number, f"Imported {number}")

    env.do(change)
    env.poll()
    env.store.clock.thaw()


@scenario(
    "two changes in one second, with a poll between",
    "An object changes again in the second in which a poll has read it.",
    changes=2,
)
def _split_second(env: Environment) -> None:
    product = env.ids("products")[0]
    env.do(lambda: env.acts.stock(product, 3))
    env.store.clock.freeze()
    env.poll()
    env.do(lambda: env.acts.stock(product, 4))
    env.poll()
    env.store.clock.thaw()


def _late_commit(when: str, seconds: int) -> None:
    @scenario(
        f"late commit, {when} back",
        "A change becomes visible with a date that polls have already passed.",
        changes=2,
    )
    def play(env: Environment) -> None:
        env.do(lambda: _touch(env))
        env.poll()
        for kind, field in (("orders", "customer_note"), ("products", "description")):
            number = env.ids(kind)[1]
            env.do(
                lambda kind=kind, number=number, field=field: env.acts.late_commit(  # type: ignore[misc]
                    kind, number, seconds, **{field: "late"}
                )
            )


for _when, _seconds in (
    ("a second", 1), ("a minute", 60), ("half an hour", 1800), ("two hours", 7199),
):  # fmt: skip
    _late_commit(_when, _seconds)


def _wrong_clock(when: str, step: dt.timedelta) -> None:
    @scenario(
        f"store clock {when}",
        "The store's clock is wrong, and changes have its dates.",
        changes=3,
    )
    def play(env: Environment) -> None:
        env.do(lambda: _touch(env))
        env.poll()
        env.pass_time(dt.timedelta(), step)
        env.do(lambda: env.acts.status(env.ids("orders")[2], "completed"))
        env.poll()
        env.do(lambda: env.acts.stock(env.ids("products")[2], 9))
        env.poll()
        env.pass_time(dt.timedelta(), -step)
        env.do(lambda: env.acts.status(env.ids("orders")[3], "on-hold"))
        env.poll()


_wrong_clock("a day ahead, then corrected", 24 * _HOUR)
_wrong_clock("a day behind, then corrected", -24 * _HOUR)
_wrong_clock("an hour back, then forward", -_HOUR)


def _clock_change(zone: str, when: str, moment: dt.datetime) -> None:
    @scenario(
        f"{zone}, {when}",
        "The site's local time is repeated or skipped while changes happen.",
        setup=Setup(timezone=zone),
        changes=6,
    )
    def play(env: Environment) -> None:
        env.pass_time(dt.timedelta(), moment - env.store.clock.now() - 2 * _HOUR)
        env.poll()
        for number in range(8):
            env.do(lambda number=number: env.acts.status(  # type: ignore[misc]
                env.ids("orders")[number % 12], ("completed", "on-hold")[number % 2]))  # fmt: skip
            env.do(lambda number=number: env.acts.stock(env.ids("products")[3], 20 + number))  # type: ignore[misc]
            env.pass_time(dt.timedelta(minutes=15))
            env.poll()


def _utc(*when: int) -> dt.datetime:
    return dt.datetime(*when, tzinfo=dt.UTC)  # type: ignore[misc, arg-type]


_clock_change("Europe/Berlin", "daylight saving time begins", _utc(2027, 3, 28, 1))
_clock_change("Europe/Berlin", "daylight saving time ends", _utc(2027, 10, 31, 1))
_clock_change("America/New_York", "daylight saving time begins", _utc(2027, 3, 14, 7))
_clock_change("America/New_York", "daylight saving time ends", _utc(2027, 11, 7, 6))


@scenario(
    "the site moves to another time zone",
    "Every local date is different, but nothing changed.",
    setup=Setup(timezone="America/New_York"),
)
def _new_time_zone(env: Environment) -> None:
    env.acts.timezone("Europe/Berlin")
    env.poll()
    env.do(lambda: _touch(env))


def _delete_some(many: int) -> None:
    @scenario(
        f"{many} of 1,000 orders deleted permanently",
        "No date and no webhook reports the deletions.",
        setup=Setup(orders=1000, products=2, coupons=1, customers=2, page_size=100),
        changes=many,
    )
    def play(env: Environment) -> None:
        ids = env.ids("orders")

        def change() -> None:
            for number in ids[7 :: len(ids) // many][:many]:
                env.acts.delete_for_good("orders", number)

        env.do(change)
        env.poll()
        assert env.judge.agrees(env.truth()), "some events did not arrive at the next poll"


for _many in (1, 10, 100):
    _delete_some(_many)


@scenario(
    "as many orders created as deleted",
    "The total stays the same, so counting finds nothing.",
    setup=Setup(orders=60, page_size=10),
    changes=6,
)
def _equal_total(env: Environment) -> None:
    def change() -> None:
        for number in env.ids("orders")[5:20:5]:
            env.acts.delete_for_good("orders", number)
            env.acts.place_order(0, [])

    env.do(change)
    env.poll()


@scenario(
    "a role is lost and regained", "Only the role shows that a user is a customer.", changes=2
)
def _lose_role(env: Environment) -> None:
    customer = env.ids("customers")[1]
    env.do(lambda: env.acts.role(customer, "subscriber"))
    env.poll()
    env.do(lambda: env.acts.role(customer, "customer"))
    env.poll()


@scenario(
    "trashed, restored, trashed, deleted from the trash",
    "The last step sends no event, because the object was already deleted.",
    changes=3,
)
def _trash_twice(env: Environment) -> None:
    product = env.ids("products")[0]
    for change in (env.acts.trash_post, env.acts.untrash_post, env.acts.trash_post):
        env.do(lambda change=change: change(product))  # type: ignore[misc]
        env.poll()
    env.do(lambda: env.acts.delete_for_good("products", product))
    env.poll()


@scenario(
    "changes without a date in a large store",
    "SQL changes one row in seventy; the comparison finds them within a day.",
    setup=Setup(orders=400, products=200, customers=150, coupons=20, page_size=20),
    changes=9,
)
def _silent_writes(env: Environment) -> None:
    def change() -> None:
        for kind, field in (
            ("orders", "customer_note"), ("products", "description"), ("customers", "last_name"),
        ):  # fmt: skip
            for number in env.ids(kind)[::70]:
                env.acts.sql_update(kind, number, **{field: "silent"})

    env.do(change)
    for _ in range(24 * 4):
        if env.judge.agrees(env.truth()):
            return
        env.poll()


def _end_process(commit: int, after: bool) -> None:
    when = "after" if after else "before"

    @scenario(
        f"the process dies {when} commit {commit}",
        "Another worker continues where it ended.",
        setup=Setup(orders=23, products=17),
        changes=4,
    )  # fmt: skip
    def play(env: Environment) -> None:
        env.do(lambda: _mixed(env))
        env.crash_at(commit, after=after)
        env.poll()


for _commit in range(7):
    _end_process(_commit, after=bool(_commit % 2))


@scenario(
    "the process dies again and again",
    "Each of six workers gets one commit further.",
    setup=Setup(orders=23, products=17, baseline=False),
    changes=0,
)
def _end_repeatedly(env: Environment) -> None:
    for commit in range(6):
        env.crash_at(commit)
        env.poll()
    env.settle()
    env.do(lambda: _touch(env))


@scenario(
    "two workers at the same time",
    "Two workers poll and deliver the same instance.",
    setup=Setup(orders=23, products=17),
    changes=4,
)
def _concurrent_workers(env: Environment) -> None:
    for _ in range(3):
        env.do(lambda: _mixed(env))

        def work() -> None:
            worker = Worker(env.runtime)
            worker.poll_once([env.instance_id])
            worker.deliver_once()

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(work) for _ in range(2)]:
                done.result()
        env.collect()
