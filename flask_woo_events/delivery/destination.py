"""What an instance's notifications are sent with: its names, credentials and retry rules."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import orm

from ..db.models import Instance, Organization
from ..instances import configuration
from ..instances.access import filters_nulls
from ..instances.accounts import FAILURE_POLICY, RETRY_SCHEDULE
from ..instances.requests import format_of, key_of, parse_headers
from ..values.cloud_elements import Format
from ..values.crypto import Cipher
from .payload import Sender
from .retry import RetryRules
from .send import CallbackCredentials

#: Keys that say what requests to the callback are sent with.
CALLBACK_KEYS = tuple(
    key_of(field)
    for field in ("signature_key", "basic_username", "basic_password", "callback_headers")
)


def load_sender(session: orm.Session, instance_id: int) -> Sender:
    """Return the instance as its notifications name it."""
    instance = session.get_one(Instance, instance_id)
    kept = {entry.key: entry.value for entry in configuration.entries(session, instance_id)}
    return Sender(
        instance_id=instance.id,
        name=instance.name,
        tags=tuple(instance.tags),
        account_id=instance.user_id,
        company_id=instance.organization_id,
        user_id=instance.user_id,
        filter_nulls=filters_nulls(kept),
        extended=format_of(kept) is Format.EXTENDED,
    )


def load_rules(session: orm.Session, instance_id: int, default: RetryRules) -> RetryRules:
    """Return the retry rules of an instance's organisation.

    :param default: the application's, for what the organisation has not set.
    """
    instance = session.get_one(Instance, instance_id)
    chosen = session.get_one(Organization, instance.organization_id).settings
    return RetryRules(
        schedule=chosen.get(RETRY_SCHEDULE) or default.schedule,
        policy=chosen.get(FAILURE_POLICY) or default.policy,
    )


def load_credentials(
    session: orm.Session, cipher: Cipher, instance_id: int, retired_after: dt.datetime
) -> CallbackCredentials:
    """Return what requests to an instance's callback are sent with.

    :param retired_after: a signature key that was replaced after this date signs, too.
    :raises SecretError: a secret for the callback cannot be decrypted; others are not needed.
    """
    before = configuration.retired_key(session, cipher, instance_id, retired_after)
    kept = configuration.read(session, cipher, instance_id).only(CALLBACK_KEYS)
    key = kept.get(key_of("signature_key"), "")
    username = kept.get(key_of("basic_username"), "")
    return CallbackCredentials(
        signature_keys=tuple(one for one in (before, key) if one) if key else (),
        headers=parse_headers(kept.get(key_of("callback_headers"), "")),
        basic=(
            (as_sent(username), as_sent(kept.get(key_of("basic_password"), "")))
            if username
            else None
        ),
    )


def as_sent(text: str) -> str:
    """Return a part of Basic credentials that ``requests`` sends as UTF-8; it writes Latin-1."""
    return text.encode().decode("latin-1")
