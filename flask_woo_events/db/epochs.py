"""Epochs: the lives of the database, by which nothing that was sent before is sent anew.

A restored backup repeats ids and versions for other contents. So a new life begins: its number is
above all earlier ones, and its ids and versions are above those that they can have reached.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import secrets
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

from ..errors import ConfigurationError
from . import sequences
from .models import Base, Epoch, Notification

#: Numbers count minutes since this date, so that they rise without knowledge of earlier ones.
BEGINNING = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
#: The greatest number, in the year 2057; it has three bytes in ``eventId``.
MOST = 2**24 - 1
#: More versions of one object, and ids of one table, than are used in an average minute. Versions
#: are 32-bit numbers; JavaScript reads ids of 53 bits.
VERSIONS_A_MINUTE, IDS_A_MINUTE, BUSY_IDS_A_MINUTE = 100, 100, 1_000_000
_BUSY = ("woo_notification", "woo_event", "woo_delivery", "woo_attempt", "woo_arrival")


@dataclasses.dataclass(frozen=True, slots=True)
class EpochState:
    """One life of the database."""

    number: int
    token: str
    #: Why it began.
    reason: str
    began_at: dt.datetime
    #: Whether new ids are above those of earlier lives.
    complete: bool
    #: PostgreSQL's number of the table when it began.
    table_oid: int | None

    @property
    def version_floor(self) -> int:
        """The greatest version that an earlier life can have reached."""
        return self.number * VERSIONS_A_MINUTE


@dataclasses.dataclass(frozen=True, slots=True)
class DatabaseSigns:
    """What a database shows of its life."""

    epoch: EpochState
    #: Id and ``eventId`` of the newest notification; 0 and empty if there is none.
    newest: int
    newest_event_id: str
    #: ``eventId`` of the notification that was asked for; ``None`` if it is not there.
    event_id: str | None
    #: Whether an id was assigned that is not below the one that was asked for.
    reaches: bool
    #: Whether the tables were created after the epoch began, as by a restored dump.
    recreated: bool


# Built once: they run before each poll.
_CURRENT = (
    sa.select(
        Epoch.number, Epoch.token, Epoch.reason, Epoch.began_at, Epoch.complete, Epoch.table_oid
    )
    .order_by(Epoch.number.desc())
    .limit(1)
)
_EVENT_ID = sa.select(Notification.event_id)
_SIGNS = _CURRENT.add_columns(
    sa.select(sa.func.max(Notification.id)).scalar_subquery(),
    _EVENT_ID.order_by(Notification.id.desc()).limit(1).scalar_subquery(),
    _EVENT_ID.where(Notification.id == sa.bindparam("notification_id")).scalar_subquery(),
)
_REGCLASS = sa.cast(sa.literal(Epoch.__tablename__), postgresql.REGCLASS)
_TABLE_OID = sa.select(sa.cast(sa.cast(_REGCLASS, postgresql.OID), sa.BigInteger))


def current(session: orm.Session) -> EpochState | None:
    """Return the present epoch; ``None`` before the first worker has started."""
    row = session.execute(_CURRENT).one_or_none()
    return None if row is None else EpochState(*row)


def version_floor(session: orm.Session) -> int:
    """Return the greatest version that an earlier life can have reached."""
    epoch = current(session)
    return 0 if epoch is None else epoch.version_floor


def new_event_id(epoch: EpochState | None) -> str:
    """Return 20 characters: four of the epoch's number, its token, and twelve random ones."""
    if epoch is None:
        return secrets.token_urlsafe(15)
    number = base64.urlsafe_b64encode(epoch.number.to_bytes(3, "big")).decode()
    return f"{number}{epoch.token}{secrets.token_urlsafe(9)}"


def signs(session: orm.Session, notification_id: int) -> DatabaseSigns | None:
    """Read what shows whether a database is the one that a worker knew.

    :param notification_id: the last notification that the worker knew.
    :return: ``None`` before the first epoch.
    """
    row = session.execute(_SIGNS, {"notification_id": notification_id}).one_or_none()
    if row is None:
        return None
    *columns, newest, newest_event_id, event_id = row
    epoch = EpochState(*columns)
    # The counter takes longer to read. It knows the ids of notifications that were deleted.
    reaches = (newest or 0) >= notification_id or (
        sequences.last(session.connection(), Notification.__tablename__) >= notification_id
    )
    recreated = epoch.table_oid is not None and epoch.table_oid != _table_oid(session)
    return DatabaseSigns(epoch, newest or 0, newest_event_id or "", event_id, reaches, recreated)


def begin_first(session: orm.Session, now: dt.datetime) -> None:
    """Write the first epoch, unless there is one.

    :raises sqlalchemy.exc.IntegrityError: another process has just written it.
    """
    if current(session) is None:
        _add(session, 0, "the database was new", now, complete=True)


def begin(
    session: orm.Session, observed: EpochState, above: int, reason: str, now: dt.datetime
) -> EpochState | None:
    """Begin a new epoch; return ``None`` if another process has begun one.

    :param observed: the epoch in which the reason was found.
    :param above: the highest number that was found elsewhere.
    :raises ConfigurationError: there is no higher number.
    """
    _lock(session, observed)
    latest = current(session)
    if latest is None or latest.number != observed.number:
        return None
    minutes = (now - BEGINNING) // dt.timedelta(minutes=1)
    number = max(minutes if minutes <= MOST else 0, latest.number + 1, above + 1)
    if number > MOST:
        raise ConfigurationError(
            f"No epoch can follow number {number - 1}. Create new tables in an empty database, "
            "and connect the stores again, with other callback URLs"
        )
    _add(session, number, reason, now, complete=False)
    return current(session)


def complete(session: orm.Session, epoch: EpochState) -> bool:
    """Let new ids be above all that earlier lives can have assigned.

    MariaDB commits the transaction meanwhile.

    :return: false if another process has done it.
    """
    _lock(session, epoch)
    latest = current(session)
    if latest is None or latest.number != epoch.number or latest.complete:
        return False
    connection = session.connection()
    for table in Base.metadata.sorted_tables:
        if table.autoincrement_column is not None:
            rate = BUSY_IDS_A_MINUTE if table.name in _BUSY else IDS_A_MINUTE
            sequences.skip_to(connection, table.name, epoch.number * rate)
    session.execute(sa.update(Epoch).where(Epoch.number == epoch.number).values(complete=True))
    return True


def adopt(session: orm.Session) -> None:
    """Note that the tables are a copy in which the epoch goes on."""
    session.execute(sa.update(Epoch).values(table_oid=_table_oid(session)))


def _lock(session: orm.Session, epoch: EpochState) -> None:
    """Lock an epoch until the transaction ends, so that one process begins the next."""
    session.execute(sa.select(Epoch.number).where(Epoch.number == epoch.number).with_for_update())


def _add(
    session: orm.Session, number: int, reason: str, now: dt.datetime, *, complete: bool
) -> None:
    row = Epoch(
        number=number,
        token=secrets.token_urlsafe(3),
        reason=reason,
        table_oid=_table_oid(session),
        complete=complete,
        began_at=now,
    )
    session.add(row)
    session.flush()


def _table_oid(session: orm.Session) -> int | None:
    """Return PostgreSQL's number of the table; a restored dump has another one."""
    if session.get_bind().dialect.name != "postgresql":
        return None
    return t.cast("int", session.scalar(_TABLE_OID))
