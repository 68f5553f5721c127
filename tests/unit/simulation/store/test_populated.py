"""A populated store: ``truth`` and listings agree, and reading is fast."""

from __future__ import annotations

import time

import pytest

from flask_woo_events.simulation.store import VERSIONS

from .conftest import MakeStore, ask, ids


@pytest.mark.parametrize("version", VERSIONS)
def test_truth_is_what_a_client_reads(make_store: MakeStore, version: str) -> None:
    """``truth`` returns the objects of a whole collection."""
    store = make_store(version)
    store.populate(orders=30, products=10, coupons=5, customers=8)
    store.routes.orders.varies = False
    for kind in ("orders", "products", "coupons", "customers"):
        truth = store.truth(kind)
        rows = ask(store, kind, per_page=100).json or []
        assert ids(store, kind, orderby="id", order="asc") == sorted(truth)
        assert {row["id"]: {**row, "related_ids": 0} for row in rows} == {
            row_id: {**row, "related_ids": 0} for row_id, row in truth.items()
        }


def test_unknown_version_is_refused(make_store: MakeStore) -> None:
    """The error lists the available versions."""
    with pytest.raises(ValueError, match=r"choose one of 5\.9, 7\.0"):
        make_store("3.0")


def test_full_version(make_store: MakeStore) -> None:
    """A store can have any release of a supported version."""
    status = ask(make_store("11.0.7"), "system_status", _fields="environment").json or {}
    assert list(status) == ["environment"]
    assert status["environment"]["version"] == "11.0.7"


def test_ten_thousand_objects_a_second(make_store: MakeStore) -> None:
    """Pages use cached JSON, so that measurements do not measure the store."""
    store = make_store()
    store.populate(orders=2000, products=0, coupons=0, customers=10)
    for offset in range(0, 2000, 100):
        ids(store, "orders", orderby="id", offset=offset)
    seconds = []
    for _ in range(3):
        began = time.process_time()
        for offset in range(0, 2000, 100):
            ask(store, "orders", orderby="id", per_page=100, offset=offset)
        seconds.append(time.process_time() - began)
    assert 2000 / min(seconds) > 10_000
