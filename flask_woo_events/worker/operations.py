"""Operations: checkpoints are recorded, and operational events become notifications."""

from __future__ import annotations

import collections.abc as cabc
import logging

from sqlalchemy import orm

from ..db import presence
from ..events import operational_outbox
from ..runtime import Runtime
from ..sync import daily_checkpoint

_log = logging.getLogger(__name__)

#: The migration with which a worker knows operational events.
KNOWN_SINCE = "0013"


def post(runtime: Runtime, stopped: cabc.Callable[[], bool] = lambda: False) -> int:
    """Record the checkpoints that are due, and make notifications of what was recorded.

    While a worker of an earlier release runs, all that waits is kept: that worker would send it
    with the credentials of the instance's own callback.

    :param stopped: called between two commits; true ends it there.
    :return: how many records there were.
    """
    daily_checkpoint.record_due(runtime)
    with runtime.database.read() as session:
        numbers = operational_outbox.waiting(session)
        older = presence.older(session, KNOWN_SINCE, runtime.clock()) if numbers else []
    if older:
        extra = {"action": "operational"}
        _log.info("operational events wait for the end of %s", ", ".join(older), extra=extra)
        return 0
    routes, count = runtime.handlers.operational_routes(), 0
    for number in numbers:

        def work(session: orm.Session, instance_id: int = number) -> int:
            return operational_outbox.post(session, instance_id, routes, runtime.clock())

        while not stopped():
            posted = runtime.database.transact(work)
            count += posted
            if posted < operational_outbox.TOGETHER:
                break
    return count
