"""What events say of the ordinary changes of a store: what two requests before and after show."""

from __future__ import annotations

import contextlib
import datetime as dt
import pathlib
import shutil
import typing as t

import orjson
import pytest

from benchmarks.peers.actions import CHANGES, Scene, actions
from flask_woo_events.db.database import Database
from flask_woo_events.sync.ledger.digest import VOLATILE
from flask_woo_events.worker.worker import Worker
from tests.integration.frozen_installation import open_installation
from tests.integration.store_to_callback import StoreToCallback, open_env
from tests.sent_schema import problems

Json = dict[str, t.Any]
#: The metadata by which WooCommerce notes that an order has reduced the stock.
STOCK = "line_items[1].meta_data[_reduced_stock]"
RESOURCES = {
    "customers": "customers",
    "discounts": "coupons",
    "orders": "orders",
    "products": "products",
}


def _state(env: StoreToCallback) -> dict[tuple[str, str], Json]:
    """Return every object as the store shows it."""
    return {
        (key, str(number)): body
        for key, name in RESOURCES.items()
        for number, body in env.store.truth(name).items()
    }


def _leaves(value: t.Any, path: str = "") -> dict[str, t.Any]:
    """Return the values in a body that hold no others, by path; lists of scalars are values."""
    if isinstance(value, dict) and value:
        members = value.items()
        inner = {f"{path}.{name}" if path else name: one for name, one in members}
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        key = "key" if path.endswith("meta_data") else "id"
        inner = {f"{path}[{one[key] or one['name']}]": one for one in value}
    else:
        # What was or becomes empty is shown by the elements that are gone or new.
        return {} if value in ([], {}) else {path: value}
    return {at: leaf for where, one in inner.items() for at, leaf in _leaves(one, where).items()}


def _counted(body: Json) -> Json:
    """Return a body without what changes by itself, and dates that are shown in UTC, too."""
    left_out = VOLATILE | {name for name in body if f"{name}_gmt" in body}
    return {name: value for name, value in body.items() if name not in left_out}


def _difference(one: Json, other: Json) -> dict[str, t.Any]:
    """Return the leaves of a body that another one does not have."""
    left, right = _leaves(_counted(one)), _leaves(_counted(other))
    return {path: value for path, value in left.items() if right.get(path, ...) != value}


def _said(event: Json, side: str) -> dict[str, t.Any]:
    """Return the leaves that an event names before or after the change."""
    return {
        path: leaf
        for where, value in event["changes"].items()
        if side in value
        for path, leaf in _leaves(value[side], where).items()
    }


def _check(event: Json, before: Json, after: Json) -> None:
    """Check that an UPDATED says how a body differs from the one before, and nothing else."""
    assert _said(event, "before") == _difference(before, after)
    assert _said(event, "after") == _difference(after, before)
    assert "truncated" not in event
    named = {path.partition("[")[0].partition(".")[0] for path in event["changes"]}
    assert named == set(event["changedFields"])


@pytest.mark.parametrize("any_url", ["sqlite", "postgresql"], indirect=True)
def test_changes_are_what_the_store_shows(
    any_url: str, any_database: Database, tmp_path: pathlib.Path
) -> None:
    """Of 46 changes by forty ordinary actions, each UPDATED has every value, and no other."""
    kinds: list[str] = []
    with contextlib.ExitStack() as stack:
        env = open_env("11.0", tmp_path, stack, SQLALCHEMY_DATABASE_URI=any_url)
        scene = Scene(env.store)
        scene.prepare()
        env.arrivals()
        before = _state(env)
        for _, action in actions():
            action(scene)
            env.arrivals()
            after = _state(env)
            sent = env.receiver.received
            assert [problems(one.json, "extended") for one in sent] == [[]] * len(sent)
            for event in (event for one in sent for event in one.events):
                kinds.append(event["eventType"])
                if kinds[-1] == "UPDATED":
                    key = event["objectType"], event["objectId"]
                    _check(event, before[key], after[key])
                else:
                    assert not event.keys() & {"changes", "names", "changedFields"}
            before = after
    assert len(kinds) == CHANGES == 46
    assert kinds.count("UPDATED") > 20


def test_changes_after_an_upgrade(any_url: str, tmp_path: pathlib.Path) -> None:
    """The first change of an object that was not read since then has no values; others have."""
    with open_installation(any_url, tmp_path, "0001") as installed:
        installed.woo("db", "upgrade")
        installed.process_webhooks()
        store, polled = installed.stores["one"], installed.frozen.instances["polled"]

        def change(number: int, status: str) -> tuple[list[str], t.Any]:
            """Change an order; return the fields that changed in the event, and the values."""
            store.change("orders", number, status=status)
            installed.wait(dt.timedelta(minutes=20))
            reports = Worker(installed.runtime).poll_once([polled])
            assert [one.error for one in reports if one.error] == []
            row = installed.query(
                "SELECT changed_fields, changes FROM woo_event WHERE instance_id = :instance "
                "AND object_id = :number ORDER BY id DESC LIMIT 1",
                instance=polled, number=str(number),
            )[0]  # fmt: skip
            fields = row["changed_fields"]
            changes = row["changes"] and orjson.loads(bytes(row["changes"]))["changes"]
            return orjson.loads(fields) if isinstance(fields, str) else fields, changes

        fields, changes = change(24, "on-hold")
        assert "status" in fields and changes is None
        fields, changes = change(24, "completed")
        assert set(changes) == set(fields)
        assert changes["status"] == {"before": "on-hold", "after": "completed"}
        fields, changes = change(25, "on-hold")
        assert set(changes) == set(fields) and changes["status"]["after"] == "on-hold"


@pytest.mark.parametrize(
    ("setting", "paths"),
    [("names", None), ("watched", {"status"}), ("full", {"status", "date_modified_gmt", STOCK})],
)
def test_setting_decides_what_is_kept(
    setting: str, paths: set[str] | None, tmp_path: pathlib.Path, tables: pathlib.Path
) -> None:
    """Fields and names of changes are sent in any case, values as far as they are kept."""
    shutil.copy(tables, tmp_path / "host.sqlite3")
    with contextlib.ExitStack() as stack:
        env = open_env("11.0", tmp_path, stack, WOO_EVENTS_CHANGES=setting)
        env.store.acts.status(env.first("orders"), "on-hold")
        env.arrivals()
        # The change of the stock is an event of the product's own, which may arrive first.
        sent = [event for one in env.receiver.received for event in one.events]
        (event,) = [event for event in sent if event["objectType"] == "orders"]
        assert "status" in event["changedFields"] and event["names"] == ["order.status_changed"]
        assert (set(event["changes"]) if "changes" in event else None) == paths
