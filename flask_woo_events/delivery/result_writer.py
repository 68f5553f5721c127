"""Outcomes: how attempts ended, until that is written down."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import logging
import threading
import time

import sqlalchemy as sa

from ..db.database import is_away, words
from ..db.models import DeliveryStatus
from ..runtime import Runtime
from ..signals import subscription_stopped
from . import results as settlements
from .claims import ClaimedDelivery
from .results import AttemptResult, Settled

_log = logging.getLogger(__name__)

#: So many are written in one commit, a failure at once with those before it. What is not written
#: when a process is killed is sent again: those in a commit, as many that came meanwhile, and one
#: for each thread.
TOGETHER = 16
#: The longest that one waits for others, seconds.
LONGEST_WAIT = 0.02
#: How often an outcome is written again while the database is away, seconds between two and
#: attempts: for ten minutes.
WRITE_AGAIN, WRITE_ATTEMPTS = 0.5, 1200


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """An attempt that is over."""

    settlement: AttemptResult
    at: dt.datetime
    #: Claimed with it or after it, and given back once it is written.
    back: cabc.Sequence[ClaimedDelivery] = ()


class ResultWriter:
    """Writes how attempts ended, several in one commit.

    A thread goes on to its next delivery meanwhile, but never far: who finds enough of them
    writes them first.

    :param written: called for each with what became of it, ``None`` when it could not be written.
    :param stopped: asked between two attempts to write while the database is away.
    """

    def __init__(
        self,
        runtime: Runtime,
        written: cabc.Callable[[Ended, Settled | None], None],
        stopped: cabc.Callable[[], bool],
    ) -> None:
        self._runtime = runtime
        self._written = written
        self._stopped = stopped
        self._waiting: list[Ended] = []
        #: When the oldest that waits was added, seconds, monotonic.
        self._since = 0.0
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._pause = threading.Event()

    def add(self, ended: Ended) -> None:
        """Take an outcome up; writes it when it cannot wait."""
        with self._lock:
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting.append(ended)
            enough = len(self._waiting) >= TOGETHER
        if enough or not ended.settlement.outcome.delivered:
            self.write()

    @property
    def waiting(self) -> bool:
        """Something is not written."""
        return bool(self._waiting)

    def write_old(self) -> None:
        """Write what has waited long, unless another thread is writing."""
        if self._waiting and time.monotonic() - self._since >= LONGEST_WAIT:
            if not self._turn.locked():
                self.write()

    def write(self) -> None:
        """Write what waits; when it returns, all that was added before is written."""
        with self._turn:
            with self._lock:
                batch, self._waiting = self._waiting, []
            results = self._commit(batch) if batch else []
        for ended, result in zip(batch, results, strict=True):
            self._tell(ended, result)

    def _commit(self, batch: list[Ended]) -> list[Settled | Exception]:
        """Write them, again and again while the database is away: the callbacks have them."""
        group = self._runtime.group_commit(settle)
        results: dict[int, Settled | Exception] = {}
        left = list(enumerate(batch))
        for attempt in range(WRITE_ATTEMPTS):
            written = group.write_all([ended for _, ended in left])
            results.update(zip((number for number, _ in left), written, strict=True))
            left = [(number, ended) for number, ended in left if _again(results[number])]
            if not left or self._stopped():
                break
            if not attempt:
                for _, ended in left:
                    extra = extra_of(ended.settlement.claimed, "delivery_unwritten")
                    _log.warning("the database is away; writing again", extra=extra)
            self._pause.wait(WRITE_AGAIN)
        return [results[number] for number in range(len(batch))]

    def _tell(self, ended: Ended, result: Settled | Exception) -> None:
        claimed, verdict = ended.settlement.claimed, ended.settlement.verdict
        number = claimed.notification.id
        if isinstance(result, Exception):
            # Its lease ends by itself, and then it is tried again.
            extra = extra_of(claimed, "delivery_error")
            _log.error("notification %d: %s", number, words(result), exc_info=result, extra=extra)
            self._written(ended, None)
            return
        if not result.ours:
            extra = extra_of(claimed, "lease_lost")
            _log.warning("notification %d was taken over", number, extra=extra)
        else:
            level = logging.ERROR if verdict.status is DeliveryStatus.QUEUED else logging.INFO
            extra = extra_of(claimed, f"delivery_{verdict.status.value}")
            _log.log(
                level, "notification %d: %s", number, ended.settlement.outcome.reason, extra=extra
            )
        if result.stopped:
            self._runtime.send(
                subscription_stopped,
                instance_id=claimed.notification.instance_id,
                subscription_id=claimed.subscription_id,
                reason=ended.settlement.outcome.reason,
            )
        self._written(ended, result)


def settle(connection: sa.Connection, ended: cabc.Sequence[Ended]) -> list[Settled]:
    """Write attempts that ended at about the same time."""
    now = max(one.at for one in ended)
    return settlements.settle(connection, [one.settlement for one in ended], now)


def _again(result: Settled | Exception) -> bool:
    """The database is away: it is to be written again."""
    return isinstance(result, sa.exc.SQLAlchemyError) and is_away(result)


def extra_of(claimed: ClaimedDelivery, action: str) -> dict[str, object]:
    """What a line of the log says of a delivery."""
    return {
        "action": action,
        "instance": claimed.notification.instance_id,
        "notification": claimed.notification.id,
        "delivery": claimed.delivery_id,
    }
