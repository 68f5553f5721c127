"""Refusals: what the database does not take of a batch, and how the rest is recorded."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import logging
import typing as t

import orjson
import sqlalchemy as sa

from ..db.database import Database, may_refuse_value, refuses_value
from ..woocommerce.oddities import BODY_TRUNCATED, NOT_RECORDED, Oddity
from .ledger.observation import Observation, ObservationBatch

_log = logging.getLogger(__name__)

#: Bytes of a body from which an event may be recorded without it. An outage that looks like a
#: refusal then costs the body of no ordinary object.
LARGE = 64 * 1024


class Write(t.Protocol):
    """Commits a part of a batch."""

    def __call__(self, part: ObservationBatch, *, last: bool) -> None: ...


def write(database: Database, batch: ObservationBatch, commit: Write) -> dict[str, Oddity]:
    """Commit a batch, together if possible; return what was not recorded completely, by id.

    A server that drops the connection for a statement that is too large looks like one that is
    down. So if it answers, the halves are tried, and a single object is tried again.

    :param commit: commits a part; ``last`` is true for the last one, with the cursor.
    :raises sqlalchemy.exc.SQLAlchemyError: the database is away.
    """
    return _write(database, batch, commit, last=True, tries=1)


def _write(
    database: Database, batch: ObservationBatch, commit: Write, *, last: bool, tries: int
) -> dict[str, Oddity]:
    try:
        commit(batch, last=last)
    except (sa.exc.SQLAlchemyError, UnicodeError, OverflowError) as exc:
        certain = refuses_value(exc)
        if not certain and not (may_refuse_value(exc) and database.answers()):
            raise
        seen = batch.observations
        if len(seen) > 1:
            half = len(seen) // 2
            first, second = (_part(batch, some) for some in (seen[:half], seen[half:]))
            found = _write(database, first, commit, last=False, tries=1)
            return found | _write(database, second, commit, last=last, tries=1)
        if not certain and tries:
            return _write(database, batch, commit, last=last, tries=tries - 1)
        if _is_large(seen[0]):
            shorter = _part(batch, [dataclasses.replace(seen[0], without_body=True)])
            found = _write(database, shorter, commit, last=last, tries=tries)
            return {seen[0].object_id: BODY_TRUNCATED} | found
        if not certain:
            raise
        extra = {"action": "not_recorded", "object": seen[0].object_id}
        _log.warning("the database does not take an object", exc_info=True, extra=extra)
        commit(_part(batch, []), last=last)
        return {seen[0].object_id: NOT_RECORDED}
    return {}


def _part(batch: ObservationBatch, seen: cabc.Sequence[Observation]) -> ObservationBatch:
    return dataclasses.replace(batch, observations=seen)


def _is_large(seen: Observation) -> bool:
    return not seen.without_body and seen.body is not None and len(orjson.dumps(seen.body)) > LARGE
