"""Profiles: what polling and delivery need to know of an instance."""

from __future__ import annotations

import dataclasses

from sqlalchemy import orm

from . import configuration as configurations
from .accounts import Caller
from .crypto import Cipher
from .errors import NotFoundError
from .flow.delivery import Target
from .models import Instance
from .runtime import StoreAccess
from .schemas import key_of, parse_headers


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstanceProfile:
    """What the flow needs to know of an instance."""

    id: int
    organization_id: int
    user_id: int
    name: str
    tags: tuple[str, ...]
    filter_nulls: bool
    refresh_minutes: int


def load_access(session: orm.Session, cipher: Cipher, instance_id: int) -> StoreAccess:
    """Where an instance's store is, and the keys for it."""
    kept = configurations.read(session, cipher, instance_id)
    return StoreAccess(kept["store.url"], kept["oauth.api.key"], kept["oauth.api.secret"])


def load_profile(session: orm.Session, instance_id: int) -> InstanceProfile:
    """What the flow needs to know of an instance."""
    instance = session.get_one(Instance, instance_id)
    kept = {entry.key: entry.value for entry in configurations.entries(session, instance_id)}
    return InstanceProfile(
        id=instance.id,
        organization_id=instance.organization_id,
        user_id=instance.user_id,
        name=instance.name,
        tags=tuple(instance.tags),
        filter_nulls=kept.get("filter.response.nulls", "true").strip().lower() != "false",
        refresh_minutes=instance.refresh_minutes,
    )


def load_target(session: orm.Session, cipher: Cipher, instance_id: int) -> Target:
    """What an instance's callback is to be sent with."""
    kept = configurations.read(session, cipher, instance_id)
    key = kept.get(key_of("signature_key"), "")
    username = kept.get(key_of("basic_username"), "")
    return Target(
        signature_keys=(key,) if key else (),
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
