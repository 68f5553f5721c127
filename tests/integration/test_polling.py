"""From a store's change to a callback: the whole way, over real sockets."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import pathlib
import shutil
import threading
import time
import typing as t

import pytest
import sqlalchemy as sa

from flask_woo_events.db.leases import LeaseRenewer, claim_instance
from flask_woo_events.db.models import Delivery, Instance, Poller
from flask_woo_events.simulation.callback_receiver import Received
from flask_woo_events.sync.instance_poll import InstancePoll
from flask_woo_events.worker import worker
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import KEY, VERSIONS, StoreToCallback, open_line


@pytest.fixture
def make_line(
    tmp_path: pathlib.Path, tables: pathlib.Path
) -> cabc.Iterator[cabc.Callable[..., StoreToCallback]]:
    with contextlib.ExitStack() as stack:

        def make(version: str, **how: t.Any) -> StoreToCallback:
            shutil.copy(tables, tmp_path / "host.sqlite3")
            return open_line(version, tmp_path, stack, **how)

        yield make


@pytest.fixture
def line(make_line: cabc.Callable[[str], StoreToCallback]) -> StoreToCallback:
    return make_line("11.0")


def _first(line: StoreToCallback, kind: str) -> int:
    return min(line.store.truth(kind))


@pytest.mark.parity(28)
@pytest.mark.parametrize("version", VERSIONS)
def test_ordinary_changes_arrive(
    make_line: cabc.Callable[[str], StoreToCallback], version: str
) -> None:
    """Trash, restore, silent and permanent changes arrive on every version, each once."""
    line = make_line(version)
    acts, order, product = line.store.acts, _first(line, "orders"), _first(line, "products")
    coupon, customer = _first(line, "coupons"), _first(line, "customers")
    acts.trash_post(order)
    assert ("orders", str(order), "DELETED") in line.arrivals()
    acts.untrash_order(order)
    assert ("orders", str(order), "CREATED") in line.arrivals()
    acts.price_meta(product, "1.23")
    assert line.arrivals() == {("products", str(product), "UPDATED")}
    acts.coupon_use(coupon)
    assert line.arrivals() == {("discounts", str(coupon), "UPDATED")}
    acts.trash_post(coupon)
    assert line.arrivals() == {("discounts", str(coupon), "DELETED")}
    showing = line.orders_of(product)
    acts.delete_for_good("products", product)
    assert line.arrivals() == {("products", str(product), "DELETED")} | showing
    acts.role(customer, "subscriber")
    assert line.arrivals() == {("customers", str(customer), "DELETED")}
    assert line.arrivals() == set()


@pytest.mark.parity(5, 46)
def test_notifications_are_signed(line: StoreToCallback) -> None:
    """A receiver can verify every notification."""
    line.store.acts.stock(_first(line, "products"), 3)
    line.arrivals()
    assert all(one.is_signed_with(KEY) for one in line.receiver.received)
    assert not any(one.is_signed_with("another") for one in line.receiver.received)


def test_a_late_commit_is_seen(line: StoreToCallback) -> None:
    """A row that appears with a date an hour back lies in the overlap."""
    order = _first(line, "orders")
    line.store.acts.late_commit("orders", order, 3600, customer_note="late")
    assert line.arrivals() == {("orders", str(order), "UPDATED")}


def test_two_changes_in_one_second(line: StoreToCallback) -> None:
    """A second change within the second of the first is a version of its own."""
    line.store.clock.freeze()
    product = _first(line, "products")
    line.store.acts.stock(product, 3)
    assert line.arrivals() == {("products", str(product), "UPDATED")}
    line.store.acts.stock(product, 4)
    assert line.arrivals() == {("products", str(product), "UPDATED")}


def test_the_site_moves_to_another_time_zone(line: StoreToCallback) -> None:
    """All local dates are other ones, of which nothing is told."""
    line.store.acts.timezone("Asia/Tokyo")
    assert line.arrivals() == set()
    product = _first(line, "products")
    line.store.acts.stock(product, 3)
    assert line.arrivals() == {("products", str(product), "UPDATED")}


def test_a_store_clock_put_back(line: StoreToCallback) -> None:
    """Changes after the clock went back a day carry old dates and are seen all the same."""
    line.store.clock.advance(-86400)
    order = _first(line, "orders")
    line.store.acts.status(order, "completed")
    assert ("orders", str(order), "UPDATED") in line.arrivals()


def _bare(line: StoreToCallback) -> int:
    """A product that no order names."""
    return line.store.acts.new_product("Bare")


@pytest.mark.parametrize(
    "kind", ["reset", "status", "html", "truncated", "lying_json", "empty200", "duplicate_ids"]
)
def test_a_failing_store_changes_nothing(line: StoreToCallback, kind: t.Any) -> None:
    """Whatever a store answers wrongly, nothing is told, and the next poll tells the change."""
    product = _bare(line)
    line.arrivals()
    line.store.acts.delete_for_good("products", product)
    line.store.faults.add(kind, match="/wc/v3/products", times=50)
    line.receiver.clear()
    assert any(report.error for report in line.poll())
    Worker(runtime_of(line.app)).deliver_once()
    assert line.receiver.events == []
    line.store.faults.clear()
    assert line.arrivals() == {("products", str(product), "DELETED")}


def test_another_resource_is_asked_for_first(line: StoreToCallback) -> None:
    """What the store has not is refused at once, and not found out by its polls."""
    wanted = {"event.poller.configuration": {"gone": {"url": "/wp-json/wc/v3/not-there"}}}
    path = f"/instances/{line.instance_id}"
    refused = line.api.call("PATCH", path, {"configuration": wanted})
    assert refused.status_code == 400, refused.json
    assert "wp-json/wc/v3/not-there" in refused.json["message"]


@pytest.mark.parametrize("version", VERSIONS)
def test_what_follows_a_full_last_page(
    tmp_path: pathlib.Path, tables: pathlib.Path, version: str
) -> None:
    """The newest objects are gone, and what is left fills its pages exactly."""
    shutil.copy(tables, tmp_path / "host.sqlite3")
    with contextlib.ExitStack() as stack:
        line = open_line(version, tmp_path, stack, counts=(2, 6, 2, 2), WOO_EVENTS_POLL_PAGE_SIZE=5)
        newest = max(row.id for row in line.store.shop.tables["products"])
        showing = line.orders_of(newest)
        line.store.acts.delete_for_good("products", newest)
        assert line.arrivals() == {("products", str(newest), "DELETED")} | showing


def test_an_empty_list_deletes_nothing(line: StoreToCallback) -> None:
    """A store that shows nothing of what it has is not believed."""
    line.store.faults.add("empty_list", match="/wc/v3/coupons", times=50)
    assert [report.resource for report in line.poll() if report.error] == ["discounts"]
    line.store.faults.clear()
    assert line.arrivals() == set()


@pytest.mark.parity(87)
def test_a_poller_is_disabled_after_failures(line: StoreToCallback) -> None:
    """After so many failures in a row a resource is left alone and says why."""
    runtime = runtime_of(line.app)
    runtime.settings = dataclasses.replace(runtime.settings, poll_failures_allowed=3)
    line.store.faults.add("status", match="/wc/v3/coupons", times=50, code=500)
    for _ in range(3):
        line.poll()
    with runtime.database.read() as session:
        row = session.scalars(sa.select(Poller).where(Poller.resource == "discounts")).one()
    assert row.state == "disabled"
    assert "3 failures" in str(row.error)
    assert "discounts" not in [report.resource for report in line.poll()]


def _stop_after(line: StoreToCallback, commits: int) -> None:
    """Poll, and end without a word after so many looks at the stop flag."""
    looks = iter(range(commits))
    runtime = runtime_of(line.app)
    with LeaseRenewer(runtime.database, runtime.clock, dt.timedelta(seconds=10)) as keeper:
        poll = InstancePoll(runtime, keeper, stopped=lambda: next(looks, None) is None)
        poll.run(line.instance_id)


def test_a_stop_between_commits_loses_nothing(line: StoreToCallback) -> None:
    """A poll that ends after any commit is made good by the next one, without a repetition."""
    acts = line.store.acts
    expected = {
        ("products", str(acts.stock(one, 1)), "UPDATED") for one in line.store.truth("products")
    }
    arrived: set[tuple[str, str, str]] = set()
    for commits in range(1, 12):
        _stop_after(line, commits)
        line.receiver.clear()
        Worker(runtime_of(line.app)).deliver_once()
        assert not arrived & set(line.receiver.events)
        arrived |= set(line.receiver.events)
    assert arrived | line.arrivals() == expected


@pytest.mark.parity(19)
@pytest.mark.parametrize("after", [1, 2])
def test_changes_during_a_poll_are_told_once(
    make_line: cabc.Callable[..., StoreToCallback], monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Whether ``filterByCurrentDate`` is set or not: by this poll or by the next."""
    block = {"url": "/hubs/ecommerce/products", "filterByCurrentDate": True}
    line = make_line("11.0", resources={"products": block})
    product, requests = _first(line, "products"), iter(range(1, 100))
    answer = line.store.routes.answer

    def answer_and_change(*request: t.Any) -> t.Any:
        answered = answer(*request)
        if next(requests) == after:
            line.store.acts.stock(product, 7)
        return answered

    monkeypatch.setattr(line.store.routes, "answer", answer_and_change)
    line.receiver.clear()
    line.poll()
    assert next(requests) > after, "the poll had ended before"
    line.poll()
    line.delivered()
    assert line.receiver.events == [("products", str(product), "UPDATED")]


