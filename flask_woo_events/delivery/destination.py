"""What notifications are sent with: the instance's names, the credentials and retry rules."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import logging

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Instance, Organization
from ..db.states import OWN_CHANNELS
from ..errors import ConfigurationError, InputError, SchemaError, SecretError, WooEventsError
from ..instances import configuration
from ..instances.access import filters_nulls
from ..instances.accounts import FAILURE_POLICY, RETRY_SCHEDULE
from ..instances.requests import format_of, key_of, parse_headers
from ..instances.subscription_credentials import SubscriptionCredentials
from ..runtime import Runtime
from ..settings import Schedule
from ..values.cloud_elements import Format
from ..values.crypto import Cipher
from .claims import ClaimedDelivery
from .payload import Sender
from .retry import RetryRules
from .send import CallbackCredentials

_log = logging.getLogger(__name__)

#: Keys that say what requests to the callback are sent with.
CALLBACK_KEYS = tuple(
    key_of(field)
    for field in ("signature_key", "basic_username", "basic_password", "callback_headers")
)


@dataclasses.dataclass(frozen=True)
class Address:
    """What a delivery is sent with, and its retry rules."""

    sender: Sender
    #: Or why there are none for a callback; a handler needs none.
    credentials: CallbackCredentials | WooEventsError
    rules: RetryRules


#: The address of a delivery, or why it cannot be sent.
AddressOrError = Address | WooEventsError


def addresses(
    session: orm.Session,
    runtime: Runtime,
    claimed: cabc.Iterable[ClaimedDelivery],
    default: RetryRules,
) -> list[AddressOrError]:
    """Return the address of each delivery.

    :param default: the application's retry rules.
    """
    found: dict[int, AddressOrError] = {}
    numbers = []
    for one in claimed:
        numbers.append(one.subscription_id)
        if one.subscription_id in found:
            continue
        try:
            address: AddressOrError = _address(session, runtime, one, default)
        except WooEventsError as exc:
            address = exc
        except sa.exc.SQLAlchemyError:
            raise
        except Exception as exc:
            # One instance must not keep the others from being claimed.
            extra = {"instance": one.notification.instance_id}
            _log.exception("an instance cannot be read", extra=extra)
            address = WooEventsError(
                f"the worker failed with {type(exc).__name__}, which its log shows"
            )
        found[one.subscription_id] = address
    return [found[number] for number in numbers]


def _address(
    session: orm.Session, runtime: Runtime, claimed: ClaimedDelivery, default: RetryRules
) -> Address:
    instance_id, options = claimed.notification.instance_id, claimed.options
    credentials: CallbackCredentials | WooEventsError
    try:
        own = claimed.subscription_id if claimed.channel in OWN_CHANNELS else None
        credentials = load_credentials(
            session, runtime.cipher, instance_id, runtime.retired_after, own
        )
    except SchemaError:
        raise
    except (SecretError, ConfigurationError, InputError) as exc:
        credentials = exc
    return Address(
        load_sender(session, instance_id, options.format),
        credentials,
        load_rules(session, instance_id, default, options.schedule),
    )


def load_sender(session: orm.Session, instance_id: int, chosen: Format | None = None) -> Sender:
    """Return the instance as its notifications name it.

    :param chosen: the format of a subscription, by default that of the instance.
    """
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
        format=chosen or format_of(kept),
    )


def load_rules(
    session: orm.Session,
    instance_id: int,
    default: RetryRules,
    chosen: Schedule | tuple[int, ...] | None = None,
) -> RetryRules:
    """Return the retry rules of a subscription, or of its instance's organisation.

    :param default: the application's, for what the organisation has not set.
    :param chosen: the schedule of the subscription, by default that of the organisation.
    """
    instance = session.get_one(Instance, instance_id)
    kept = session.get_one(Organization, instance.organization_id).settings
    return RetryRules(
        schedule=chosen or kept.get(RETRY_SCHEDULE) or default.schedule,
        policy=kept.get(FAILURE_POLICY) or default.policy,
    )


def load_credentials(
    session: orm.Session,
    cipher: Cipher,
    instance_id: int,
    retired_after: dt.datetime,
    own: int | None = None,
) -> CallbackCredentials:
    """Return what requests to a callback of an instance are sent with.

    :param retired_after: a signature key that was replaced after this date signs, too.
    :param own: the subscription, if it has credentials of its own; otherwise it has those of the
        instance's configuration.
    :raises SecretError: a secret for the callback cannot be decrypted; others are not needed.
    """
    if own is not None:
        stored = configuration.credentials_of(session, cipher, instance_id, own)
        return callback_credentials(SubscriptionCredentials.of(stored), retired_after)
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


def callback_credentials(
    kept: SubscriptionCredentials, retired_after: dt.datetime
) -> CallbackCredentials:
    """Return what requests are sent with to a subscription with these credentials.

    :param retired_after: a signature key that was replaced after this date signs, too.
    """
    return CallbackCredentials(
        signature_keys=kept.signing_keys(retired_after),
        headers=kept.headers,
        basic=(as_sent(kept.username), as_sent(kept.password)) if kept.username else None,
    )


def as_sent(text: str) -> str:
    """Return a part of Basic credentials that ``requests`` sends as UTF-8; it writes Latin-1."""
    return text.encode().decode("latin-1")
