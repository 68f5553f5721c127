"""From a change in a store to a callback, over real sockets."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import pathlib
import shutil
import threading
import typing as t

import pytest
import sqlalchemy as sa

from flask_woo_events.db.leases import LeaseRenewer, claim_instance
from flask_woo_events.db.models import Delivery, Instance, Poller
from flask_woo_events.instances import access, lifecycle
from flask_woo_events.simulation.callback_receiver import Received
from flask_woo_events.sync.instance_poll import InstancePoll, due_instances
from flask_woo_events.sync.reading import presence
from flask_woo_events.worker import worker
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import KEY, VERSIONS, StoreToCallback, open_env
from tests.waiting import wait_until


@pytest.fixture
def make_env(
    tmp_path: pathlib.Path, tables: pathlib.Path
) -> cabc.Iterator[cabc.Callable[..., StoreToCallback]]:
    with contextlib.ExitStack() as stack:

        def make(version: str, **how: t.Any) -> StoreToCallback:
            shutil.copy(tables, tmp_path / "host.sqlite3")
            return open_env(version, tmp_path, stack, **how)

        yield make


@pytest.fixture
def env(make_env: cabc.Callable[[str], StoreToCallback]) -> StoreToCallback:
    return make_env("11.0")


def _first(env: StoreToCallback, kind: str) -> int:
    return min(env.store.truth(kind))


def test_a_missing_encryption_key_is_no_failure(env: StoreToCallback) -> None:
    """An instance whose secret cannot be decrypted is tried again, and is not leased meanwhile."""
    with env.without_key():
        errors = env.errors()
    assert set(errors) == {"customers", "discounts", "orders", "products"}
    assert all("WOO_EVENTS_ENCRYPTION_KEYS" in error for error in errors.values())
    assert (env.poller("orders").failures, env.poller("orders").retry_at) == (0, None)
    with runtime_of(env.app).database.read() as session:
        instance = session.get_one(Instance, env.instance_id)
        assert instance.lease_until is None and instance.next_poll_at is not None
        wait = instance.next_poll_at - runtime_of(env.app).clock()
        assert wait <= dt.timedelta(minutes=instance.refresh_minutes) / 3
    env.store.acts.status(order := _first(env, "orders"), "completed")
    assert ("orders", str(order), "UPDATED") in env.arrivals()
    assert env.poller("orders").error is None


@pytest.mark.parity(28)
@pytest.mark.parametrize("version", VERSIONS)
def test_ordinary_changes_arrive(
    make_env: cabc.Callable[[str], StoreToCallback], version: str
) -> None:
    """Trash, restore, silent and permanent changes arrive on every version, each once."""
    env = make_env(version)
    acts, order, product = env.store.acts, _first(env, "orders"), _first(env, "products")
    coupon, customer = _first(env, "coupons"), _first(env, "customers")
    acts.trash_post(order)
    assert ("orders", str(order), "DELETED") in env.arrivals()
    acts.untrash_order(order)
    assert ("orders", str(order), "CREATED") in env.arrivals()
    acts.price_meta(product, "1.23")
    assert env.arrivals() == {("products", str(product), "UPDATED")}
    acts.coupon_use(coupon)
    assert env.arrivals() == {("discounts", str(coupon), "UPDATED")}
    acts.trash_post(coupon)
    assert env.arrivals() == {("discounts", str(coupon), "DELETED")}
    showing = env.orders_of(product)
    acts.delete_for_good("products", product)
    assert env.arrivals() == {("products", str(product), "DELETED")} | showing
    acts.role(customer, "subscriber")
    assert env.arrivals() == {("customers", str(customer), "DELETED")}
    assert env.arrivals() == set()


@pytest.mark.parity(5, 46)
def test_notifications_are_signed(env: StoreToCallback) -> None:
    """A receiver can verify every notification."""
    env.store.acts.stock(_first(env, "products"), 3)
    env.arrivals()
    assert all(one.is_signed_with(KEY) for one in env.receiver.received)
    assert not any(one.is_signed_with("another") for one in env.receiver.received)


def test_a_late_commit_is_found(env: StoreToCallback) -> None:
    """A row that appears with a date an hour ago is found in the overlap."""
    order = _first(env, "orders")
    env.store.acts.late_commit("orders", order, 3600, customer_note="late")
    assert env.arrivals() == {("orders", str(order), "UPDATED")}


def test_two_changes_in_one_second(env: StoreToCallback) -> None:
    """A second change within the same second is another version."""
    env.store.clock.freeze()
    product = _first(env, "products")
    env.store.acts.stock(product, 3)
    assert env.arrivals() == {("products", str(product), "UPDATED")}
    env.store.acts.stock(product, 4)
    assert env.arrivals() == {("products", str(product), "UPDATED")}


def test_the_site_moves_to_another_time_zone(env: StoreToCallback) -> None:
    """A new time zone changes all local dates and emits no event."""
    env.store.acts.timezone("Asia/Tokyo")
    assert env.arrivals() == set()
    product = _first(env, "products")
    env.store.acts.stock(product, 3)
    assert env.arrivals() == {("products", str(product), "UPDATED")}


def test_a_store_clock_that_is_set_back(env: StoreToCallback) -> None:
    """Changes after the clock was set back a day have old dates and are still found."""
    env.store.clock.advance(-86400)
    order = _first(env, "orders")
    env.store.acts.status(order, "completed")
    assert ("orders", str(order), "UPDATED") in env.arrivals()


def _compare_from(env: StoreToCallback, resource: str, offset: int) -> None:
    """Poll until the rolling comparison reaches this offset."""
    while env.poller(resource).compare_offset != offset:
        assert env.arrivals() == set()


def test_an_import_balanced_by_a_deletion(
    make_env: cabc.Callable[..., StoreToCallback],
) -> None:
    """The next poll finds both: the number is equal, but the comparison's page has moved."""
    env = make_env("11.0", counts=(0, 60, 0, 0), WOO_EVENTS_POLL_PAGE_SIZE=10)
    _compare_from(env, "products", 30)
    table = env.store.shop.tables["products"]
    gone = list(table)[12].id
    env.store.acts.delete_for_good("products", gone)
    row = table.get(new := env.store.acts.new_product("Imported"))
    assert row is not None
    row.created = row.modified = env.store.shop.now() - 200 * 86400
    table.changed(row)
    assert env.arrivals() == {("products", str(gone), "DELETED"), ("products", str(new), "CREATED")}
    assert env.arrivals() == set()


