"""The reconciliation: which of a consumer's copies differ from the ledger, and what is sent."""

from __future__ import annotations

import collections
import collections.abc as cabc
import contextlib
import dataclasses
import itertools
import tempfile
import typing as t

import orjson
import sqlalchemy as sa
from sqlalchemy import orm

from ...db.models import Poller
from ...errors import ConflictError, InputError
from ...instances import checkpoint, lifecycle
from ...instances.accounts import Caller
from ...instances.polled_resources import PollerConfiguration
from ...runtime import Runtime
from . import copies, differences, states
from .copies import IdRange, SortedCopies
from .differences import StateDifference, Why
from .resend import AT_ONCE, Outcome, Resender, target_of

#: Bytes of differences in memory; more are in a temporary file.
_IN_MEMORY = 1024 * 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What is compared, and what is done about it."""

    instance_id: int
    resource: str
    #: Only objects with these ids, of which the lines hold all that the consumer has.
    part: IdRange = IdRange()
    #: Send what differs again.
    send: bool = False
    #: To this subscription; ``None``: the first one, or the only one.
    subscription_id: int | None = None


class Reconciliation:
    """The result of a comparison. Close it, which removes its temporary files."""

    def __init__(self, resource: str, compared: int) -> None:
        self.resource = resource
        #: Number of copies.
        self.compared = compared
        #: Number of differences of each kind.
        self.counts = {why.value: 0 for why in Why}
        #: Number of objects that were to be sent again, by what becomes of them.
        self.outcomes: collections.Counter[Outcome] = collections.Counter()
        self._file = _spooled()

    @property
    def count(self) -> int:
        """The number of differences."""
        return sum(self.counts.values())

    def rows(self) -> cabc.Iterator[bytes]:
        """Yield one line of JSON for each difference, by id."""
        self._file.seek(0)
        yield from self._file

    def close(self) -> None:
        """Remove the temporary file."""
        self._file.close()

    def add(self, found: StateDifference) -> None:
        """Add a difference."""
        self.counts[found.why.value] += 1
        self._file.write(_row(found, {}))

    def send(self, resender: Resender) -> None:
        """Send what differs, and note for each object what becomes of it."""
        before, self._file = self._file, _spooled()
        before.seek(0)
        with contextlib.closing(before):
            lines = iter(before)
            while part := [_read(line) for line in itertools.islice(lines, AT_ONCE)]:
                outcomes = resender.send(part)
                for one in part:
                    outcome = outcomes[one.object_id]
                    self.outcomes[outcome] += 1
                    self._file.write(_row(one, {"send": outcome}))
        resender.finish()


def reconcile(
    runtime: Runtime, caller: Caller, request: Request, chunks: cabc.Iterable[bytes]
) -> Reconciliation:
    """Compare a consumer's copies with the ledger, without a request to the store.

    Nothing is sent unless all lines could be read. The copies need about 20 MB of memory, however
    many they are, and files for the rest.

    :param chunks: lines of JSON, see :func:`~.copies.parse`, divided anywhere.
    :raises NotFoundError: the caller's organization has no such instance or subscription.
    :raises InputError: the instance does not poll the resource, or the part or a line is wrong.
    :raises ConflictError: the resource has not been read to its end yet.
    """
    if request.part.is_empty:
        raise InputError("until must be greater than after", "until")
    with runtime.database.read() as session:
        poller = poller_of(session, caller, request.instance_id, request.resource)
        _require_baseline(poller)
        knows_all = not _is_feed(poller)
        target = None
        if request.send:
            target = target_of(session, request.instance_id, request.subscription_id)
    lines = copies.lines_of(chunks)
    with contextlib.ExitStack() as stack:
        had = stack.enter_context(contextlib.closing(SortedCopies()))
        had.add(copies.parse(number, line, request.part) for number, line in lines)
        found = Reconciliation(request.resource, had.count)
        unless_failed = stack.enter_context(contextlib.ExitStack())
        unless_failed.callback(found.close)
        with runtime.database.read() as session:
            there = states.sorted_states(session, poller.id, request.part, dated=had.dated)
            for one in differences.between(had, there, knows_all=knows_all):
                found.add(one)
        if target is not None:
            ours = request.instance_id, poller.id, target
            found.send(Resender(runtime, caller, *ours))
        unless_failed.pop_all()
    return found


def poller_of(session: orm.Session, caller: Caller, instance_id: int, resource: str) -> Poller:
    """Return the poller of a resource.

    :raises NotFoundError: the caller's organization has no such instance.
    :raises InputError: the instance does not poll the resource.
    """
    lifecycle.find(session, caller, instance_id)
    rows = session.scalars(
        sa.select(Poller).where(Poller.instance_id == instance_id, Poller.selected)
    )
    polled = {row.resource: row for row in rows}
    if resource not in polled:
        named = f"the instance polls {', '.join(sorted(polled))}"
        wrong = f"resource {resource[:190]!r} is not polled" if resource else "resource is missing"
        raise InputError(f"{wrong}; {named}", "resource")
    return polled[resource]


def _require_baseline(poller: Poller) -> None:
    """Raise an error if the ledger does not hold all objects yet."""
    if checkpoint.poll_date_of(poller) is None:
        raise ConflictError(
            f"{poller.resource} have not been read to their end yet; compare them once pollDate "
            f"of GET /instances/{poller.instance_id}/checkpoint is not null"
        )


def _is_feed(poller: Poller) -> bool:
    """Return whether a list shows only what changed, so that the ledger does not know the rest."""
    date = checkpoint.poll_date_of(poller)
    assert date is not None
    configuration = PollerConfiguration.model_validate(poller.configuration)
    return configuration.filters(last_poll=date, now=date).feed


def _spooled() -> t.IO[bytes]:
    return t.cast("t.IO[bytes]", tempfile.SpooledTemporaryFile(_IN_MEMORY))


def _row(found: StateDifference, more: dict[str, str]) -> bytes:
    shown = {"objectId": found.object_id, "why": found.why, "version": found.version, **more}
    return orjson.dumps(shown, option=orjson.OPT_APPEND_NEWLINE)


def _read(line: bytes) -> StateDifference:
    row = orjson.loads(line)
    return StateDifference(row["objectId"], Why(row["why"]), row["version"])
