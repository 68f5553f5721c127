"""Body rules: what of the bodies of one resource is stored and sent."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import typing as t

from . import hidden_fields
from .crypto import KeyedHash
from .hidden_fields import Steps
from .persons import Persons

Body = cabc.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BodyRules:
    """What of the bodies of one resource is stored: not all fields, and not all persons."""

    keyed: KeyedHash
    #: The fields that are hidden.
    hidden: tuple[Steps, ...] = ()
    #: Those of earlier settings, by which rows of the ledger may have been written.
    earlier: tuple[tuple[Steps, ...], ...] = ()
    #: Persons who were erased.
    persons: Persons | None = None
    #: The ids of those persons as customers; only for orders.
    customers: frozenset[int] = frozenset()

    def stored(self, body: Body) -> tuple[Body, bool]:
        """Return a body as it is stored, and whether it is that of an erased person."""
        return self._by(self.hidden, body)

    def owner(self, body: Body) -> str | None:
        """Return the hash of the erased person whose e-mail field a body has."""
        return None if self.persons is None else self.persons.owner(body)

    def as_before(self, body: Body) -> cabc.Iterator[Body]:
        """Yield a body as it may have been stored under earlier rules."""
        if self.persons is not None:
            yield hidden_fields.sealed(body, self.hidden, self.keyed)
        for fields in self.earlier:
            yield self._by(fields, body)[0]
            if self.persons is not None:
                yield hidden_fields.sealed(body, fields, self.keyed)

    def _by(self, fields: tuple[Steps, ...], body: Body) -> tuple[Body, bool]:
        found = hidden_fields.sealed(body, fields, self.keyed)
        persons = self.persons
        if persons is None:
            return found, False
        # By the body as it was read, whose e-mail fields are not hidden.
        customer = body.get("customer_id")
        if persons.own(body) or (isinstance(customer, int) and customer in self.customers):
            return persons.erased(found), True
        return persons.without_addresses(found), False
