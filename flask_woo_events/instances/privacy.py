"""Privacy: what of the objects of an organization's stores is not stored, and who was erased.

``Organization.privacy`` holds the key of the hashes, encrypted, and each list of fields that
``WOO_EVENTS_REDACT`` ever had: a row of the ledger that an earlier list explains has not changed.
"""

from __future__ import annotations

import base64
import collections.abc as cabc
import dataclasses
import datetime as dt
import functools
import secrets
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.database import Database
from ..db.models import Erasure, Instance, Organization, Suppression
from ..errors import ConfigurationError, NotFoundError, SecretError
from ..values import hidden_fields
from ..values.body_rules import BodyRules
from ..values.crypto import Cipher, KeyedHash
from ..values.hidden_fields import HiddenField
from ..values.persons import ERASED, Persons, may_hold_address

#: Members of ``Organization.privacy``.
_KEY, _LISTS = "key", "hidden"
_KEY_BYTES = 32
#: What an erasure did.
ERASE, LIFT = "erase", "lift"

Fields = tuple[HiddenField, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    """What of the objects of an organization's stores is not stored."""

    keyed: KeyedHash
    hidden: Fields = ()
    #: The lists of earlier settings, the newest first.
    earlier: tuple[Fields, ...] = ()
    persons: Persons | None = None
    #: The ids of erased persons as customers, by instance.
    customers: cabc.Mapping[int, frozenset[int]] = dataclasses.field(default_factory=dict)

    def rules(self, instance_id: int, resource: str, hub_name: str) -> BodyRules:
        """Return the rules for one resource.

        :param resource: its name in the configuration.
        :param hub_name: that of its collection.
        """
        names = {None, resource, hub_name}

        def steps(fields: Fields) -> tuple[tuple[str, ...], ...]:
            return tuple(one.steps for one in fields if one.resource in names)

        hidden = steps(self.hidden)
        others = dict.fromkeys(steps(one) for one in self.earlier)
        is_orders = hub_name == "orders"
        return BodyRules(
            keyed=self.keyed,
            hidden=hidden,
            earlier=tuple(one for one in others if one != hidden),
            persons=self.persons,
            customers=self.customers.get(instance_id, frozenset()) if is_orders else frozenset(),
        )


def parsed(texts: cabc.Iterable[str]) -> Fields:
    """Return the fields of ``WOO_EVENTS_REDACT``.

    :raises ConfigurationError: an entry is no path of a field.
    """
    found = []
    for text in texts:
        try:
            found.append(hidden_fields.parsed(text))
        except ValueError as exc:
            raise ConfigurationError(f"WOO_EVENTS_REDACT: {text!r} cannot be used: {exc}") from exc
    return tuple(found)


def load(
    session: orm.Session,
    cipher: cabc.Callable[[], Cipher],
    organization_id: int,
    hidden: tuple[str, ...],
) -> Privacy | None:
    """Return what is not stored; ``None`` without such fields and persons.

    :param hidden: ``WOO_EVENTS_REDACT``, which :func:`register` has noted.
    """
    query = (
        sa.select(Organization.privacy, Suppression.address_hash, Suppression.customers)
        .outerjoin(Suppression, Suppression.organization_id == Organization.id)
        .where(Organization.id == organization_id)
    )
    rows = session.execute(query).all()
    kept = rows[0].privacy if rows else None
    if kept is None:
        return None
    lists = [tuple(one) for one in kept.get(_LISTS, ())]
    hashes = [row.address_hash for row in rows if row.address_hash is not None]
    if not lists and not hashes:
        return None
    keyed = _keyed(cipher(), kept)
    customers: dict[int, frozenset[int]] = {}
    for row in rows:
        for instance, ids in (row.customers or {}).items():
            customers[int(instance)] = customers.get(int(instance), frozenset()).union(ids)
    others = [one for one in reversed([(), *lists]) if one != hidden] if lists else []
    return Privacy(
        keyed=keyed,
        hidden=_parsed(hidden),
        earlier=tuple(map(_parsed, others)),
        persons=Persons(hashes, keyed) if hashes else None,
        customers=customers,
    )


_parsed = functools.lru_cache(256)(parsed)


def register(
    database: Database, cipher: Cipher, organization_id: int, hidden: tuple[str, ...]
) -> None:
    """Note the list of fields that are hidden from now on, before anything is stored by it."""
    with database.read() as session:
        kept = session.get_one(Organization, organization_id).privacy or {}
    if list(hidden) in kept.get(_LISTS, ()):
        return
    with database.write() as session:
        row = _locked(session, organization_id)
        kept = _with_key(row, cipher)
        if list(hidden) not in kept.get(_LISTS, []):
            row.privacy = kept | {_LISTS: [*kept.get(_LISTS, []), list(hidden)]}


def keyed_hash(session: orm.Session, cipher: Cipher, organization_id: int) -> KeyedHash:
    """Return the hash of an organization, whose key is made when it is first needed.

    :raises SecretError: the key cannot be decrypted.
    """
    kept = session.get_one(Organization, organization_id).privacy
    if not kept or _KEY not in kept:
        row = _locked(session, organization_id)
        row.privacy = kept = _with_key(row, cipher)
        session.flush()
    return _keyed(cipher, kept)


def hash_for_search(session: orm.Session, cipher: Cipher, organization_id: int) -> KeyedHash:
    """Return the hash of an organization, or one for a single search that stores nothing."""
    kept = session.get_one(Organization, organization_id).privacy
    return _keyed(cipher, kept) if kept else KeyedHash(secrets.token_bytes(_KEY_BYTES))


def rotate(session: orm.Session, cipher: Cipher) -> tuple[int, list[str]]:
    """Encrypt the keys of all organizations again with the newest key.

    :return: how many, and the names of organizations whose key cannot be decrypted, which stays.
    """
    query = sa.select(Organization).where(Organization.privacy.is_not(None))
    rows = session.scalars(query.order_by(Organization.id).with_for_update()).all()
    lost = []
    for row in rows:
        kept = t.cast("dict[str, t.Any]", row.privacy)
        try:
            row.privacy = kept | {_KEY: cipher.rotate(kept[_KEY])}
        except SecretError:
            lost.append(row.name)
    return len(rows) - len(lost), lost


def suppress(
    session: orm.Session, organization_id: int, address_hash: str, now: dt.datetime
) -> Suppression:
    """Store that nothing of a person is stored from now on, unless it is stored already."""
    _locked(session, organization_id)
    row = _suppression(session, organization_id, address_hash)
    if row is None:
        row = Suppression(
            organization_id=organization_id, address_hash=address_hash, created_at=now, customers={}
        )
        session.add(row)
        session.flush()
    return row


def add_customers(
    session: orm.Session, suppression_id: int, instance_id: int, ids: cabc.Iterable[int]
) -> None:
    """Store the ids of a person as a customer of a store, whose orders are the person's, too."""
    row = session.get(Suppression, suppression_id, with_for_update=True, populate_existing=True)
    if row is None:
        return  # It was lifted meanwhile.
    key = str(instance_id)
    row.customers = {**row.customers, key: sorted({*row.customers.get(key, ()), *ids})}


def note_customer(
    session: orm.Session, organization_id: int, address_hash: str, instance_id: int, number: int
) -> None:
    """Store the id of a person as a customer of a store, unless it is stored already."""
    row = _suppression(session, organization_id, address_hash)
    if row is not None and number not in row.customers.get(str(instance_id), ()):
        add_customers(session, row.id, instance_id, [number])


def lift(
    session: orm.Session, organization_id: int, address_hash: str, asked_by: str, now: dt.datetime
) -> None:
    """End the suppression of a person: what the store shows of them is stored again.

    :raises NotFoundError: the person is not suppressed.
    """
    _locked(session, organization_id)
    row = _suppression(session, organization_id, address_hash)
    if row is None:
        raise NotFoundError("This person is not suppressed; nothing was changed")
    session.delete(row)
    # One that was stopped must begin again: what is recorded from now on has the person.
    session.execute(
        sa.update(Erasure)
        .where(
            Erasure.organization_id == organization_id,
            Erasure.address_hash == address_hash,
            Erasure.ended_at.is_(None),
        )
        .values(ended_at=now)
    )
    session.add(
        Erasure(
            organization_id=organization_id, action=LIFT, address_hash=address_hash,
            asked_by=asked_by, began_at=now, ended_at=now, counts={}, position={},
        )
    )  # fmt: skip


def without_persons(
    session: orm.Session | sa.Connection,
    cipher: cabc.Callable[[], Cipher],
    instance_id: int,
    value: t.Any,
) -> t.Any:
    """Return what a store or a receiver said without texts that hold an erased person's address.

    Without the key of the hashes, nobody knows whose address it is: all such texts are erased.
    """
    if not may_hold_address(value):
        return value
    query = (
        sa.select(Organization.privacy, Suppression.address_hash)
        .join(Suppression, Suppression.organization_id == Organization.id)
        .join(Instance, Instance.organization_id == Organization.id)
        .where(Instance.id == instance_id)
    )
    rows = session.execute(query).all()
    if not rows:
        return value
    try:
        keyed = _keyed(cipher(), rows[0].privacy)
    except (ConfigurationError, SecretError):
        return _without_addresses(value)
    return Persons([row.address_hash for row in rows], keyed).without_addresses(value)


def _without_addresses(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {name: _without_addresses(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_addresses(one) for one in value]
    return ERASED if may_hold_address(value) else value


def organization_of(session: orm.Session, instance_id: int) -> int:
    """Return the organization of an instance."""
    query = sa.select(Instance.organization_id).where(Instance.id == instance_id)
    return session.scalars(query).one()


def _suppression(
    session: orm.Session, organization_id: int, address_hash: str
) -> Suppression | None:
    query = sa.select(Suppression).where(
        Suppression.organization_id == organization_id, Suppression.address_hash == address_hash
    )
    return session.scalars(query).one_or_none()


def _locked(session: orm.Session, organization_id: int) -> Organization:
    return session.get_one(
        Organization, organization_id, with_for_update=True, populate_existing=True
    )


def _with_key(row: Organization, cipher: Cipher) -> dict[str, t.Any]:
    kept = dict(row.privacy or {})
    if _KEY not in kept:
        key = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
        kept[_KEY] = cipher.encrypt(key)
    return kept


def _keyed(cipher: Cipher, kept: cabc.Mapping[str, t.Any]) -> KeyedHash:
    return KeyedHash(base64.b64decode(cipher.decrypt(kept[_KEY])))
