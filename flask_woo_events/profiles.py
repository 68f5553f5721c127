"""Profiles: what polling, delivery and the hub need to know of an instance."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

from sqlalchemy import orm

from . import configuration as configurations
from .accounts import FAILURE_POLICY, Caller
from .crypto import Cipher
from .errors import NotFoundError
from .flow.delivery import Target
from .flow.notification import Sender
from .models import Instance, Organization
from .runtime import StoreAccess
from .schemas import key_of, parse_headers


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
    kept = configurations.read(session, cipher, instance_id)
    return StoreAccess(kept["store.url"], kept["oauth.api.key"], kept["oauth.api.secret"])


def load_hub(session: orm.Session, cipher: Cipher, instance_id: int) -> HubProfile:
    """What the hub needs to know of an instance."""
    kept = configurations.read(session, cipher, instance_id)
    return HubProfile(
        access=StoreAccess(kept["store.url"], kept["oauth.api.key"], kept["oauth.api.secret"]),
        filter_nulls=_filters_nulls(kept),
        disabled=session.get_one(Instance, instance_id).disabled,
    )


def _filters_nulls(kept: cabc.Mapping[str, str]) -> bool:
    return kept.get(key_of("filter_nulls"), "true").strip().lower() != "false"


def load_sender(session: orm.Session, instance_id: int) -> Sender:
    """The instance as its notifications name it."""
    instance = session.get_one(Instance, instance_id)
    kept = {entry.key: entry.value for entry in configurations.entries(session, instance_id)}
    return Sender(
        instance_id=instance.id,
        name=instance.name,
        tags=tuple(instance.tags),
        account_id=instance.user_id,
        company_id=instance.organization_id,
        user_id=instance.user_id,
        filter_nulls=_filters_nulls(kept),
    )


def load_policy(session: orm.Session, instance_id: int) -> str | None:
    """What an instance's organisation chose for failed notifications, if anything."""
    instance = session.get_one(Instance, instance_id)
    home = session.get_one(Organization, instance.organization_id)
    chosen = home.settings.get(FAILURE_POLICY)
    return str(chosen) if chosen is not None else None


def load_target(
    session: orm.Session, cipher: Cipher, instance_id: int, retired_after: dt.datetime
) -> Target:
    """What an instance's callback is to be sent with.

    :param retired_after: a signature key that was replaced after that signs too.
    """
    before = configurations.retired_key(session, cipher, instance_id, retired_after)
    kept = configurations.read(session, cipher, instance_id)
    key = kept.get(key_of("signature_key"), "")
    username = kept.get(key_of("basic_username"), "")
    return Target(
        signature_keys=tuple(one for one in (before, key) if one) if key else (),
        headers=parse_headers(kept.get(key_of("callback_headers"), "")),
        basic=(
            (_as_sent(username), _as_sent(kept.get(key_of("basic_password"), "")))
            if username
            else None
        ),
    )


def _as_sent(text: str) -> str:
    """A part of Basic credentials such that requests, which writes Latin-1, sends it as UTF-8."""
    return text.encode().decode("latin-1")


def owner(session: orm.Session, instance_id: int) -> Caller:
    """The caller that an instance belongs to, for commands.

    :raises NotFoundError: there is no such instance.
    """
    instance = session.get(Instance, instance_id)
    if instance is None:
        raise NotFoundError(f"There is no instance {instance_id}; see: flask woo instances list")
    return Caller(organization_id=instance.organization_id, user_id=instance.user_id)
