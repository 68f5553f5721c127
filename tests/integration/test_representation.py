"""Objects that are shown or digested in another way than the ledger holds them: no change."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import pathlib
import shutil
import typing as t

import pytest
import sqlalchemy as sa

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Instance, Object, StoredEvent
from flask_woo_events.db.states import Source
from flask_woo_events.sync.ledger import digest, lookup, screening
from flask_woo_events.sync.ledger.digest import DigestFunction
from flask_woo_events.sync.ledger.observation import Observation, ObservationBatch
from flask_woo_events.sync.ledger.representation import StoreState
from flask_woo_events.sync.report import PollReport
from flask_woo_events.worker.worker import Worker
from tests.examples import examples
from tests.integration.frozen import FrozenDatabase
from tests.integration.frozen_installation import FrozenInstallation, open_installation
from tests.integration.host_app import runtime_of
from tests.integration.ledger_env import NOW, LedgerEnv, at, build
from tests.integration.store_to_callback import StoreToCallback, open_env
from tests.integration.two_sessions import during_request

OLD, NEW = StoreState("9.4.2", "America/New_York"), StoreState("9.5.0", "Asia/Tokyo")
Body = dict[str, t.Any]


class LaterFunction(DigestFunction):
    """A function of a later release: every digest differs, and stock no longer counts."""

    volatile = digest.VOLATILE | {"stock_quantity"}

    def kept(self, body: cabc.Mapping[str, t.Any]) -> Body:
        return {name: [value] for name, value in super().kept(body).items()}


@pytest.fixture
def ledger_env(any_database: Database) -> LedgerEnv:
    return _in_state(build(any_database), OLD)


@pytest.fixture
def installation(any_url: str, tmp_path: pathlib.Path) -> cabc.Iterator[FrozenInstallation]:
    """Upgrade an installation of an earlier release, and process what it had received."""
    with open_installation(any_url, tmp_path, "0001") as installed:
        installed.woo("db", "upgrade")
        installed.process_webhooks()
        yield installed


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> cabc.Callable[[], None]:
    """Return a function that makes this the release with the later digest function."""

    def install() -> None:
        monkeypatch.setitem(digest.FUNCTIONS, 3, LaterFunction())
        monkeypatch.setattr(digest, "CURRENT", 3)

    return install


def _in_state(env: LedgerEnv, store: StoreState) -> LedgerEnv:
    return LedgerEnv(env.database, dataclasses.replace(env.stream, store=store))


def _events(env: LedgerEnv) -> list[tuple[str, str, list[str] | None]]:
    with env.database.read() as session:
        query = sa.select(
            StoredEvent.object_id, StoredEvent.event_type, StoredEvent.changed_fields
        ).order_by(StoredEvent.id)
        return [(object_id, kind, fields) for object_id, kind, fields in session.execute(query)]


def _row(env: LedgerEnv, object_id: str = "1") -> Object:
    with env.database.read() as session:
        return session.get_one(Object, (env.stream.poller_id, object_id))


def _poll(installation: FrozenInstallation) -> int:
    """Poll all instances that are not paused; return the number of requests."""
    numbers = [number for name, number in installation.frozen.instances.items() if name != "paused"]
    reports = Worker(installation.runtime).poll_once(numbers)
    assert [one.error for one in reports if one.error] == []
    return sum(one.requests for one in reports)


def _digest_versions(installation: FrozenInstallation) -> set[int]:
    return {row["digest_version"] for row in installation.query("SELECT * FROM woo_object")}


# Our own digest function


def test_rows_of_another_function(
    installation: FrozenInstallation, later: cabc.Callable[[], None]
) -> None:
    """A new function sends nothing for unchanged objects, and makes no request more."""
    _poll(installation)
    installation.wait(dt.timedelta(minutes=20))
    requests, known = _poll(installation), installation.new_events()
    later()
    installation.wait(dt.timedelta(minutes=20))
    assert _poll(installation) == requests
    assert installation.new_events() == known
    # Paused instances and deleted objects are not met.
    assert _digest_versions(installation) == {1, 2, 3}


def test_change_of_a_row_of_another_function(
    installation: FrozenInstallation, later: cabc.Callable[[], None]
) -> None:
    """A change that a new function meets is sent once, with the fields that changed."""
    _poll(installation)
    later()
    installation.wait(dt.timedelta(minutes=20))
    known = installation.new_events()
    installation.stores["one"].change("orders", 24, status="on-hold")
    for _ in range(2):
        _poll(installation)
        installation.wait(dt.timedelta(minutes=20))
    changes = [(name, "orders", "24", "UPDATED") for name in ("halfway", "polled", "queued")]
    assert installation.new_events() == sorted([*known, *changes])
    rows = installation.query(
        "SELECT changed_fields FROM woo_event WHERE resource = 'orders' AND object_id = '24' "
        "ORDER BY id DESC LIMIT 3"
    )
    assert {str(row["changed_fields"]).replace("'", '"') for row in rows} == {
        '["date_modified_gmt", "status"]'
    }


def test_field_that_no_longer_counts(ledger_env: LedgerEnv, later: cabc.Callable[[], None]) -> None:
    """A change of a field that the new function leaves out is taken over without an event."""
    ledger_env.see({"id": 1, "name": "Mug", "stock_quantity": 5}, {"id": 2, "stock_quantity": 5})
    later()
    ledger_env.see({"id": 1, "name": "Mug", "stock_quantity": 4}, {"id": 2}, seconds=60)
    assert len(_events(ledger_env)) == 2
    assert _row(ledger_env).digest_version == 3
    ledger_env.see({"id": 1, "name": "Cup", "stock_quantity": 3}, seconds=120)
    assert _events(ledger_env)[2:] == [("1", "UPDATED", ["name"])]


def test_rows_are_rewritten_when_they_are_met(
    ledger_env: LedgerEnv, later: cabc.Callable[[], None]
) -> None:
    """Only a row that is read again gets the new function's digest, and keeps its version."""
    ledger_env.see({"id": 1, "name": "Mug"}, {"id": 2, "name": "Cup"})
    before = _row(ledger_env)
    later()
    ledger_env.see({"id": 1, "name": "Mug"}, seconds=60)
    after = _row(ledger_env)
    assert (after.digest_version, _row(ledger_env, "2").digest_version) == (3, 2)
    assert after.digest == digest.digest_of({"id": 1, "name": "Mug"}) != before.digest
    kept = (before.version, before.revision, before.notification_id)
    assert (after.version, after.revision, after.notification_id) == kept
    ledger_env.see({"id": 1, "name": "Jar"}, {"id": 2, "name": "Jar"}, seconds=120)
    assert _events(ledger_env)[2:] == [("1", "UPDATED", ["name"]), ("2", "UPDATED", ["name"])]


