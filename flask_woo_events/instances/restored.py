"""Restored databases: how a worker notices one, and the epoch that begins then."""

from __future__ import annotations

import logging

import sqlalchemy as sa
from sqlalchemy import orm

from ..db import epochs
from ..db.epochs import DatabaseSigns, EpochState
from ..db.state_file import LastKnown
from ..runtime import Runtime
from . import lifecycle

_log = logging.getLogger(__name__)
_RECREATED = "its tables are newer than its epoch, as pg_restore makes them"


def look(runtime: Runtime) -> None:
    """Begin a new epoch if the database is an older one than was known; keep what it shows now."""
    known, found = _look(runtime)
    if found is None:
        _begin_first(runtime)
        known, found = _look(runtime)
        if found is None:
            return
    sign = _sign(known, found)
    if sign is not None:
        epoch = _begin(runtime, known, found, sign)
        _log.warning(
            "the database looks restored: %s. In epoch %d, new ids and versions are above those "
            "that were sent, and all stores are compared with the database",
            sign, epoch.number, extra={"action": "epoch", "epoch": epoch.number},
        )  # fmt: skip
        return
    if not found.epoch.complete:
        _complete(runtime, found.epoch)
    runtime.state_file.keep(LastKnown.of(found))


def keep(runtime: Runtime) -> None:
    """Keep what the database shows after events were recorded; the next run tries again."""
    try:
        look(runtime)
    except sa.exc.SQLAlchemyError:
        extra = {"action": "epoch"}
        _log.warning("the state file was not updated", exc_info=True, extra=extra)


def present(runtime: Runtime) -> tuple[EpochState | None, str | None]:
    """Return the epoch, and what shows that the database is an older one; change nothing."""
    known, found = _look(runtime)
    return (None, None) if found is None else (found.epoch, _sign(known, found))


def declare(runtime: Runtime, reason: str) -> EpochState:
    """Begin a new epoch because an operator says that the database was restored."""
    known, found = _look(runtime)
    if found is None:
        _begin_first(runtime)
        known, found = _look(runtime)
    assert found is not None
    return _begin(runtime, known, found, reason)


def _look(runtime: Runtime) -> tuple[LastKnown | None, DatabaseSigns | None]:
    # Before the query: what is learned meanwhile may be newer than what it finds.
    known = runtime.state_file.known
    with runtime.database.read() as session:
        return known, epochs.signs(session, known.notification if known is not None else 0)


def _sign(known: LastKnown | None, found: DatabaseSigns) -> str | None:
    sign = known.sign(found) if known is not None else None
    return sign or (_RECREATED if found.recreated else None)


def _begin_first(runtime: Runtime) -> None:
    try:
        with runtime.database.write() as session:
            epochs.begin_first(session, runtime.clock())
    except sa.exc.IntegrityError:
        pass  # Another process has begun it.


def _begin(
    runtime: Runtime, known: LastKnown | None, found: DatabaseSigns, reason: str
) -> EpochState:
    """Begin an epoch, or return the one that another process has begun for the same reason."""
    above = known.number if known is not None else 0

    def work(session: orm.Session) -> EpochState | None:
        now = runtime.clock()
        epoch = epochs.begin(session, found.epoch, above, reason, now)
        if epoch is not None:
            lifecycle.begin_epoch(session, epoch.version_floor, now)
        return epoch or epochs.current(session)

    epoch = runtime.database.transact(work)
    assert epoch is not None
    _complete(runtime, epoch)
    runtime.state_file.keep(LastKnown(number=epoch.number, token=epoch.token))
    return epoch


def _complete(runtime: Runtime, epoch: EpochState) -> None:
    with runtime.database.write() as session:
        if epochs.complete(session, epoch):
            # Not before: its version is an id, which no earlier life may have assigned.
            lifecycle.record_restored(session, runtime.clock())
