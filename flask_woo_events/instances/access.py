"""What polling and the hub need of an instance: store, keys, options and owner."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Instance, Organization
from ..errors import NotFoundError
from ..values.crypto import Cipher
from ..woocommerce.access import StoreAccess
from . import configuration
from .accounts import Caller
from .requests import key_of
from .specification import CONNECTION_KEYS, access_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class HubProfile:
    """An instance as the hub needs it."""

    access: StoreAccess
    #: Leave out null members of answers (``filter.response.nulls``).
    filter_nulls: bool
    #: The instance is paused: no request may go to its store.
    disabled: bool


def load_access(session: orm.Session, cipher: Cipher, instance_id: int) -> StoreAccess:
    """Return the address and the keys of an instance's store.

    :raises NotFoundError: the instance was deleted.
    :raises SecretError: the keys cannot be decrypted; other secrets are not needed.
    """
    kept = configuration.read(session, cipher, instance_id)
    if not kept.texts:
        raise NotFoundError("No instance found")
    return access_of(kept.only(CONNECTION_KEYS), _rest(session, instance_id))


def _rest(session: orm.Session, instance_id: int) -> str:
    """Return where the store's REST API was found."""
    return str(session.get_one(Instance, instance_id).store_facts.get("rest", ""))


def load_hub(session: orm.Session, cipher: Cipher, instance_id: int) -> HubProfile:
    """Return an instance as the hub needs it.

    :raises SecretError: the keys of the store cannot be decrypted.
    """
    kept = configuration.read(session, cipher, instance_id)
    return HubProfile(
        access=access_of(kept.only(CONNECTION_KEYS), _rest(session, instance_id)),
        filter_nulls=filters_nulls(kept.texts),
        disabled=session.get_one(Instance, instance_id).disabled,
    )


def filters_nulls(kept: cabc.Mapping[str, str]) -> bool:
    """Return whether a configuration leaves null members out of answers."""
    # Earlier releases stored the other words that a request may use.
    text = kept.get(key_of("filter_nulls"), "true").strip().lower()
    return text not in ("false", "no", "off", "0", "f", "n")


def owner(session: orm.Session, instance_id: int) -> Caller:
    """Return the owner of an instance as a caller, for commands.

    :raises NotFoundError: there is no such instance.
    """
    instance = session.get(Instance, instance_id)
    if instance is None:
        raise NotFoundError(f"There is no instance {instance_id}; see: flask woo instances list")
    return Caller(organization_id=instance.organization_id, user_id=instance.user_id)


def of_organization(session: orm.Session, name: str) -> dict[int, Caller]:
    """Return the instances of an organization, each with its owner as a caller, for commands."""
    query = (
        sa.select(Instance.id, Instance.organization_id, Instance.user_id)
        .join(Organization, Organization.id == Instance.organization_id)
        .where(Organization.name == name)
        .order_by(Instance.id)
    )
    return {
        row.id: Caller(organization_id=row.organization_id, user_id=row.user_id)
        for row in session.execute(query)
    }