def test_row_of_a_newer_release(ledger_env: LedgerEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that does not know a row's function leaves the row, and still sees changes."""
    with monkeypatch.context() as newer:
        newer.setitem(digest.FUNCTIONS, 3, DigestFunction())
        newer.setattr(digest, "CURRENT", 3)
        ledger_env.see({"id": 1, "name": "Mug"}, {"id": 2, "name": "Cup"})
    ledger_env.see({"id": 1, "name": "Mug"}, {"id": 2, "name": "Jar"}, seconds=60)
    assert _events(ledger_env)[2:] == [("2", "UPDATED", ["name"])]
    assert [_row(ledger_env, number).digest_version for number in ("1", "2")] == [3, 2]


@pytest.mark.parametrize("any_url", ["sqlite"], indirect=True)
def test_upgrade_of_a_large_ledger(any_database: Database, later: cabc.Callable[[], None]) -> None:
    """Of many unchanged objects of the dump none is sent, and of the changed ones each once."""
    env = build(any_database, callback=None)
    stores = FrozenDatabase.read("0001").stores().values()
    samples = [body for store in stores for body in store.objects()]
    count = examples(2_000)
    changed = {number for number in range(count) if number % 997 == 1}

    def read(*, later: bool) -> None:
        for start in range(0, count, 100):
            numbers = range(start, min(start + 100, count))
            bodies = [{**samples[number % len(samples)], "id": number} for number in numbers]
            for body in bodies if later else ():
                body |= {"date_created_gmt": "2026-03-02"} if body["id"] in changed else {}
            env.see(*bodies, since=at(1), seconds=60 if later else 0)

    read(later=False)
    later()
    for _ in range(2):
        read(later=True)
    assert sorted(_events(env)) == sorted(
        (str(number), "UPDATED", ["date_created_gmt"]) for number in changed
    )
    with any_database.read() as session:
        assert set(session.scalars(sa.select(Object.digest_version).distinct())) == {3}


# Workers of the release before these columns


def _as_an_older_worker(env: LedgerEnv, body: Body) -> None:
    """Write a body as a worker does that does not know what describes the content."""
    content = digest.FUNCTIONS[digest.FIRST].content(body)
    table = sa.table("woo_object", *(sa.column(name) for name in (
        "poller_id", "object_id", "number", "live", "digest", "fields", "seen_at", "version",
        "stamp",
    )))  # fmt: skip
    with env.database.write() as session:
        revision = lookup.revision(session, env.stream.poller_id) + 1
        session.execute(
            sa.text("UPDATE woo_poller SET stamp = :stamp WHERE id = :id"),
            {"stamp": revision, "id": env.stream.poller_id},
        )
        values = {"digest": content.digest, "fields": content.fields, "stamp": revision}
        mine = table.c.poller_id == env.stream.poller_id, table.c.object_id == str(body["id"])
        found = session.execute(sa.update(table).where(*mine).values(values))
        if not t.cast("sa.CursorResult[t.Any]", found).rowcount:
            values |= {"poller_id": env.stream.poller_id, "object_id": str(body["id"])}
            values |= {"live": True, "version": 1, "number": body["id"]}
            session.execute(sa.insert(table).values(seen_at=NOW.replace(tzinfo=None), **values))


@pytest.mark.parametrize("known", [True, False], ids=["updated", "inserted"])
def test_row_of_an_older_worker(
    ledger_env: LedgerEnv, later: cabc.Callable[[], None], known: bool
) -> None:
    """A row that an older worker writes meanwhile is read by the first function."""
    later()
    if known:
        ledger_env.see({"id": 1, "name": "Mug"})
    sent = len(_events(ledger_env))
    _as_an_older_worker(ledger_env, {"id": 1, "name": "Cup"})
    ledger_env.see({"id": 1, "name": "Cup"}, seconds=60)
    assert len(_events(ledger_env)) == sent
    row = _row(ledger_env)
    assert (row.digest_version, row.store_version) == (3, OLD.version)
    assert row.described_revision == row.revision
    ledger_env.see({"id": 1, "name": "Jar"}, seconds=120)
    assert _events(ledger_env)[sent:] == [("1", "UPDATED", ["name"])]


def test_version_of_an_older_workers_row_is_unknown(ledger_env: LedgerEnv) -> None:
    """A row that an older worker updates does not keep the store's version from before."""
    ledger_env.see({"id": 1, "name": "Mug"})
    _as_an_older_worker(ledger_env, {"id": 1, "name": "Cup"})
    _in_state(ledger_env, NEW).see({"id": 1, "name": "Cup", "brands": []}, seconds=60)
    assert _events(ledger_env)[1:] == [("1", "UPDATED", ["brands"])]


# The store's version


@pytest.mark.parametrize("days", [0, 6, 8, 400])
def test_fields_of_another_version(ledger_env: LedgerEnv, days: int) -> None:
    """A row that was read in another version explains other fields, however late it is met."""
    ledger_env.see({"id": 1, "name": "Mug", "parts": []})
    upgraded = _in_state(ledger_env, dataclasses.replace(NEW, upgraded_at=at(60)))
    upgraded.see({"id": 1, "name": "Mug", "brands": []}, seconds=120 + days * 86400)
    assert len(_events(ledger_env)) == 1
    upgraded.see({"id": 1, "name": "Mug"}, seconds=180 + days * 86400)
    assert len(_events(ledger_env)) == 2


@pytest.mark.parametrize(("days", "sent"), [(6, 0), (8, 1)])
def test_fields_of_a_row_without_a_version(ledger_env: LedgerEnv, days: int, sent: int) -> None:
    """A row of an older worker explains other fields for seven days after an upgrade."""
    _as_an_older_worker(ledger_env, {"id": 1, "name": "Mug"})
    upgraded = _in_state(ledger_env, dataclasses.replace(NEW, upgraded_at=at(60)))
    upgraded.see({"id": 1, "name": "Mug", "brands": []}, seconds=60 + days * 86400)
    assert len(_events(ledger_env)) == sent


@pytest.mark.parametrize(
    "store", [NEW, StoreState(NEW.version, OLD.zone), StoreState(OLD.version, NEW.zone)]
)
def test_state_is_kept_of_an_equal_object(ledger_env: LedgerEnv, store: StoreState) -> None:
    """An object that was read unchanged in the new state does not explain later fields."""
    ledger_env.see({"id": 1, "name": "Mug"})
    upgraded = _in_state(ledger_env, store)
    upgraded.see({"id": 1, "name": "Mug"}, seconds=60)
    row = _row(ledger_env)
    assert (row.store_version, row.store_zone) == (store.version, store.zone)
    upgraded.see({"id": 1, "name": "Mug", "brands": []}, seconds=120)
    assert _events(ledger_env)[1:] == [("1", "UPDATED", ["brands"])]


def test_known_state_is_kept_while_it_cannot_be_read(
    ledger_env: LedgerEnv, later: cabc.Callable[[], None]
) -> None:
    """A row that is rewritten while the store's state is unknown keeps what it holds of it."""
    ledger_env.see({"id": 1, "name": "Mug"})
    later()
    _in_state(ledger_env, StoreState()).see({"id": 1, "name": "Mug"}, seconds=60)
    row = _row(ledger_env)
    assert (row.digest_version, row.store_version, row.store_zone) == (3, OLD.version, OLD.zone)


def test_unknown_version_changes_no_row(ledger_env: LedgerEnv) -> None:
    """A store whose version cannot be read explains nothing, and keeps what is known."""
    ledger_env.see({"id": 1, "name": "Mug"}, {"id": 2, "name": "Mug"})
    unknown = _in_state(ledger_env, StoreState())
    observed = ObservationBatch(
        source=Source.POLL,
        observations=[Observation(object_id="1", body={"id": 1, "name": "Mug"}, seen_at=at(60))],
        read_revision=1,
        poll_date=at(60),
    )
    with ledger_env.database.read() as session:
        for store, held in ((StoreState(), True), (OLD, True), (NEW, False)):
            screened = screening.screen(session, ledger_env.stream, observed, store)
            assert (screened.unrecorded is None) is held
    unknown.see({"id": 2, "name": "Mug", "brands": []}, seconds=60)
    assert _events(ledger_env)[2:] == [("2", "UPDATED", ["brands"])]


# The site's time zone

DRAFT = {
    "id": 1,
    "date_created": "2026-07-01T09:00:00",
    "date_created_gmt": None,
    "images": [
        {"date_created": "2026-01-15T20:00:00", "date_created_gmt": "2026-01-16T01:00:00"},
        {"date_created": "2026-07-15T20:00:00", "date_created_gmt": "2026-07-16T00:00:00"},
    ],
    "meta_data": [{"key": "printed", "value": "2026-07-01 09:00:00"}],
}
MOVED = {
    "date_created": "2026-07-01T22:00:00",
    "images": [
        {"date_created": "2026-01-16T10:00:00", "date_created_gmt": "2026-01-16T01:00:00"},
        {"date_created": "2026-07-16T09:00:00", "date_created_gmt": "2026-07-16T00:00:00"},
    ],
}


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        (MOVED, []),
        ({}, []),
        (MOVED | {"date_created": "2026-07-01T22:00:01"}, ["date_created", "images"]),
        (MOVED | {"date_created": "2026-07-02T22:00:00"}, ["date_created", "images"]),
        (MOVED | {"name": "Mug"}, ["date_created", "images", "name"]),
        ({"date_created_gmt": "2026-07-01T13:00:00"} | MOVED, ["date_created_gmt", "images"]),
    ],
)
def test_local_dates_of_another_zone(ledger_env: LedgerEnv, changes: Body, sent: list[str]) -> None:
    """Local dates that moved with the site's zone are no change; by another amount they are."""
    ledger_env.see(DRAFT)
    moved = _in_state(ledger_env, dataclasses.replace(OLD, zone="Asia/Tokyo"))
    moved.see(DRAFT | changes, seconds=60)
    assert [fields for _, _, fields in _events(ledger_env)[1:]] == ([sent] if sent else [])


