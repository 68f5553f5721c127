"""The result writer: collects results of attempts, and writes several in one commit."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import logging
import threading
import time
import typing as t

import sqlalchemy as sa

from ..db.database import Work, is_away, may_refuse_value, words
from ..db.states import DeliveryStatus
from ..instances import privacy
from ..runtime import Runtime
from ..signals import subscription_stopped
from ..values.crypto import Cipher
from ..values.persons import may_hold_address
from . import results
from .claims import ClaimedDelivery
from .results import AttemptResult, WrittenResult

_log = logging.getLogger(__name__)

#: Results of one commit; a failure is written immediately, with those before it. Deliveries whose
#: results are not written when a process is killed are sent again: those of one commit, as many
#: that ended during it, and one of each thread.
TOGETHER = 16
#: The longest time that a result waits for others, seconds.
LONGEST_WAIT = 0.02
#: Seconds between two attempts to write while the database is unreachable, and how many there
#: are: ten minutes.
WRITE_AGAIN, WRITE_ATTEMPTS = 0.5, 1200


@dataclasses.dataclass(frozen=True, slots=True)
class EndedAttempt:
    """An attempt that ended, whose result is not written yet."""

    result: AttemptResult
    at: dt.datetime
    #: Deliveries to give back once the result is written.
    back: cabc.Sequence[ClaimedDelivery] = ()
    #: Finds erased persons in what the receiver said; ``None``: it holds no address.
    cipher: cabc.Callable[[], Cipher] | None = None


class ResultWriter:
    """Writes results of attempts, several in one commit.

    A thread goes on to its next delivery before its result is written, but not far: the thread
    that adds enough of them writes them first.

    :param written: called for each with what was written, ``None`` when that failed.
    :param stopped: called while the database is unreachable; true ends the attempts to write.
    """

    def __init__(
        self,
        runtime: Runtime,
        written: cabc.Callable[[EndedAttempt, WrittenResult | None], None],
        stopped: cabc.Callable[[], bool],
    ) -> None:
        self._runtime = runtime
        self._written = written
        self._stopped = stopped
        self._waiting: list[EndedAttempt] = []
        #: When the oldest result that waits was added, seconds, monotonic.
        self._since = 0.0
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._pause = threading.Event()

    def add(self, ended: EndedAttempt) -> None:
        """Add a result, and write it when it cannot wait."""
        outcome = ended.result.outcome
        if may_hold_address([outcome.reason, outcome.answer]):
            ended = dataclasses.replace(ended, cipher=lambda: self._runtime.cipher)
        with self._lock:
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting.append(ended)
            enough = len(self._waiting) >= TOGETHER
        if enough or not ended.result.outcome.delivered:
            self.write()

    @property
    def waiting(self) -> bool:
        """A result is not written yet."""
        return bool(self._waiting)

    def write_old(self) -> None:
        """Write results that have waited long enough, unless another thread is writing."""
        if self._waiting and time.monotonic() - self._since >= LONGEST_WAIT:
            if not self._writing.locked():
                self.write()

    def write(self) -> None:
        """Write the results that wait, and return when all that were added before are written."""
        with self._writing:
            with self._lock:
                batch, self._waiting = self._waiting, []
            written = self._commit(batch) if batch else []
        for ended, one in zip(batch, written, strict=True):
            self._report(ended, one)

    def _commit(self, batch: list[EndedAttempt]) -> list[WrittenResult | Exception]:
        """Write results, and repeat that while the database is unreachable.

        The callbacks have these notifications: a lost result would send them twice.
        """
        group = self._runtime.group_commit(write)
        found: dict[int, WrittenResult | Exception] = {}
        left = list(enumerate(batch))
        for attempt in range(WRITE_ATTEMPTS):
            written = group.write_all([ended for _, ended in left])
            found.update(zip((number for number, _ in left), written, strict=True))
            left = [(number, ended) for number, ended in left if _again(found[number])]
            if not left or self._stopped():
                break
            if attempt and any(may_refuse_value(t.cast(Exception, found[one])) for one, _ in left):
                if self._runtime.database.answers():
                    # No outage: some servers and proxies drop the connection for a text.
                    left = [(number, _without_texts(ended)) for number, ended in left]
            if not attempt:
                for _, ended in left:
                    extra = extra_of(ended.result.claimed, "delivery_unwritten")
                    _log.warning("the database is unreachable; trying again", extra=extra)
            self._pause.wait(WRITE_AGAIN)
        failed = {number: one for number, one in found.items() if isinstance(one, Exception)}
        if not all(map(is_away, failed.values())) or self._seems_up(failed):
            for number, exc in failed.items():
                found[number] = self._write_plainly(batch[number], exc)
        return [found[number] for number in range(len(batch))]

    def _seems_up(self, failed: cabc.Collection[object]) -> bool:
        """Return whether only the statements of these results fail like in an outage."""
        return bool(failed) and not self._stopped() and self._runtime.database.answers()

    def _write_plainly(
        self, ended: EndedAttempt, written: WrittenResult | Exception
    ) -> WrittenResult | Exception:
        """Write less and less of a result that the database, or our own code, refuses.

        Without a result the delivery would be attempted for ever.
        """
        extra = extra_of(ended.result.claimed, "delivery_refused")
        plain = _without_texts(ended)
        for work in (write, write_alone, count_alone):
            if not isinstance(written, Exception):
                break
            _log.warning(
                "notification %d: its result was refused (%s); writing less of it",
                ended.result.claimed.notification.id, words(written), exc_info=written, extra=extra,
            )  # fmt: skip
            written = self._runtime.group_commit(work).write_all([plain])[0]
        return written

    def _report(self, ended: EndedAttempt, written: WrittenResult | Exception) -> None:
        claimed = ended.result.claimed
        number = claimed.notification.id
        if isinstance(written, Exception):
            # The lease ends, and a worker attempts the delivery again.
            extra = extra_of(claimed, "delivery_error")
            _log.error("notification %d: %s", number, words(written), exc_info=written, extra=extra)
            self._written(ended, None)
            return
        if written.status is None:
            extra = extra_of(claimed, "lease_lost")
            _log.warning("notification %d was taken over by another worker", number, extra=extra)
        else:
            level = logging.ERROR if written.status is DeliveryStatus.QUEUED else logging.INFO
            extra = extra_of(claimed, f"delivery_{written.status.value}")
            _log.log(level, "notification %d: %s", number, ended.result.outcome.reason, extra=extra)
        if written.status is DeliveryStatus.QUEUED:
            # It may be an operational event.
            self._runtime.database.notify(Work.OPERATIONAL)
        if written.stopped:
            self._runtime.send(
                subscription_stopped,
                instance_id=claimed.notification.instance_id,
                subscription_id=claimed.subscription_id,
                reason=ended.result.outcome.reason,
            )
        self._written(ended, written)


def write(connection: sa.Connection, ended: cabc.Sequence[EndedAttempt]) -> list[WrittenResult]:
    """Write the results of attempts that ended at about the same time."""
    now = max(one.at for one in ended)
    return results.write(connection, [_stored(connection, one) for one in ended], now)


def write_alone(
    connection: sa.Connection, ended: cabc.Sequence[EndedAttempt]
) -> list[WrittenResult]:
    """Write attempts without their consequences for the subscriptions."""
    return [
        results.write_plainly(connection, _stored(connection, one), one.at, listed=True)
        for one in ended
    ]


def count_alone(
    connection: sa.Connection, ended: cabc.Sequence[EndedAttempt]
) -> list[WrittenResult]:
    """Write only to the deliveries that they were attempted."""
    return [results.write_plainly(connection, one.result, one.at, listed=False) for one in ended]


def _stored(connection: sa.Connection, ended: EndedAttempt) -> AttemptResult:
    """Return a result without persons who were erased, whom a receiver may know from before."""
    result = ended.result
    if ended.cipher is None:
        return result
    instance_id, outcome = result.claimed.notification.instance_id, result.outcome
    reason, answer = privacy.without_persons(
        connection, ended.cipher, instance_id, [outcome.reason, outcome.answer]
    )
    return dataclasses.replace(
        result, outcome=dataclasses.replace(outcome, reason=reason, answer=answer)
    )


def _again(written: WrittenResult | Exception) -> bool:
    """Return whether the database was unreachable, so that the result must be written again."""
    return isinstance(written, Exception) and is_away(written)


def _without_texts(ended: EndedAttempt) -> EndedAttempt:
    """Return an attempt without what the callback or the handler said."""
    outcome = ended.result.outcome
    reason = f"{outcome.status_code or 'failed'}; the database refused to store the rest"
    outcome = dataclasses.replace(outcome, reason=reason, answer="", retry_after=None)
    return dataclasses.replace(ended, result=dataclasses.replace(ended.result, outcome=outcome))


def extra_of(claimed: ClaimedDelivery, action: str) -> dict[str, object]:
    """Return the fields of a log record about a delivery."""
    return {
        "action": action,
        "instance": claimed.notification.instance_id,
        "notification": claimed.notification.id,
        "delivery": claimed.delivery_id,
    }
