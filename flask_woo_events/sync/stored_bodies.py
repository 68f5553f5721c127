"""Stored bodies: the rules of one resource, applied to what was read before all else."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Poller
from ..errors import WooEventsError
from ..instances import privacy
from ..runtime import Runtime
from ..values.body_rules import BodyRules
from ..woocommerce import endpoints
from .ledger.observation import Observation


class ErasedMeanwhileError(WooEventsError):
    """A person was erased after these objects were read; nothing was recorded."""


class StoredBodies:
    """What of the bodies of one resource is stored.

    A person may be erased while the resource is read. The erasure then writes its id to the
    poller's row, and what was read before is not recorded until it has passed :meth:`again`.
    """

    def __init__(self, runtime: Runtime, organization_id: int, poller: Poller) -> None:
        self._runtime = runtime
        self._organization_id = organization_id
        self._poller_id = poller.id
        self._names = poller.instance_id, poller.resource
        self._hub_name = endpoints.resolve(poller.configuration["url"]).hub_name
        #: The last erasure whose person the rules know.
        self.erasure_id = 0
        self._rules: BodyRules | None = None
        #: Erased persons as customers: the hash by the id.
        self._customers: dict[int, str] = {}

    def use(self, erasure_id: int | None, found: privacy.Privacy | None) -> None:
        """Use what was loaded.

        :param erasure_id: of the poller's row, read before.
        """
        self.erasure_id = erasure_id or 0
        self._rules = None if found is None else found.rules(*self._names, self._hub_name)

    @property
    def has_rules(self) -> bool:
        """Whether not all of every body is stored."""
        return self._rules is not None

    def require(self, erasure_id: int | None) -> None:
        """Refuse to record what was read before a person was erased.

        :param erasure_id: of the poller's row, which is locked.
        :raises ErasedMeanwhileError: it must pass :meth:`again` first.
        """
        if self.erasure_id < (erasure_id or 0):
            raise ErasedMeanwhileError

    def before(self, kept: t.Any, *, erased: bool) -> t.Any:
        """Return what the ledger kept of an object, without what is not stored any more.

        :param erased: it belongs to a person who was erased.
        """
        if self._rules is None or self._rules.persons is None:
            return kept
        persons = self._rules.persons
        return persons.erased(kept) if erased else persons.without_addresses(kept)

    def apply(self, seen: Observation) -> Observation:
        """Return an observation with the body that is stored."""
        rules, body = self._rules, seen.raw or seen.body
        if rules is None or body is None:
            return seen
        stored, erased = rules.stored(body)
        is_customer = self._hub_name == "customers" and seen.object_id.isdecimal()
        if erased and is_customer and (owner := rules.owner(body)) is not None:
            self._customers[int(seen.object_id)] = owner
        before = functools.partial(rules.as_before, body)
        return dataclasses.replace(seen, body=stored, raw=body, erased=erased, as_before=before)

    def note_customers(self, session: orm.Session) -> None:
        """Store which customers are erased persons, whose later orders are theirs, too."""
        for number, owner in self._customers.items():
            instance_id = self._names[0]
            privacy.note_customer(session, self._organization_id, owner, instance_id, number)

    def again(self, observations: t.Iterable[Observation]) -> list[Observation]:
        """Load the rules again, and return observations with the bodies that are stored now."""
        with self._runtime.database.read() as session:
            query = sa.select(Poller.erasure_id).where(Poller.id == self._poller_id)
            erasure_id = session.scalars(query).one()
            settings = self._runtime.settings
            found = privacy.load(
                session, lambda: self._runtime.cipher, self._organization_id, settings.redact
            )
        self.use(erasure_id, found)
        return [self.apply(seen) for seen in observations]