def test_local_dates_that_change_in_one_zone(ledger_env: LedgerEnv) -> None:
    """A local date that is edited while the site stays in its zone is a change."""
    ledger_env.see(DRAFT)
    ledger_env.see(DRAFT | MOVED, seconds=60)
    assert len(_events(ledger_env)) == 2


def test_new_version_and_new_zone(ledger_env: LedgerEnv) -> None:
    """Both may change between two reads of an object."""
    ledger_env.see(DRAFT)
    _in_state(ledger_env, NEW).see(DRAFT | MOVED | {"brands": []}, seconds=60)
    assert len(_events(ledger_env)) == 1
    assert _row(ledger_env).version == 1


@pytest.mark.parametrize(
    ("shown", "before"),
    [
        ("2026-10-25T02:30:00", "2026-10-24T20:30:00"),
        ("2026-10-25T02:30:00", "2026-10-24T21:30:00"),
    ],
)
def test_local_date_in_the_repeated_hour(ledger_env: LedgerEnv, shown: str, before: str) -> None:
    """A local date in the hour that daylight saving time repeats has two meanings."""
    ledger_env.see({"id": 1, "date_created": before})
    berlin = _in_state(ledger_env, dataclasses.replace(OLD, zone="Europe/Berlin"))
    berlin.see({"id": 1, "date_created": shown}, seconds=60)
    assert len(_events(ledger_env)) == 1