def _asked(line: StoreToCallback, path: str) -> list[cabc.Mapping[str, str]]:
    """Poll, and tell what a collection was asked for."""
    line.store.requests.clear()
    line.poll()
    return [one.params for one in line.store.requests if one.path.endswith(path)]


@pytest.mark.parity(21)
@pytest.mark.parametrize(("size", "asked"), [(None, 100), (20, 20), (10_000, 100)])
def test_rows_of_a_page(
    make_line: cabc.Callable[..., StoreToCallback], size: int | None, asked: int
) -> None:
    """``pageSize`` rows, a hundred without it, and never more than WooCommerce allows."""
    block = {"url": "/hubs/ecommerce/orders", "pageSize": size}
    line = make_line("11.0", resources={"orders": block})
    sizes = {int(params["per_page"]) for params in _asked(line, "/orders") if "orderby" in params}
    assert max(sizes) == asked


@pytest.mark.parity(22)
@pytest.mark.parametrize(("delay", "hours"), [(0, 2), (3600, 2), (3 * 3600, 3)])
def test_poll_delay(make_line: cabc.Callable[..., StoreToCallback], delay: int, hours: int) -> None:
    """A window reaches back so far, and two hours in any case."""
    block = {"url": "/hubs/ecommerce/products", "pollDelay": delay}
    line = make_line("11.0", resources={"products": block})
    moved = line.store.clock.now()
    begins = {params["modified_after"] for params in _asked(line, "/products")
              if "modified_after" in params}  # fmt: skip
    back = moved - dt.datetime.fromisoformat(min(begins)).replace(tzinfo=dt.UTC)
    assert hours <= back / dt.timedelta(hours=1) < hours + 0.5


