"""The cursor of one resource: how far it has been read."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Poller
from ..db.states import PollerState
from ..instances.polled_resources import PollerConfiguration
from ..instances.pollers import ignored_fields
from ..instances.whole_comparison import WholeComparison
from ..settings import Settings
from ..woocommerce import endpoints
from .ledger.representation import StoreState
from .stored_bodies import StoredBodies

#: Any date, to see whether a filter has one.
_ANY_DATE = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class ListPosition:
    """A position in a listing ordered by id: the rows before it, and the last of their ids."""

    offset: int = 0
    after_id: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far one resource has been read; committed together with its events."""

    state: PollerState = PollerState.BASELINE
    #: The latest modified date in the ledger, by the store's clock.
    at: dt.datetime | None = None
    #: When the baseline began, by the store's clock.
    baseline_at: dt.datetime | None = None
    baseline: ListPosition = ListPosition()
    #: Objects in the store when the baseline began, for the progress bar.
    baseline_total: int | None = None
    #: Where the rolling comparison continues.
    compare: ListPosition = ListPosition()
    #: When the last complete poll began, by the store's clock.
    polled_at: dt.datetime | None = None
    #: What a way of reading keeps from poll to poll.
    memory: cabc.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One resource of one instance, with what every step needs of it."""

    poller_id: int
    instance_id: int
    #: The configuration's key, ``objectType`` of its events.
    resource: str
    configuration: PollerConfiguration
    #: Whether objects that existed before the baseline are emitted as CREATED, too.
    backfill: bool = False
    #: Why all of the resource is compared with its ledger; ``None``: the usual comparison.
    comparison: WholeComparison | None = None
    #: The greatest version that other objects have under the resource's key.
    version_floor: int = 0
    #: The ledger's revision when an earlier release started the resource over; objects not seen
    #: since then are unknown to the baseline.
    forgotten: int = 0
    #: Whether every change of the objects sets their modified date.
    dated: bool = False
    #: Top-level fields whose differences are no change.
    ignored: frozenset[str] = frozenset()
    #: Whether the ledger keeps the bodies of objects; otherwise only the fields of ``watched``.
    keeps_bodies: bool = True
    #: Paths, or patterns such as ``line_items[].quantity``, whose values are kept in any case, and
    #: first if not all has room.
    watched: frozenset[str] = frozenset()
    #: Objects to send again, with the types of their events by ``only_for`` of the subscriptions;
    #: see ``pollers.request_reading``.
    again: cabc.Mapping[str, cabc.Mapping[str, str]] = dataclasses.field(default_factory=dict)
    #: Since when a feed was read, which lists only what changed; ``None``: the ledger holds all.
    feed_since: dt.datetime | None = None
    #: The store's state as last seen.
    store: StoreState = StoreState()
    #: What of the bodies is stored; ``None``: all.
    stored: StoredBodies | None = None


_COLUMNS = (
    "state",
    "cursor_at",
    "baseline_at",
    "baseline_offset",
    "baseline_id",
    "baseline_total",
    "compare_offset",
    "compare_id",
    "polled_at",
    "memory",
)


def load_cursor(
    row: Poller,
    settings: Settings,
    triggers: frozenset[str] = frozenset(),
    stored: StoredBodies | None = None,
) -> tuple[Stream, Cursor]:
    """Return the stream and the cursor in a poller's row.

    :param triggers: fields that subscriptions and handlers wait for, whose values are kept.
    :param stored: what of the bodies is stored.
    """
    configuration = PollerConfiguration.model_validate(row.configuration)
    comparison = WholeComparison.from_memory(row.memory)
    # The column is set by earlier releases, for a baseline that emits events.
    baseline = row.backfill and row.state == PollerState.BASELINE
    backfill = None if comparison is None else comparison.backfill
    stream = Stream(
        poller_id=row.id,
        instance_id=row.instance_id,
        resource=row.resource,
        configuration=configuration,
        dated=endpoints.resolve(configuration.url).has_date_filter,
        backfill=baseline or (backfill is not None and backfill.includes(None)),
        comparison=comparison,
        version_floor=int(row.memory.get("version_floor", 0)),
        forgotten=int(row.memory.get("forgotten", 0)),
        ignored=frozenset(ignored_fields(row)),
        feed_since=row.baseline_at if _reads_feed(row, configuration) else None,
        keeps_bodies=settings.changes == "full",
        watched=triggers | set(settings.watched_fields if settings.changes != "names" else ()),
        stored=stored,
    )
    cursor = Cursor(
        state=PollerState(row.state),
        at=row.cursor_at,
        baseline_at=row.baseline_at,
        baseline=ListPosition(row.baseline_offset, row.baseline_id),
        baseline_total=row.baseline_total,
        compare=ListPosition(row.compare_offset, row.compare_id),
        polled_at=row.polled_at,
        memory=dict(row.memory),
    )
    return stream, cursor


def _reads_feed(row: Poller, configuration: PollerConfiguration) -> bool:
    if row.state != PollerState.ACTIVE or "${" not in configuration.url:
        return False
    return configuration.filters(last_poll=_ANY_DATE, now=_ANY_DATE).feed


# Built once and without the mapper, which costs more than the database does.
_SAVE = (
    sa.update(Poller.__table__)  # type: ignore[arg-type]
    .where(Poller.__table__.c.id == sa.bindparam("poller_id"))
    .values({name: sa.bindparam(name) for name in _COLUMNS})
)
_SUCCEED = _SAVE.values(failures=0, error=None, retry_at=None)


def save_cursor(
    session: orm.Session, poller_id: int, cursor: Cursor, *, ended: bool = False
) -> None:
    """Write a cursor to its poller's row; the caller commits it with the events.

    :param ended: the poll reached its end, which resets the count of failures.
    """
    values = {
        "poller_id": poller_id,
        "state": cursor.state.value,
        "cursor_at": cursor.at,
        "baseline_at": cursor.baseline_at,
        "baseline_offset": cursor.baseline.offset,
        "baseline_id": cursor.baseline.after_id,
        "baseline_total": cursor.baseline_total,
        "compare_offset": cursor.compare.offset,
        "compare_id": cursor.compare.after_id,
        "polled_at": cursor.polled_at,
        "memory": dict(cursor.memory),
    }
    session.execute(_SUCCEED if ended else _SAVE, values)