def test_local_date_that_is_none(ledger_env: LedgerEnv) -> None:
    """What looks like a date and is none never moves, and can change."""
    ledger_env.see({"id": 1, "date_created": "0000-00-00T00:00:00"})
    moved = _in_state(ledger_env, NEW)
    moved.see({"id": 1, "date_created": "2026-99-99T00:00:00"}, seconds=60)
    assert len(_events(ledger_env)) == 2


def _show_drafts(env: StoreToCallback, *, dated: bool = True) -> None:
    """Show products as drafts: with a local date alone, and an image with both dates.

    :param dated: whether the modified date is shown twice, local and in UTC.
    """
    looks, shop = env.store.routes.products.representation, env.store.shop
    render = type(looks).render

    def shown(row: t.Any, related: t.Any) -> Body:
        image = {"date_created": shop.local(row.created), "date_created_gmt": shop.gmt(row.created)}
        body = render(looks, row, related) | {"date_created_gmt": None, "images": [image]}
        return body if dated else {name: body[name] for name in body if name != "date_modified"}

    looks.render = shown  # type: ignore[method-assign]
    shop.tables["products"].all_changed()


@pytest.mark.parametrize("dated", [True, False])
def test_drafts_of_a_site_that_moves(
    tmp_path: pathlib.Path, tables: pathlib.Path, dated: bool
) -> None:
    """A new zone causes one request and no event, back again as well; later dates count."""
    shutil.copy(tables, tmp_path / "host.sqlite3")
    with contextlib.ExitStack() as stack:
        resources = {"products": {"url": "/hubs/ecommerce/products", "idField": "id"}}
        env = open_env("9.4", tmp_path, stack, resources=resources)
        _show_drafts(env, dated=dated)
        env.arrivals()
        env.store.clock.advance(60)
        before = sum(report.requests for report in env.poll())
        for zone in ("Asia/Tokyo", "America/New_York", "Etc/GMT+3"):
            env.store.clock.advance(60)
            env.store.acts.timezone(zone)
            env.receiver.clear()
            # Four more prove the store, since drafts have no date in UTC: the drafts are read again
            # between two proofs by its users.
            assert sum(report.requests for report in env.poll()) == before + 1 + 4
            assert env.delivered() == set()
            store = env.api.call("GET", f"/instances/{env.instance_id}").json["store"]
            assert store["timezone"] == zone
            assert sum(report.requests for report in env.poll()) == before
        product = env.first("products")
        env.store.acts.stock(product, 3)
        assert env.arrivals() == {("products", str(product), "UPDATED")}