@pytest.mark.parity(31)
def test_resources_one_after_another(line: StoreToCallback) -> None:
    """A store is never asked for two resources at a time."""
    line.store.requests.clear()
    line.poll()
    paths = [one.path.rpartition("/")[2] for one in line.store.requests]
    polled = [one for one in paths if one in ("customers", "coupons", "orders", "products")]
    turns = [one for number, one in enumerate(polled) if polled[number - 1 : number] != [one]]
    assert len(turns) == 4, turns


def test_one_worker_polls_an_instance(line: StoreToCallback) -> None:
    """An instance that another worker holds is not polled."""
    runtime = runtime_of(line.app)
    with runtime.database.write() as session:
        hour = dt.timedelta(hours=1)
        assert claim_instance(session, line.instance_id, runtime.clock(), hour)
    (report,) = line.poll()
    assert report.requests == 0
    assert "another worker" in str(report.error)


def test_a_thread_that_is_free_polls_the_next_instance_at_once(
    make_line: cabc.Callable[..., StoreToCallback], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many instances share few threads; the worker does not wait for its next look."""
    monkeypatch.setattr(worker, "CHECK_EVERY", 60.0)
    line = make_line("11.0", WOO_EVENTS_POLL_THREADS=1)
    runtime = runtime_of(line.app)
    for number in range(5):
        line.api.create(
            name=f"shop {number}",
            **{
                "oauth.api.key": "ck_test",
                "oauth.api.secret": "cs_test",
                "event.notification.enabled": True,
                "event.notification.callback.url": "http://127.0.0.1:9/",
                "event.vendor.type": "polling",
            },
        )

    def due() -> int:
        with runtime.database.read() as session:
            return len(
                session.scalars(
                    sa.select(Instance.id).where(Instance.next_poll_at <= runtime.clock())
                ).all()
            )

    assert due() == 5
    running = Worker(runtime, deliver=False)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        end = time.monotonic() + 30
        while due() and time.monotonic() < end:
            time.sleep(0.02)
        assert due() == 0
    finally:
        running.stop()
        thread.join()


@pytest.mark.parity(58)
def test_a_failing_callback_is_tried_again(line: StoreToCallback) -> None:
    """A notification that was refused stays, with its id, and is due again."""
    answers: list[Received] = []

    def refuse(received: Received) -> int:
        answers.append(received)
        return 500

    line.receiver.answer = refuse
    line.store.acts.stock(_first(line, "products"), 9)
    line.poll()
    Worker(runtime_of(line.app)).deliver_once()
    with runtime_of(line.app).database.read() as session:
        (row,) = session.scalars(sa.select(Delivery)).all()
    assert (row.status, row.attempts, len(answers)) == ("retry", 1, 1)


def test_a_paused_instance_stays_paused(line: StoreToCallback) -> None:
    """A poll under way does not switch an instance on again."""
    runtime = runtime_of(line.app)
    with runtime.database.write() as session:
        session.execute(sa.update(Instance).values(next_poll_at=None))
    line.poll()
    with runtime.database.read() as session:
        assert session.scalars(sa.select(Instance.next_poll_at)).one() is None
