"""Hooks: the addresses at which the webhooks of stores arrive, and the secrets they sign with."""

from __future__ import annotations

import base64
import binascii
import collections.abc as cabc
import dataclasses
import hashlib
import hmac

import itsdangerous

from ..values.validation import whole_number

#: The path below the API's prefix; the element's key is part of the documented path.
PATH = "/events/woocommercerest"
_SALT = "flask_woo_events.hooks"


@dataclasses.dataclass(frozen=True, slots=True)
class Hook:
    """Which instance a webhook is for, and which of its secrets it has."""

    instance_id: int
    #: Grows when an instance's secret is replaced.
    epoch: int


def sign(keys: cabc.Sequence[str], hook: Hook) -> str:
    """The last part of the address: the instance's id, which nobody else can make.

    :param keys: ``WOO_EVENTS_ENCRYPTION_KEYS``, oldest first.
    """
    return str(_serializer(keys).dumps([hook.instance_id, hook.epoch]))


def read(keys: cabc.Sequence[str], text: str) -> Hook | None:
    """What an address says; ``None`` when we did not make it."""
    try:
        number, epoch = _serializer(keys).loads(text)
    except (itsdangerous.BadSignature, ValueError, TypeError):
        return None
    return Hook(number, epoch)


def read_base64(text: str) -> int | None:
    """The instance of the documented routing by Base64 (Cloud Elements: ``/events/{key}/{id}``)."""
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return whole_number(plain)


def secrets(keys: cabc.Sequence[str], hook: Hook) -> tuple[str, ...]:
    """The secrets that a webhook of this hook may have, oldest first; a new one gets the last.

    They are derived, so that none has to be kept, and each encryption key has its own: while a
    key is being replaced both are good.
    """
    message = f"hook:{hook.instance_id}:{hook.epoch}".encode()
    return tuple(hmac.new(key.encode(), message, hashlib.sha256).hexdigest() for key in keys)


def url(base: str, keys: cabc.Sequence[str], hook: Hook) -> str:
    """The whole address for a store.

    :param base: where the API is to be reached from outside, with its prefix.
    """
    return f"{base.rstrip('/')}{PATH}/{sign(keys, hook)}"


def _serializer(keys: cabc.Sequence[str]) -> itsdangerous.URLSafeSerializer:
    return itsdangerous.URLSafeSerializer(list(keys), salt=_SALT)