def test_zone_that_objects_with_both_dates_show(env: StoreToCallback) -> None:
    """The new zone is known before a draft shows it, so later rows hold the right one."""
    env.store.acts.timezone("Asia/Tokyo")
    assert env.arrivals() == set()
    store = env.api.call("GET", f"/instances/{env.instance_id}").json["store"]
    assert store["timezone"] == "Asia/Tokyo"


def test_drafts_of_a_site_that_does_not_show_its_zone(env: StoreToCallback) -> None:
    """Without the site's index every difference is sent."""
    _show_drafts(env)
    env.arrivals()
    env.store.acts.timezone("Asia/Tokyo")
    env.store.faults.add(
        "status", times=100, code=403, match=lambda _method, path, _params: path == "/wp-json/"
    )
    assert {kind for kind, _, _ in env.arrivals()} == {"products"}


def test_upgrade_that_a_reconnection_found(env: StoreToCallback) -> None:
    """Rows know their version, also if it was not a poll that found the new one."""
    env.store.shop.version = dataclasses.replace(env.store.shop.version, number="9.5.0")
    url = env.api.store.replace("127.0.0.1", "localhost")
    keys = {"oauth.api.key": "ck_test", "oauth.api.secret": "cs_test"}
    body = {"configuration": {"store.url": url, **keys}}
    answer = env.api.call("PATCH", f"/instances/{env.instance_id}", body)
    assert answer.json["store"]["version"] == "9.5.0"
    looks = env.store.routes.products.representation
    render = type(looks).render
    looks.render = lambda row, related: render(looks, row, related) | {"brands": []}  # type: ignore[method-assign]
    env.store.shop.tables["products"].all_changed()
    assert env.arrivals() == set()


def test_zone_that_a_worker_without_the_lease_reads(env: StoreToCallback) -> None:
    """It writes nothing, since the instance may be connected to another store by now."""
    env.store.acts.timezone("Asia/Tokyo")
    runtime, reports = runtime_of(env.app), list[PollReport]()
    with during_request(env.store, "GET", "/wp-json/", lambda: reports.extend(env.poll())):
        with runtime.database.write() as session:
            instance = session.get_one(Instance, env.instance_id)
            instance.lease_fence += 1
            instance.store_facts = {"timezone": "Europe/Rome"}
    assert "taken over" in str(reports[0].error)
    with runtime.database.read() as session:
        assert session.get_one(Instance, env.instance_id).store_facts["timezone"] == "Europe/Rome"
