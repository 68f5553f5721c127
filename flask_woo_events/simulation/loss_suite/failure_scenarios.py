"""Failures: stores that lie or do not answer, callbacks that are down, backups played in."""

from __future__ import annotations

import datetime as dt
import typing as t

from ..store import SimulatedStore
from ..store.faults import Kind
from .harness import Rig, Setup
from .scenario import scenario

_FAULTS: tuple[Kind, ...] = (
    "reset", "status", "html", "php_notice", "truncated", "lying_json", "empty200",
    "wrong_total", "duplicate_ids", "endless_pages", "wrong_content_type", "empty_list",
)  # fmt: skip


def _change(rig: Rig) -> None:
    rig.acts.status(rig.ids("orders")[0], "completed")
    rig.acts.delete_for_good("orders", rig.ids("orders")[3])
    rig.acts.trash_post(rig.ids("products")[1])
    rig.acts.coupon_use(rig.ids("coupons")[0])
    rig.acts.new_customer("during")
    rig.acts.delete_for_good("customers", rig.ids("customers")[0])


def _at_each_request(kind: Kind, times: int) -> None:
    @scenario(
        f"{kind.replace('_', ' ')}, {times} in a row, at each request",
        "The store's answers go wrong, beginning at each request of a poll in turn.",
        setup=Setup(orders=13, products=7),
        changes=4,
    )
    def play(rig: Rig) -> None:
        rig.do(lambda: _change(rig))
        for request in range(18):
            before = len(rig.store.requests)
            rig.store.faults.add(
                kind,
                match=lambda *_: len(rig.store.requests) >= before + request,  # noqa: B023
                times=times,
            )
            rig.poll()
            rig.store.faults.clear()


for _kind in _FAULTS:
    _at_each_request(_kind, 1)
for _kind in ("wrong_total", "empty_list", "endless_pages", "duplicate_ids"):
    _at_each_request(_kind, 4)


def _for_a_while(name: str, words: str, kind: Kind, polls: int = 6, **options: t.Any) -> None:
    @scenario(name, words, setup=Setup(orders=40, products=30, customers=30), changes=4)
    def play(rig: Rig) -> None:
        rig.store.faults.add(kind, times=100_000, **options)
        rig.do(lambda: _change(rig))
        for _ in range(polls):
            rig.poll()
        assert rig.judge.known, "the receiver believes that nothing is left"
        rig.store.faults.clear()


_for_a_while(
    "an empty store for hours", "Every list is empty, and so are the totals.", "empty_list"
)
_for_a_while("401 for hours", "The keys are refused, then taken again.", "status", code=401)
_for_a_while("404 for hours", "The REST API is switched off, then on again.", "status", code=404)
_for_a_while("429 for hours", "The store wants to be left alone.", "status", code=429,
             retry_after=1800)  # fmt: skip
_for_a_while("503 for hours", "The store is being maintained.", "status", code=503)
_for_a_while("a page of HTML for hours", "A firewall answers in place of the store.", "html")


@scenario(
    "an empty store at the first reading",
    "The first lists are empty; later everything is there, and none of it is new.",
    setup=Setup(orders=30, products=25, customers=25, baseline=False),
)
def _empty_at_first(rig: Rig) -> None:
    rig.store.faults.add("empty_list", times=100_000)
    for _ in range(3):
        rig.poll()
    rig.store.faults.clear()
    rig.poll()
    rig.do(lambda: rig.acts.stock(rig.ids("products")[0], 3))


@scenario(
    "an empty list in the middle of the first reading",
    "It shows nothing where rows were read already, for hours.",
    setup=Setup(orders=30, products=25, customers=25, baseline=False),
)
def _empty_later(rig: Rig) -> None:
    rig.store.faults.add("empty_list", match=lambda _method, path, params: (
        "/wc/v3/" in path and int(params.get("offset", 0)) > 9), times=100_000)  # fmt: skip
    for _ in range(3):
        rig.poll()
    rig.store.faults.clear()
    rig.poll()
    rig.do(lambda: rig.acts.status(rig.ids("orders")[0], "completed"))


@scenario(
    "another shop at the address",
    "DNS leads to another store for some hours, whose ids are the same.",
    setup=Setup(orders=40, products=30, customers=30, coupons=20),
    changes=1,
)
def _another(rig: Rig) -> None:
    other = SimulatedStore(
        rig.store.shop.version.number, consumer_key="ck_proof", consumer_secret="cs_proof"
    )
    other.clock.advance(-400 * 86_400)
    other.populate(orders=45, products=35, coupons=15, customers=25)
    other.clock.advance(400 * 86_400)
    other.move(rig.store.shop.home)
    ours, rig.store.routes = rig.store.routes, other.routes
    for _ in range(6):
        rig.poll()
    rig.store.routes = ours
    rig.do(lambda: rig.acts.stock(rig.ids("products")[0], 5))


@scenario(
    "a backup is played in",
    "Dates and ids go back; what was taken back is reported and not told as changes.",
    setup=Setup(orders=40, products=30),
    changes=1,
)
def _backup(rig: Rig) -> None:
    rig.pass_time(dt.timedelta(), dt.timedelta(days=-1))
    backup = rig.acts.snapshot()
    rig.pass_time(dt.timedelta(), dt.timedelta(hours=22))

    def day() -> None:
        for number in rig.ids("orders")[:15]:
            rig.acts.status(number, "cancelled")
        for number in range(6):
            rig.acts.new_product(f"Lost {number}")

    rig.do(day)
    rig.poll()
    rig.pass_time(dt.timedelta(), dt.timedelta(hours=2))
    before = rig.judge.verdict(rig.truth()).arrived
    rig.do(lambda: rig.acts.restore_backup(backup))
    rig.poll()
    arrived = rig.judge.verdict(rig.truth()).arrived - before
    assert arrived <= 6, f"a flood of {arrived} events"
    assert [one["kind"] for one in rig.notices] == ["restored"], "nobody was told of the backup"
    # What the backup took back is for the person who played it in: the receiver starts from here.
    rig.judge.known = dict(rig.truth())
    rig.do(lambda: rig.acts.status(rig.ids("orders")[0], "completed"))
    rig.do(lambda: rig.acts.new_product("After the backup"))


def _callback(name: str, words: str, statuses: tuple[int, ...]) -> None:
    @scenario(name, words, changes=3)
    def play(rig: Rig) -> None:
        rig.answers.extend(statuses)
        rig.do(lambda: _change(rig))
        rig.poll()
        for _ in range(20):
            rig.pass_time(dt.timedelta(hours=3))
            rig.deliver()
        assert not rig.answers, "the callback was not asked again"


_callback("the callback fails", "It answers 500 a few times.", (500,) * 12)
_callback("the callback is busy", "It answers 429 and 503.", (429, 503) * 6)
