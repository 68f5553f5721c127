"""Order statuses: those by which a store's orders are listed, and those that it refuses."""

from __future__ import annotations

import dataclasses
import datetime as dt

from ..errors import (
    StoreAccessError,
    StoreFailedError,
    StoreGarbledError,
    StoreRejectedError,
    UnreachableError,
)
from ..woocommerce.client import StoreClient
from ..woocommerce.listing import order_statuses
from ..woocommerce.oddities import STATUSES_REFUSED, STATUSES_UNKNOWN
from .cursor import Cursor

#: How long a store's list of order statuses is kept.
STATUSES_MAX_AGE = dt.timedelta(hours=1)
#: When a status is tried again that the store lists and refuses.
REFUSED_FOR = dt.timedelta(hours=24)
#: Members of a cursor's memory that each reading of the statuses sets.
_OURS = ("statuses", "statuses_at", "statuses_failure", "statuses_refused")


def refresh(
    client: StoreClient, cursor: Cursor, now: dt.datetime, max_age: dt.timedelta = STATUSES_MAX_AGE
) -> Cursor:
    """Return a cursor with the store's statuses: ``any`` leaves out those of some plugins.

    If they cannot be read, those read before are kept, and without any, ``any`` is used.
    """
    memory = cursor.memory
    read_at = memory.get("statuses_at")
    is_old = "statuses" not in memory or not isinstance(read_at, str)
    if is_old or now - dt.datetime.fromisoformat(str(read_at)) >= max_age:
        statuses, failure = _read(client, tuple(memory.get("statuses") or ()))
        refused = {
            status: at
            for status, at in (memory.get("statuses_refused") or {}).items()
            if now - dt.datetime.fromisoformat(at) < REFUSED_FOR
        }
        kept = {name: one for name, one in memory.items() if name not in _OURS}
        memory = kept | {
            "statuses": [status for status in statuses if status not in refused],
            "statuses_at": now.isoformat(),
        }
        memory |= {"statuses_failure": failure} if failure else {}
        memory |= {"statuses_refused": refused} if refused else {}
        cursor = dataclasses.replace(cursor, memory=memory)
    if "statuses_failure" in memory:
        client.oddities.add(STATUSES_UNKNOWN, str(memory["statuses_failure"]))
    if "statuses_refused" in memory:
        client.oddities.add(STATUSES_REFUSED, ", ".join(sorted(memory["statuses_refused"])))
    return cursor


def leave_out_refused(client: StoreClient, cursor: Cursor, now: dt.datetime) -> Cursor:
    """Return a cursor with the store's present statuses, without those that it refuses.

    They are found by trying: an extension that was switched off leaves none behind, others list a
    status that cannot be asked for.
    """
    cursor = refresh(client, cursor, now, dt.timedelta())
    statuses = list(cursor.memory["statuses"])
    refused = dict.fromkeys(_refused(client, statuses), now.isoformat())
    if not refused:
        return cursor
    memory = dict(cursor.memory)
    memory["statuses"] = [status for status in statuses if status not in refused]
    memory["statuses_refused"] = {**memory.get("statuses_refused", {}), **refused}
    client.oddities.add(STATUSES_REFUSED, ", ".join(sorted(memory["statuses_refused"])))
    return dataclasses.replace(cursor, memory=memory)


def _read(client: StoreClient, known: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Return the statuses, and why they could not be read."""
    try:
        return order_statuses(client), ""
    except (StoreAccessError, StoreRejectedError):
        return (), "the key may not read reports/orders/totals, or it does not exist"
    except (StoreFailedError, StoreGarbledError):
        return known, "reports/orders/totals fails"
    except UnreachableError as exc:
        if not exc.connected:
            raise
        return known, "reports/orders/totals is not answered in time"


def _refused(client: StoreClient, statuses: list[str]) -> list[str]:
    found: list[str] = []
    todo = [statuses] if statuses else []
    while todo:
        tried = todo.pop()
        try:
            status = ",".join(tried)
            client.get_list("orders", {"status": status, "per_page": 1, "_fields": "id"})
        except StoreRejectedError as exc:
            if exc.status != 400:
                raise
            half = len(tried) // 2
            if half:
                todo += [tried[half:], tried[:half]]
            else:
                found += tried
        except (StoreFailedError, StoreGarbledError):
            continue  # It was not refused.
    return found
