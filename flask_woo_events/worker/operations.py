"""Operations: checkpoints are recorded, and operational events become notifications."""

from __future__ import annotations

import collections.abc as cabc
import logging
import typing as t

from sqlalchemy import orm

from ..db import presence
from ..db.database import is_away
from ..events import operational_outbox
from ..instances import privacy
from ..runtime import Runtime
from ..sync import daily_checkpoint

_log = logging.getLogger(__name__)

#: The migration with which a worker knows operational events.
KNOWN_SINCE = "0015"


def post(runtime: Runtime, stopped: cabc.Callable[[], bool] = lambda: False) -> int:
    """Record the checkpoints that are due, and make notifications of what was recorded.

    While a worker of an earlier release runs, all that waits is kept: that worker would send it
    with the credentials of the instance's own callback. What fails for one instance is logged, and
    does not stop the others.

    :param stopped: called between two commits; true ends it there.
    :return: how many records became notifications, or had no receiver.
    """
    for number in daily_checkpoint.due(runtime):
        if not stopped():
            _guarded(number, lambda one: daily_checkpoint.record(runtime, one))
    with runtime.database.read() as session:
        numbers = operational_outbox.waiting(session)
        older = presence.older(session, KNOWN_SINCE, runtime.clock()) if numbers else []
    if older:
        extra = {"action": "operational"}
        _log.info("operational events wait for the end of %s", ", ".join(older), extra=extra)
        return 0
    count = 0
    for number in numbers:
        posted = operational_outbox.TOGETHER
        while posted == operational_outbox.TOGETHER and not stopped():
            posted = _guarded(number, lambda one: _post(runtime, one))
            count += posted
    return count


def _post(runtime: Runtime, instance_id: int) -> int:
    routes = runtime.handlers.operational_routes()

    def stored(session: orm.Session, record: dict[str, t.Any]) -> dict[str, t.Any]:
        found = privacy.without_persons(session, lambda: runtime.cipher, instance_id, record)
        return t.cast("dict[str, t.Any]", found)

    return runtime.database.transact(
        lambda session: operational_outbox.post(
            session, instance_id, routes, runtime.clock(), stored
        )
    )


def _guarded(instance_id: int, work: cabc.Callable[[int], int]) -> int:
    """Do something for an instance; log what fails, unless the database is unreachable."""
    try:
        return work(instance_id)
    except Exception as exc:
        if is_away(exc):
            raise
        extra = {"action": "operational", "instance": instance_id}
        _log.exception("operational events of instance %d failed", instance_id, extra=extra)
        return 0