@pytest.mark.parametrize("resource", ["customers", "products-reviews"])
def test_one_object_returns_while_another_leaves(
    make_env: cabc.Callable[..., StoreToCallback], monkeypatch: pytest.MonkeyPatch, resource: str
) -> None:
    """Two neighbours change places in the list; their number is checked before their page."""
    monkeypatch.setattr(presence, "SHORT", 1)
    monkeypatch.setattr(presence, "AT_ONCE", 30)
    resources = {resource: {"url": f"/hubs/ecommerce/{resource}"}}
    env = make_env("9.4", counts=(0, 1, 0, 80), WOO_EVENTS_POLL_PAGE_SIZE=10, resources=resources)
    product = env.first("products")
    kind, inside, outside = "customers", "customer", "subscriber"
    switch: cabc.Callable[[int, str], int] = env.store.acts.role
    if resource == "products-reviews":
        kind, inside, outside = "reviews", "approved", "hold"
        env.store.clock.advance(-86400 * 30)
        for _ in range(80):
            env.store.acts.review(product)
        env.store.clock.advance(86400 * 30)
        switch = _moderate(env)
        env.arrivals()
    ids = [row.id for row in env.store.shop.tables[kind]]
    switch(ids[40], outside)
    assert len(env.arrivals()) == 1
    _compare_from(env, resource, 50)
    env.store.requests.clear()
    assert env.arrivals() == set()
    assert len(env.store.requests) == 3
    switch(ids[40], inside)
    switch(ids[45], outside)
    expected = {(resource, str(ids[40]), "CREATED"), (resource, str(ids[45]), "DELETED")}
    found = [env.arrivals() for _ in range(4)]
    assert set().union(*found) == expected
    assert env.arrivals() == set()


