"""The gate: every DELETED event passes it, whatever found that an object is missing.

==============================================  ==================  ============================
What is missing                                 What is believed    What is sent
==============================================  ==================  ============================
up to 20, or a fifth of a resource; up to half  they are deleted    DELETED, after a second
of an instance of five or more                                      witness
more                                            nothing yet         DELETED of those that a
                                                                    reading ten minutes later
                                                                    misses, too
all of an instance of up to 20                  nothing yet         the same
all of a resource, or of an instance, of more   nothing             DELETED after ``flask woo
than 20                                                             instances accept``
missing, but at its own address                 hidden, or out of   UPDATED if it changed
                                                the filter
missing in a poll with an answer of a cache, or nothing             nothing
with one that a failure may have cut
==============================================  ==================  ============================

What is missing counts together with the DELETED events of the last 24 hours, and at least as the
store's own count says. The witnesses are a list that lacks an object, or shows it in the trash,
and its own address.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

from ..db.states import PollerState
from ..errors import AnotherStoreError, OutOfPatienceError, TransportError
from .belief import Belief
from .poll_session import PollSession
from .reading import children, full, missing
from .reading.base import Batch
from .resource_run import ResourceRun

#: More missing objects than this, and more than this part of a resource, wait.
MANY, MANY_PART = 20, 0.2
#: More than this part of an instance waits, if it has at least so many objects.
INSTANCE_PART, INSTANCE_SIZE = 0.5, 5
#: How long they must be missing: the store may be in the middle of a move or a restore.
SECOND_READING = dt.timedelta(minutes=10)


@dataclasses.dataclass(frozen=True, slots=True)
class MissingObjects:
    """What one resource lacks."""

    #: Live objects in the ledger.
    known: int
    #: Those of them that a list lacks.
    gone: frozenset[str]
    #: As many as count: by the store's own count, with those sent in the last 24 hours.
    count: int
    #: Sent in the last 24 hours.
    sent: int

    @property
    def is_many(self) -> bool:
        """Whether it is a mass deletion of this resource alone."""
        return self.count > MANY and self.count > (self.known + self.sent) * MANY_PART

    @property
    def is_all_of_many(self) -> bool:
        """Whether nothing is left of more than a few objects."""
        return len(self.gone) > MANY and len(self.gone) >= self.known


class Gate:
    """Decides for one session which missing objects are deleted.

    :param now: our own clock.
    """

    def __init__(self, poll: PollSession, belief: Belief, now: dt.datetime) -> None:
        self._poll = poll
        self._belief = belief
        self._now = now
        #: Resources of which something waits, each with the reason.
        self.waiting: dict[int, str] = {}
        #: Whether the newest known object of a resource may be deleted: perhaps by a restore.
        self.newest_gone = False

    def weigh(self) -> list[tuple[ResourceRun, list[str]]]:
        """Return the missing objects of each resource that may be deleted; hold the others."""
        runs = [run for run in self._poll.runs if run.followups.gone and run.reading is not None]
        if not runs or self._poll.client.doubtful:
            return []
        self._count()
        found = {run.stream.poller_id: self._missing(run) for run in self._complete()}
        total, known = (
            sum(one.count for one in found.values()),
            sum(one.known + one.sent for one in found.values()),
        )
        everything = sum(len(one.gone) for one in found.values()) >= sum(
            one.known for one in found.values()
        )
        much = known >= INSTANCE_SIZE and total > known * INSTANCE_PART
        passed = []
        for run in runs:
            lacks = found.get(run.stream.poller_id)
            if lacks is None or not lacks.gone:
                continue
            ripe = lacks.gone
            if (everything or much or lacks.is_many) and not self._belief.adopting:
                nothing_left = (everything and total > MANY) or lacks.is_all_of_many
                ripe = self._ripe(run, lacks.gone, nothing_left)
                self._hold(run, lacks, ripe, nothing_left)
            if ripe:
                passed.append((run, sorted(ripe)))
        return passed

    def confirm(self, run: ResourceRun, gone: cabc.Sequence[str]) -> cabc.Generator[Batch]:
        """Yield what the second witness says of missing objects."""
        reading, cursor = run.reading, run.recorder.cursor
        assert reading is not None
        newest = {str(number) for number in reading.anchors[-1:]}
        self.newest_gone |= not run.by_hint and not newest.isdisjoint(gone)
        if reading.by_parent:
            batches = children.confirm(reading, cursor, gone)
        elif reading.can_include:
            batches = missing.confirm(reading, cursor, gone, run.followups.trashed)
        else:
            batches = full.confirm(reading, cursor, gone)
        for batch in batches:
            if self._poll.client.doubtful:
                return  # A witness is a cache, or failed.
            yield batch

    def _complete(self) -> list[ResourceRun]:
        """Return the resources that were read completely once."""
        both = (*self._poll.runs, *self._poll.waiting)
        return [run for run in both if run.recorder.cursor.state is PollerState.ACTIVE]

    def _count(self) -> None:
        """Compare the store's counts with the ledgers': of all resources if much may be missing.

        The others may have been read before the store lost its objects. So the largest is counted
        now, at the cost of one request; it shows whether the others have to be counted, too.
        """
        counted = [run for run in self._complete() if self._can_count(run)]
        counted.sort(key=lambda run: run.ledger.count_live(), reverse=True)
        for run in counted[:1]:
            self._note_shortfall(run)
        unnamed = any(run.followups.shortfall > len(run.followups.gone) for run in counted)
        if unnamed or any(run.followups.lacks_anchors for run in self._poll.runs):
            for run in counted[1:]:
                self._note_shortfall(run)

    def _can_count(self, run: ResourceRun) -> bool:
        reading = self._poll.reading_of(run)
        return reading is not None and reading.can_include and not reading.listing.is_feed

    def _note_shortfall(self, run: ResourceRun) -> None:
        """Note how many objects of a resource the store lacks by its own count."""
        reading = self._poll.reading_of(run)
        assert reading is not None
        try:
            total = reading.listing.total()
        except (AnotherStoreError, OutOfPatienceError):
            raise
        except TransportError:
            return
        hidden = int(run.recorder.cursor.memory.get("hidden", 0))
        if total is not None:
            lacking = run.ledger.count_live() + hidden - total
            run.followups.shortfall = max(run.followups.shortfall, lacking)

    def _missing(self, run: ResourceRun) -> MissingObjects:
        followups, known = run.followups, run.ledger.count_live()
        held = run.ledger.known(sorted(followups.gone)) if followups.gone else {}
        gone = frozenset(object_id for object_id, one in held.items() if one.live)
        sent = run.recorder.deleted_lately(self._now)
        return MissingObjects(known, gone, max(len(gone), followups.shortfall) + sent, sent)

    def _ripe(self, run: ResourceRun, gone: frozenset[str], all_gone: bool) -> frozenset[str]:
        """Return those that a person has accepted, or that an earlier reading missed, too."""
        held = run.ledger.known(sorted(gone))
        accepted = self._belief.accepted
        return frozenset(
            object_id
            for object_id, known in held.items()
            if known.held_at is not None
            and (
                (accepted is not None and known.held_at <= accepted)
                or (not all_gone and self._now - known.held_at >= SECOND_READING)
            )
        )

    def _hold(
        self, run: ResourceRun, lacks: MissingObjects, ripe: frozenset[str], all_gone: bool
    ) -> None:
        waiting = lacks.gone - ripe
        if not waiting:
            return
        held = run.ledger.known(sorted(waiting)).values()
        since = min((one.held_at for one in held if one.held_at is not None), default=self._now)
        minutes = int(SECOND_READING.total_seconds()) // 60
        until = (
            ", and nothing else is left: it is empty, or broken. No event was sent. If they were "
            "deleted"
            if all_gone
            else f"; events are sent if they stay missing for {minutes} minutes. To send them at "
            "the next poll"
        )
        reason = (
            f"{len(lacks.gone)} of {lacks.known} {run.stream.resource} are missing from the store "
            f"since {since:%Y-%m-%d %H:%M} UTC{until}: "
            f"flask woo instances accept {run.stream.instance_id}"
        )
        run.recorder.hold(waiting, reason, self._now)
        self.waiting[run.stream.poller_id] = reason
