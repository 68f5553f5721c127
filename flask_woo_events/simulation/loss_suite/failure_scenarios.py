"""Failures: stores with wrong or no responses, failing callbacks, restored backups."""

from __future__ import annotations

import datetime as dt
import typing as t

from ..store import SimulatedStore
from ..store.faults import Kind
from .harness import Environment, Setup
from .scenario import scenario

_FAULTS: tuple[Kind, ...] = (
    "reset", "status", "html", "php_notice", "truncated", "lying_json", "empty200",
    "wrong_total", "duplicate_ids", "endless_pages", "wrong_content_type", "empty_list",
)  # fmt: skip


def _change_store(env: Environment) -> None:
    env.acts.status(env.ids("orders")[0], "completed")
    env.acts.delete_for_good("orders", env.ids("orders")[3])
    env.acts.trash_post(env.ids("products")[1])
    env.acts.coupon_use(env.ids("coupons")[0])
    env.acts.new_customer("during")
    env.acts.delete_for_good("customers", env.ids("customers")[0])


def _at_each_request(kind: Kind, times: int) -> None:
    @scenario(
        f"{kind.replace('_', ' ')}, {times} in a row, at each request",
        "The store returns wrong responses, starting at each request of a poll in turn.",
        setup=Setup(orders=13, products=7),
        changes=4,
    )
    def play(env: Environment) -> None:
        env.do(lambda: _change_store(env))
        for request in range(18):
            before = len(env.store.requests)
            env.store.faults.add(
                kind,
                match=lambda *_: len(env.store.requests) >= before + request,  # noqa: B023
                times=times,
            )
            env.poll()
            env.store.faults.clear()


for _kind in _FAULTS:
    _at_each_request(_kind, 1)
for _kind in ("wrong_total", "empty_list", "endless_pages", "duplicate_ids"):
    _at_each_request(_kind, 4)


def _for_a_while(name: str, description: str, kind: Kind, polls: int = 6, **options: t.Any) -> None:
    @scenario(name, description, setup=Setup(orders=40, products=30, customers=30), changes=4)
    def play(env: Environment) -> None:
        env.store.faults.add(kind, times=100_000, **options)
        env.do(lambda: _change_store(env))
        for _ in range(polls):
            env.poll()
        assert env.judge.known, "the receiver got a deletion of every object"
        env.store.faults.clear()


_for_a_while("an empty store for hours", "Every list is empty, and the totals are 0.", "empty_list")
_for_a_while("401 for hours", "The keys are refused, then accepted again.", "status", code=401)
_for_a_while("404 for hours", "The REST API is switched off, then on again.", "status", code=404)
_for_a_while("429 for hours", "The store limits the rate of requests.", "status", code=429,
             retry_after=1800)  # fmt: skip
_for_a_while("503 for hours", "The store is in maintenance mode.", "status", code=503)
_for_a_while("a page of HTML for hours", "A firewall responds in place of the store.", "html")


@scenario(
    "an empty store during the baseline",
    "The first lists are empty; later they contain all objects, none of which is new.",
    setup=Setup(orders=30, products=25, customers=25, baseline=False),
)
def _empty_baseline(env: Environment) -> None:
    env.store.faults.add("empty_list", times=100_000)
    for _ in range(3):
        env.poll()
    env.store.faults.clear()
    env.poll()
    env.do(lambda: env.acts.stock(env.ids("products")[0], 3))


@scenario(
    "empty pages during the baseline",
    "Later pages of a list are empty for hours.",
    setup=Setup(orders=30, products=25, customers=25, baseline=False),
)
def _empty_page(env: Environment) -> None:
    env.store.faults.add("empty_list", match=lambda _method, path, params: (
        "/wc/v3/" in path and int(params.get("offset", 0)) > 9), times=100_000)  # fmt: skip
    for _ in range(3):
        env.poll()
    env.store.faults.clear()
    env.poll()
    env.do(lambda: env.acts.status(env.ids("orders")[0], "completed"))


@scenario(
    "another store at the address",
    "DNS leads to another store with the same ids for some hours.",
    setup=Setup(orders=40, products=30, customers=30, coupons=20),
    changes=1,
)
def _other_store(env: Environment) -> None:
    other = SimulatedStore(
        env.store.shop.version.number, consumer_key="ck_proof", consumer_secret="cs_proof"
    )
    other.clock.advance(-400 * 86_400)
    other.populate(orders=45, products=35, coupons=15, customers=25)
    other.clock.advance(400 * 86_400)
    other.move(env.store.shop.home)
    ours, env.store.routes = env.store.routes, other.routes
    for _ in range(6):
        env.poll()
    env.store.routes = ours
    env.do(lambda: env.acts.stock(env.ids("products")[0], 5))


@scenario(
    "a backup is restored",
    "Dates and ids go back; what the backup reverted, removed and brought back is sent.",
    setup=Setup(orders=40, products=30),
    changes=1,
)
def _backup(env: Environment) -> None:
    env.pass_time(dt.timedelta(), dt.timedelta(days=-1))
    backup = env.acts.snapshot()
    env.pass_time(dt.timedelta(), dt.timedelta(hours=22))

    def day() -> None:
        for number in env.ids("orders")[:15]:
            env.acts.status(number, "cancelled")
        for number in range(6):
            env.acts.new_product(f"Lost {number}")

    env.do(day)
    env.poll()
    env.pass_time(dt.timedelta(), dt.timedelta(hours=2))
    env.do(lambda: env.acts.restore_backup(backup))
    for _ in range(3):
        env.poll()
    env.do(lambda: env.acts.status(env.ids("orders")[0], "completed"))
    env.do(lambda: env.acts.new_product("After the backup"))


def _callback(name: str, description: str, statuses: tuple[int, ...]) -> None:
    @scenario(name, description, changes=3)
    def play(env: Environment) -> None:
        env.answers.extend(statuses)
        env.do(lambda: _change_store(env))
        env.poll()
        for _ in range(20):
            env.pass_time(dt.timedelta(hours=3))
            env.deliver()
        assert not env.answers, "the callback got no further attempt"


_callback("the callback fails", "It returns 500 a few times.", (500,) * 12)
_callback("the callback is busy", "It returns 429 and 503.", (429, 503) * 6)
