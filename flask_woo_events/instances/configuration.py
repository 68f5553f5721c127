"""The flat ``configuration`` of an instance: kept as text, its secrets encrypted."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import json

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Configuration
from ..errors import NotFoundError
from ..values.crypto import Cipher
from ..values.validation import MASK


@dataclasses.dataclass(frozen=True, kw_only=True)
class Definition:
    """What a key is called and how a form shows it (Cloud Elements, element export of 2020)."""

    name: str
    type: str = "TEXTFIELD_128"
    secret: bool = False
    required: bool = False
    default: str = ""
    description: str = ""
    #: Place in a form (``displayOrder``).
    order: int = 0
    #: Among the optional fields, which a form shows on request (``hideFromConsole``).
    hidden: bool = False


#: The keys that mean something to us, in the order of the documented form.
DEFINITIONS: dict[str, Definition] = {
    "store.url": Definition(
        name="Store URL", type="TEXTFIELD_1000", required=True,
        description="The url of your WooCommerce Storefront",
        order=1,
    ),
    "oauth.api.key": Definition(
        name="OAuth API Key", type="PASSWORD", secret=True, required=True,
        description="The Consumer Key of WooCommerce > Settings > Advanced > REST API",
        order=2,
    ),
    "oauth.api.secret": Definition(
        name="OAuth API Secret", type="PASSWORD", secret=True, required=True,
        description="The Consumer Secret that belongs to it",
        order=3,
    ),
    "filter.response.nulls": Definition(
        name="Filter null values from the response", type="BOOLEAN", default="true",
        description="Leaves null fields out of the raw records and the answers of the hub",
        order=51,
    ),
    "event.notification.enabled": Definition(
        name="Events Enabled", type="BOOLEAN", default="false",
        description="Identifies that events are enabled for the element instance",
        order=102,
    ),
    "event.vendor.type": Definition(
        name="Event Type", type="TEXTFIELD_32", default="polling",
        description="The type of event, either polling or webhook",
        order=100,
    ),
    "event.notification.type": Definition(
        name="Event Notification Type", type="TEXTFIELD_32", default="webhook",
        description="How notifications go out; webhook is the only way",
        order=108, hidden=True,
    ),
    "event.notification.callback.url": Definition(
        name="Event Notification Callback URL", type="TEXTFIELD_1000",
        description="The URL where the events are sent",
        order=103,
    ),
    "event.notification.signature.key": Definition(
        name="Callback Notification Signature Key", secret=True,
        description="A key that signs the event notifications",
        order=104, hidden=True,
    ),
    "event.poller.refresh_interval": Definition(
        name="Event poller refresh interval (mins)", default="15",
        description="How often the poller checks for changes, in minutes",
        order=101,
    ),
    "event.webhook.reconcile_interval": Definition(
        name="Event webhook reconcile interval (mins)", default="60",
        description="How often an instance for webhooks is polled besides, in minutes; 0 for never",
        order=107, hidden=True,
    ),
    "event.poller.configuration": Definition(
        name="Configure Polling", type="TEXTAREA",
        description="The resources to poll, as JSON",
        order=105,
    ),
    "event.poller.urls": Definition(
        name="Event poller URLs", type="TEXTAREA",
        description="The older form of the resources to poll",
        order=106, hidden=True,
    ),
    "event.notification.callback.headers": Definition(
        name="Event Notification Callback Headers", type="TEXTFIELD_1000", secret=True,
        description="Headers to send with each notification, lines of Name: value",
        order=12,
    ),
    "event.notification.basic.username": Definition(
        name="Event Notification Basic Authentication UserName", type="TEXTFIELD_1000",
        description="User name for the callback",
        order=110,
    ),
    "event.notification.basic.password": Definition(
        name="Event Notification Basic Authentication Password", type="PASSWORD", secret=True,
        description="Password for the callback",
        order=112,
    ),
}  # fmt: skip


#: What begins with this is ours: neither shown nor set from outside.
_OURS = "woo."
#: The signature key before the last change, and when that was.
_PREVIOUS = "woo.signature.previous"
_SIGNATURE = "event.notification.signature.key"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConfigurationEntry:
    """One entry as it is shown; secrets are masked."""

    id: int
    key: str
    value: str
    definition: Definition


def is_secret(key: str) -> bool:
    """Whether the value of a key is encrypted and never shown."""
    definition = DEFINITIONS.get(key)
    if definition is not None:
        return definition.secret
    # What we do not know may still be one.
    return any(word in key.lower() for word in ("secret", "password", "token", "api.key"))


def write(
    session: orm.Session, cipher: Cipher, instance_id: int, texts: cabc.Mapping[str, str]
) -> None:
    """Make the configuration of an instance these texts; a masked secret stays as it was."""
    rows = _rows(session, instance_id)
    for key, row in rows.items():
        if key not in texts:
            session.delete(row)
    for key, text in texts.items():
        if key.startswith(_OURS):
            continue
        sealed = is_secret(key) and text != ""
        if sealed and text == MASK:
            continue
        value = cipher.encrypt(text) if sealed else text
        kept = rows.get(key)
        if kept is None:
            session.add(Configuration(instance_id=instance_id, key=key, value=value, sealed=sealed))
        else:
            kept.value, kept.sealed = value, sealed
    session.flush()


def read(session: orm.Session, cipher: Cipher, instance_id: int) -> dict[str, str]:
    """The configuration with its secrets in clear.

    :raises SecretError: a secret cannot be decrypted with the keys given.
    """
    return {
        key: cipher.decrypt(row.value) if row.sealed else row.value
        for key, row in _rows(session, instance_id).items()
    }


def entries(session: orm.Session, instance_id: int) -> list[ConfigurationEntry]:
    """The configuration as it is shown."""
    return [
        ConfigurationEntry(
            id=row.id,
            key=key,
            value=MASK if row.sealed else row.value,
            definition=DEFINITIONS.get(key) or Definition(name=key),
        )
        for key, row in _rows(session, instance_id).items()
    ]


def retire_key(
    session: orm.Session,
    cipher: Cipher,
    instance_id: int,
    texts: cabc.Mapping[str, str],
    now: dt.datetime,
) -> None:
    """Keep the signature key that these texts replace, so that receivers can change over.

    To be called before they are written.
    """
    row = _rows(session, instance_id).get(_SIGNATURE)
    key = "" if row is None else cipher.decrypt(row.value) if row.sealed else row.value
    if not key or texts.get(_SIGNATURE, "") in (MASK, key):
        return
    value = cipher.encrypt(json.dumps({"key": key, "since": now.isoformat()}))
    kept = _previous(session, instance_id)
    if kept is None:
        session.add(Configuration(instance_id=instance_id, key=_PREVIOUS, value=value, sealed=True))
    else:
        kept.value = value
    session.flush()


def retired_key(
    session: orm.Session, cipher: Cipher, instance_id: int, after: dt.datetime
) -> str | None:
    """The signature key before the last change, if that was after a date."""
    row = _previous(session, instance_id)
    if row is None:
        return None
    kept = json.loads(cipher.decrypt(row.value))
    return str(kept["key"]) if dt.datetime.fromisoformat(kept["since"]) > after else None


def key_of(session: orm.Session, instance_id: int, entry_id: int) -> str:
    """The key of one entry.

    :raises NotFoundError: the instance has no such entry.
    """
    for entry in entries(session, instance_id):
        if entry.id == entry_id:
            return entry.key
    raise NotFoundError("No configuration found")


def rotate(session: orm.Session, cipher: Cipher) -> int:
    """Encrypt every secret again with the newest key; returns how many there are."""
    rows = session.scalars(sa.select(Configuration).where(Configuration.sealed)).all()
    for row in rows:
        row.value = cipher.rotate(row.value)
    session.flush()
    return len(rows)


def _rows(session: orm.Session, instance_id: int) -> dict[str, Configuration]:
    query = sa.select(Configuration).where(Configuration.instance_id == instance_id)
    rows = session.scalars(query.order_by(Configuration.id))
    return {row.key: row for row in rows if not row.key.startswith(_OURS)}


def _previous(session: orm.Session, instance_id: int) -> Configuration | None:
    return session.scalars(
        sa.select(Configuration).where(
            Configuration.instance_id == instance_id, Configuration.key == _PREVIOUS
        )
    ).one_or_none()
