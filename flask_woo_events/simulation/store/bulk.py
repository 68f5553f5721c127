"""Bulk changes of a simulated store: what an importer or an ERP does to many objects together."""

from __future__ import annotations

import datetime as dt

from .store import SimulatedStore


def date_ahead(store: SimulatedStore, kind: str, ids: list[int], ahead: dt.timedelta) -> None:
    """Give objects a modified date ahead of the store's clock, as an importer with its own dates.

    :param kind: ``orders`` or ``products``.
    """
    date = int((store.clock.now() + ahead).timestamp())
    with store.shop.lock:
        table = store.shop.tables[kind]
        for number in ids:
            row = table.get(number)
            assert row is not None
            row.modified = date
            table.changed(row)


def change_statuses(store: SimulatedStore, status: str) -> list[int]:
    """Set the status of all orders at one time; return their ids."""
    ids = list(store.truth("orders"))
    for number in ids:
        store.acts.status(number, status)
    return ids
