"""The judge: whether an answer is of the store that the ledger knows, before it is recorded.

=====================================  ===============  ===================================
What was read                          What is believed  What is done
=====================================  ===============  ===================================
nothing that differs from the ledger   nothing           nothing is recorded, so no proof
one unique field, or two creation      ours              it is recorded
dates with a name, agree
no agreement                           not clear         the objects are read again with the
                                                         oldest, middle and newest known one;
                                                         then the oldest users are read, then
                                                         known objects of other resources
still none, two contradict             another store     the instance holds
still none                             unknown           the instance holds
another address in ``Link``            a copy, or        the instance holds
                                       another store
ours and others in turn, three times   several stores    the instance holds, until an hour
within an hour                                           without the others
=====================================  ===============  ===================================

An instance that holds records nothing, counts no failure, and asks at each poll whether its store
is back.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import functools
import typing as t

from ..errors import AnotherStoreError, OutOfPatienceError, TransportError
from ..woocommerce.client import StoreClient
from ..woocommerce.connection_check import oldest_users
from .belief import Belief, Doubt, Hold
from .ledger import identity
from .ledger.identity import Evidence
from .ledger.lookup import LedgerView
from .ledger.observation import Observation, ObservationBatch
from .reading.base import Reading

#: Requests for which a proof by other objects holds for objects that cannot show their store.
PROOF_REQUESTS = 5
#: Other resources that are asked for known objects.
OTHERS = 2


class Subject(t.Protocol):
    """One resource of a poll session."""

    @property
    def ledger(self) -> LedgerView: ...
    @property
    def matched(self) -> int: ...


class StoreJudge:
    """Proves for one poll session that the known store answers."""

    def __init__(self, client: StoreClient, belief: Belief) -> None:
        self.belief = belief
        #: Whether an answer of this session was proved.
        self.proved = False
        self._client = client
        self._others: cabc.Sequence[Subject] = ()
        self._reading_of: cabc.Callable[[t.Any], Reading | None] = lambda _: None
        self._proved_at: int | None = None
        client.expected_root = belief.root

    def attend(
        self,
        subjects: cabc.Sequence[Subject],
        reading_of: cabc.Callable[[t.Any], Reading | None],
    ) -> None:
        """Set the resources whose known objects may prove the store, and how each is read."""
        self._others, self._reading_of = subjects, reading_of

    def prove(
        self, subject: Subject, observed: ObservationBatch, evidence: Evidence
    ) -> ObservationBatch:
        """Return what may be recorded of a batch, which is perhaps read again.

        :param evidence: what its objects say.
        :raises AnotherStoreError: the store is not proved to be ours; nothing may be recorded.
        """
        if self.belief.adopting or evidence.is_ours:
            self.proved = True
            return observed
        reading = self._reading_of(subject)
        votes = reading if _can_vote(reading) and reading.anchors else None
        if votes is not None:
            observed, evidence = _read_again(votes, observed)
        if evidence.is_unclear and self._is_proved_elsewhere(subject):
            if votes is None:
                self.proved = True
                return observed
            # These objects were read before the proof, perhaps from another store. If they still
            # show nothing, another store may have answered this time: the proof is repeated.
            observed, evidence = _read_again(votes, observed)
            if evidence.is_unclear and self._is_proved_elsewhere(subject):
                self.proved = True
                return observed
        if evidence.is_ours:
            self.proved = True
            return observed
        verdict = Doubt.ANOTHER if evidence.is_another else Doubt.UNKNOWN
        raise AnotherStoreError(_REASONS[verdict], verdict=verdict)

    def trusts_nothing(self) -> bool:
        """Return whether an answer without any object counts: nothing is known that it lacks."""
        shown = self.proved or any(other.matched for other in self._others)
        return shown or self.belief.adopting or self._knows_nothing

    def probe(self) -> bool:
        """Return whether the store that answers now is ours; at most three requests.

        :raises AnotherStoreError: it gives another address as its own.
        """
        return self._is_proved_elsewhere(None)

    def examine(self, root: str, since: dt.datetime, before: Hold | None) -> Hold:
        """Return the hold of an instance whose store gives another address as its own."""
        self._client.expected_root = ""
        try:
            doubt = Doubt.COPY if self._is_proved_elsewhere(None) else Doubt.ANOTHER
        except OutOfPatienceError:
            raise
        except TransportError:
            doubt = Doubt.UNKNOWN if before is None else before.verdict
        finally:
            self._client.expected_root = self.belief.root
        shown = self._client.hide(root)
        reason = f"the store gives {shown} as its address, not {self.belief.root}: {_WHY[doubt]}"
        return Hold(doubt, since if before is None else before.since, reason, root)

    def learn(self) -> None:
        """Keep the address and the oldest users of a proved store if they are not known yet."""
        if self.belief.users is None:
            self.belief.users = oldest_users(self._client) or ()
        if not self.belief.root and self._client.root:
            self.belief.root = self._client.expected_root = self._client.root

    def _is_proved_elsewhere(self, subject: Subject | None) -> bool:
        """Ask for the oldest users, then for known objects of other resources."""
        made, recent = self._client.requests_made, self._proved_at
        recently = recent is not None and made - recent < PROOF_REQUESTS
        if subject is not None and recently and not _can_vote(self._reading_of(subject)):
            return True
        known = self.belief.users or ()
        shown = oldest_users(self._client) if known else None
        if set(shown or ()) & set(known):
            return self._proved()
        asked = 0
        for other in self._others:
            reading = None if other is subject else self._reading_of(other)
            if not _can_vote(reading) or not reading.anchors or asked >= OTHERS:
                continue
            asked += 1
            if _evidence(reading, reading.read_by_ids(())[0]).is_ours:
                return self._proved()
        return not known and not asked and self._knows_nothing and self._proved()

    @functools.cached_property
    def _knows_nothing(self) -> bool:
        return not any(other.ledger.anchors() for other in self._others)

    def _proved(self) -> bool:
        self._proved_at = self._client.requests_made
        return True


_WHY = {
    Doubt.COPY: "a copy of it answers, or it has moved",
    Doubt.ANOTHER: "another store answers at store.url",
    Doubt.UNKNOWN: "a copy of it or another store answers, or it has moved",
}
_REASONS = {
    Doubt.ANOTHER: "another store answers at store.url: it has other objects under known ids",
    Doubt.UNKNOWN: "nothing that is known of the store is in its answers: another store answers, "
    "it is broken, or the key may no longer read customers",
}


def _can_vote(reading: Reading | None) -> t.TypeGuard[Reading]:
    """Return whether objects can be read by their ids, and say anything about their store."""
    return reading is not None and reading.can_include and reading.listing.collection.dated


def _read_again(reading: Reading, observed: ObservationBatch) -> tuple[ObservationBatch, Evidence]:
    """Read the objects of a batch together with known ones, in the same answers."""
    shown = {seen.object_id for seen in observed.observations if seen.body is not None}
    numbers = sorted(int(one) for one in shown if one.isdecimal())
    revision = reading.ledger.revision
    again, _date = reading.read_by_ids(numbers)
    found = {seen.object_id: seen for seen in again}
    kept = []
    for seen in observed.observations:
        if (fresh := found.get(seen.object_id)) is not None:
            kept.append(dataclasses.replace(fresh, is_new=seen.is_new))
        elif seen.body is None or seen.excluded or not seen.listed:
            kept.append(seen)
    evidence = _evidence(reading, again)
    return dataclasses.replace(observed, observations=kept, read_revision=revision), evidence


def _evidence(reading: Reading, observations: cabc.Sequence[Observation]) -> Evidence:
    before = reading.ledger.known([seen.object_id for seen in observations])
    return identity.gather(before, observations)
