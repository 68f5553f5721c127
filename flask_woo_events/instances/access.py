"""Profiles: what polling, delivery and the hub need to know of an instance."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses

from sqlalchemy import orm

from ..db.models import Instance
from ..errors import NotFoundError
from ..values.crypto import Cipher
from ..woocommerce.access import StoreAccess
from . import configuration
from .accounts import Caller
from .requests import key_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class HubProfile:
    """What the hub needs to know of an instance."""

    access: StoreAccess
    #: Null members are left out of answers (``filter.response.nulls``).
    filter_nulls: bool
    #: Switched off: nothing may be asked of its store.
    disabled: bool


def load_access(session: orm.Session, cipher: Cipher, instance_id: int) -> StoreAccess:
    """Where an instance's store is, and the keys for it."""
    kept = configuration.read(session, cipher, instance_id)
    return StoreAccess(kept["store.url"], kept["oauth.api.key"], kept["oauth.api.secret"])


def load_hub(session: orm.Session, cipher: Cipher, instance_id: int) -> HubProfile:
    """What the hub needs to know of an instance."""
    kept = configuration.read(session, cipher, instance_id)
    return HubProfile(
        access=StoreAccess(kept["store.url"], kept["oauth.api.key"], kept["oauth.api.secret"]),
        filter_nulls=filters_nulls(kept),
        disabled=session.get_one(Instance, instance_id).disabled,
    )


def filters_nulls(kept: cabc.Mapping[str, str]) -> bool:
    return kept.get(key_of("filter_nulls"), "true").strip().lower() != "false"


def owner(session: orm.Session, instance_id: int) -> Caller:
    """The caller that an instance belongs to, for commands.

    :raises NotFoundError: there is no such instance.
    """
    instance = session.get(Instance, instance_id)
    if instance is None:
        raise NotFoundError(f"There is no instance {instance_id}; see: flask woo instances list")
    return Caller(organization_id=instance.organization_id, user_id=instance.user_id)