def _moderate(env: StoreToCallback) -> cabc.Callable[[int, str], int]:
    def moderate(number: int, status: str) -> int:
        table = env.store.shop.tables["reviews"]
        row = table.get(number)
        assert row is not None
        row.status = status
        table.changed(row)
        return number

    return moderate


def _bare(env: StoreToCallback) -> int:
    """Add a product that no order names."""
    return env.store.acts.new_product("Bare")


@pytest.mark.parametrize(
    "kind", ["reset", "status", "html", "truncated", "lying_json", "empty200", "duplicate_ids"]
)
def test_a_failing_store_changes_nothing(env: StoreToCallback, kind: t.Any) -> None:
    """A wrong response emits no event, and the next poll finds the change."""
    product = _bare(env)
    env.arrivals()
    env.store.acts.delete_for_good("products", product)
    env.store.faults.add(kind, match="/wc/v3/products", times=50)
    env.receiver.clear()
    assert any(report.error for report in env.poll())
    Worker(runtime_of(env.app)).deliver_once()
    assert env.receiver.events == []
    env.store.faults.clear()
    assert env.arrivals() == {("products", str(product), "DELETED")}


def test_an_unknown_resource_is_rejected(env: StoreToCallback) -> None:
    """A resource that the store lacks is rejected with the request, before any poll."""
    blocks = {"event.poller.configuration": {"gone": {"url": "/wp-json/wc/v3/not-there"}}}
    path = f"/instances/{env.instance_id}"
    refused = env.api.call("PATCH", path, {"configuration": blocks})
    assert refused.status_code == 400, refused.json
    assert "wp-json/wc/v3/not-there" in refused.json["message"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_deletion_after_a_full_last_page(
    tmp_path: pathlib.Path, tables: pathlib.Path, version: str
) -> None:
    """The newest object is deleted, and the others fill their pages exactly."""
    shutil.copy(tables, tmp_path / "host.sqlite3")
    with contextlib.ExitStack() as stack:
        env = open_env(version, tmp_path, stack, counts=(2, 6, 2, 2), WOO_EVENTS_POLL_PAGE_SIZE=5)
        newest = max(row.id for row in env.store.shop.tables["products"])
        showing = env.orders_of(newest)
        env.store.acts.delete_for_good("products", newest)
        assert env.arrivals() == {("products", str(newest), "DELETED")} | showing


def test_an_empty_list_deletes_nothing(env: StoreToCallback) -> None:
    """An empty list from a store with known objects is an error, not a deletion."""
    env.store.faults.add("empty_list", match="/wc/v3/coupons", times=50)
    assert [report.resource for report in env.poll() if report.error] == ["discounts"]
    env.store.faults.clear()
    assert env.arrivals() == set()


@pytest.mark.parity(87)
def test_a_poller_is_disabled_after_failures(env: StoreToCallback) -> None:
    """After repeated failures a resource is disabled, with the reason."""
    runtime = runtime_of(env.app)
    runtime.settings = dataclasses.replace(runtime.settings, poll_failures_allowed=3)
    env.store.faults.add("status", match="/wc/v3/coupons", times=50, code=500)
    for _ in range(3):
        env.poll()
    with runtime.database.read() as session:
        row = session.scalars(sa.select(Poller).where(Poller.resource == "discounts")).one()
    assert row.state == "disabled"
    assert "3 failures" in str(row.error)
    assert "discounts" not in [report.resource for report in env.poll()]


def _stop_after(env: StoreToCallback, commits: int) -> None:
    """Poll, and stop after this many checks of the stop flag."""
    checks = iter(range(commits))
    runtime = runtime_of(env.app)
    with LeaseRenewer(runtime.database, runtime.clock, dt.timedelta(seconds=10)) as renewer:
        poll = InstancePoll(runtime, renewer, stopped=lambda: next(checks, None) is None)
        poll.run(env.instance_id)


def test_a_stop_between_commits_loses_nothing(env: StoreToCallback) -> None:
    """The next poll continues a poll that stopped after any commit, and repeats no event."""
    acts = env.store.acts
    expected = {
        ("products", str(acts.stock(one, 1)), "UPDATED") for one in env.store.truth("products")
    }
    arrived: set[tuple[str, str, str]] = set()
    for commits in range(1, 12):
        _stop_after(env, commits)
        env.receiver.clear()
        Worker(runtime_of(env.app)).deliver_once()
        assert not arrived & set(env.receiver.events)
        arrived |= set(env.receiver.events)
    assert arrived | env.arrivals() == expected


@pytest.mark.parity(19)
@pytest.mark.parametrize("after", [1, 2])
def test_changes_during_a_poll_are_emitted_once(
    make_env: cabc.Callable[..., StoreToCallback], monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """This poll or the next one finds the change, whatever ``filterByCurrentDate`` is."""
    block = {"url": "/hubs/ecommerce/products", "filterByCurrentDate": True}
    env = make_env("11.0", resources={"products": block})
    product, requests = _first(env, "products"), iter(range(1, 100))
    answer = env.store.routes.answer

    def answer_and_change(*request: t.Any) -> t.Any:
        answered = answer(*request)
        if next(requests) == after:
            env.store.acts.stock(product, 7)
        return answered

    monkeypatch.setattr(env.store.routes, "answer", answer_and_change)
    env.receiver.clear()
    env.poll()
    assert next(requests) > after, "the poll ended earlier"
    env.poll()
    env.delivered()
    assert env.receiver.events == [("products", str(product), "UPDATED")]


def _asked(env: StoreToCallback, path: str) -> list[cabc.Mapping[str, str]]:
    """Poll, and return the parameters of each request for a collection."""
    env.store.requests.clear()
    env.poll()
    return [one.params for one in env.store.requests if one.path.endswith(path)]


@pytest.mark.parity(21)
@pytest.mark.parametrize(("size", "asked"), [(None, 100), (20, 20), (10_000, 100)])
def test_rows_per_page(
    make_env: cabc.Callable[..., StoreToCallback], size: int | None, asked: int
) -> None:
    """A page has ``pageSize`` rows, 100 by default, and at most what WooCommerce allows."""
    block = {"url": "/hubs/ecommerce/orders", "pageSize": size}
    env = make_env("11.0", resources={"orders": block})
    sizes = {int(params["per_page"]) for params in _asked(env, "/orders") if "orderby" in params}
    assert max(sizes) == asked


@pytest.mark.parity(22)
@pytest.mark.parametrize(("delay", "hours"), [(0, 2), (3600, 2), (3 * 3600, 3)])
def test_poll_delay(make_env: cabc.Callable[..., StoreToCallback], delay: int, hours: int) -> None:
    """A window reaches back by the poll delay, and at least two hours."""
    block = {"url": "/hubs/ecommerce/products", "pollDelay": delay}
    env = make_env("11.0", resources={"products": block})
    moved = env.store.clock.now()
    begins = {params["modified_after"] for params in _asked(env, "/products")
              if "modified_after" in params}  # fmt: skip
    back = moved - dt.datetime.fromisoformat(min(begins)).replace(tzinfo=dt.UTC)
    assert hours <= back / dt.timedelta(hours=1) < hours + 0.5


@pytest.mark.parity(31)
def test_resources_one_after_another(env: StoreToCallback) -> None:
    """The resources of a store are never read at the same time."""
    env.store.requests.clear()
    env.poll()
    paths = [one.path.rpartition("/")[2] for one in env.store.requests]
    polled = [one for one in paths if one in ("customers", "coupons", "orders", "products")]
    runs = [one for number, one in enumerate(polled) if polled[number - 1 : number] != [one]]
    assert len(runs) == 4, runs


def test_one_worker_polls_an_instance(env: StoreToCallback) -> None:
    """An instance that another worker holds is not polled."""
    runtime = runtime_of(env.app)
    with runtime.database.write() as session:
        hour = dt.timedelta(hours=1)
        assert claim_instance(session, env.instance_id, runtime.clock, hour)
    (report,) = env.poll()
    assert report.requests == 0
    assert "another worker" in str(report.error)


def test_a_free_thread_polls_the_next_instance_immediately(
    make_env: cabc.Callable[..., StoreToCallback], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many instances share few threads; the worker does not wait for its next check."""
    monkeypatch.setattr(worker, "CHECK_EVERY", 60.0)
    env = make_env("11.0", WOO_EVENTS_POLL_THREADS=1)
    runtime = runtime_of(env.app)
    for number in range(5):
        env.api.create(
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
        wait_until(lambda: due() == 0)
    finally:
        running.stop()
        thread.join()


@pytest.mark.parity(58)
def test_a_failing_callback_is_tried_again(env: StoreToCallback) -> None:
    """A delivery that failed is scheduled again."""
    answers: list[Received] = []

    def refuse(received: Received) -> int:
        answers.append(received)
        return 500

    env.receiver.answer = refuse
    env.store.acts.stock(_first(env, "products"), 9)
    env.poll()
    Worker(runtime_of(env.app)).deliver_once()
    with runtime_of(env.app).database.read() as session:
        (row,) = session.scalars(sa.select(Delivery)).all()
    assert (row.status, row.attempts, len(answers)) == ("retry", 1, 1)


def test_a_paused_instance_stays_paused(env: StoreToCallback) -> None:
    """A running poll does not resume an instance that was paused."""
    runtime = runtime_of(env.app)
    with runtime.database.write() as session:
        session.execute(sa.update(Instance).values(next_poll_at=None))
    env.poll()
    with runtime.database.read() as session:
        assert session.scalars(sa.select(Instance.next_poll_at)).one() is None


def test_an_instance_that_is_paused_before_its_claim(env: StoreToCallback) -> None:
    """A worker that found an instance due before the pause sends no request to its store."""
    runtime, number = runtime_of(env.app), env.instance_id
    with runtime.database.write() as session:
        session.execute(sa.update(Instance).values(next_poll_at=runtime.clock()))
    assert due_instances(runtime) == [number]
    with runtime.database.write() as session:
        caller = access.owner(session, number)
        lifecycle.set_enabled(session, caller, number, False, runtime.clock())
    env.store.requests.clear()
    (report,) = env.poll()
    assert report.error == "this instance is paused, or its events are off"
    assert not env.store.requests


def test_page_of_a_baseline_that_was_not_recorded(
    make_env: cabc.Callable[..., StoreToCallback],
) -> None:
    """A page that the database refused once is read again, and its objects are not new."""
    orders, products = ({"url": f"/hubs/ecommerce/{one}"} for one in ("orders", "products"))
    env = make_env("11.0", resources={"orders": orders}, WOO_EVENTS_POLL_PAGE_SIZE=2)
    body = {"configuration": {"event.poller.configuration": {"orders": orders, "all": products}}}
    assert env.api.call("PATCH", f"/instances/{env.instance_id}", body).status_code == 200
    database = runtime_of(env.app).database
    with database.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON woo_object "
            "BEGIN SELECT RAISE(ABORT, 'permission denied'); END"
        )
    assert "permission denied" in env.errors()["all"]
    with database.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER refuse")
    assert env.arrivals() == set()
    first = _first(env, "products")
    env.store.acts.delete_for_good("products", first)
    assert ("all", str(first), "DELETED") in env.arrivals()
