"""The stored ``configuration`` of an instance: text by key, with encrypted secrets."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import json
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Configuration, Instance
from ..errors import NotFoundError, SecretError
from ..values.crypto import Cipher
from ..values.validation import MASK
from .requests import DEFINITIONS, Definition, key_of

#: Prefix of internal keys, which the API neither shows nor sets.
_OURS = "woo."
#: Key of the previous signature key and the time of its change.
_PREVIOUS = "woo.signature.previous"
#: Key of the instance's token, if tokens are kept.
_TOKEN = "woo.token"
_SIGNATURE = key_of("signature_key")
#: Beginning of the keys of subscriptions' credentials; a subscription's number follows.
_SUBSCRIPTION = "woo.subscription."
#: How operators know the internal keys.
_NAMES = {_PREVIOUS: f"{_SIGNATURE} (the previous one)", _TOKEN: "the token"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConfigurationEntry:
    """One entry of the configuration; secrets are masked."""

    id: int
    key: str
    value: str
    definition: Definition


@dataclasses.dataclass(frozen=True)
class StoredConfiguration:
    """The configuration of an instance, with decrypted secrets."""

    instance_id: int
    #: Text by key; ``********`` for a secret that cannot be decrypted.
    texts: cabc.Mapping[str, str] = dataclasses.field(repr=False)
    #: Keys of the secrets that cannot be decrypted.
    unreadable: tuple[str, ...] = ()

    def only(self, keys: cabc.Collection[str]) -> dict[str, str]:
        """Return the texts of some keys.

        :raises SecretError: names those of them that cannot be decrypted.
        """
        if lost := [key for key in self.unreadable if key in keys]:
            raise SecretError(
                f"{' and '.join(lost)} of instance {self.instance_id} cannot be decrypted; add the "
                "key that encrypted them to WOO_EVENTS_ENCRYPTION_KEYS, before the newest one, or "
                f"send them again: PATCH /instances/{self.instance_id}"
            )
        return {key: text for key, text in self.texts.items() if key in keys}


def is_secret(key: str) -> bool:
    """Return whether the value of a key is encrypted and masked."""
    definition = DEFINITIONS.get(key)
    if definition is not None:
        return definition.secret
    # An unknown key may hold a secret, too.
    return any(word in key.lower() for word in ("secret", "password", "token", "api.key"))


def write(
    session: orm.Session, cipher: Cipher, instance_id: int, texts: cabc.Mapping[str, str]
) -> None:
    """Replace the configuration of an instance; a masked secret stays as it is."""
    rows = _rows(session, instance_id)
    for key, row in rows.items():
        if key not in texts:
            session.delete(row)
    for key, text in texts.items():
        if key.startswith(_OURS):
            continue
        sealed, kept = is_secret(key) and text != "", rows.get(key)
        if text == MASK and (sealed or (kept is not None and kept.sealed)):
            continue
        value = cipher.encrypt(text) if sealed else text
        if kept is None:
            session.add(Configuration(instance_id=instance_id, key=key, value=value, sealed=sealed))
        else:
            kept.value, kept.sealed = value, sealed
    session.flush()


def read(session: orm.Session, cipher: Cipher, instance_id: int) -> StoredConfiguration:
    """Return the configuration with decrypted secrets, also if some cannot be decrypted."""
    texts, unreadable = {}, []
    for key, row in _rows(session, instance_id).items():
        text = _decrypted(cipher, row) if row.sealed else row.value
        if text is None:
            unreadable.append(key)
        texts[key] = MASK if text is None else text
    return StoredConfiguration(instance_id, texts, tuple(unreadable))


def unreadable(session: orm.Session, cipher: Cipher | None, instance_id: int) -> tuple[str, ...]:
    """Return the keys of the secrets that are needed and cannot be decrypted.

    :param cipher: ``None`` if there is no encryption key at all.
    """
    return tuple(
        key
        for key, row in _rows(session, instance_id).items()
        if row.sealed and key in DEFINITIONS and (cipher is None or _decrypted(cipher, row) is None)
    )


def _decrypted(cipher: Cipher, row: Configuration) -> str | None:
    try:
        return cipher.decrypt(row.value)
    except SecretError:
        return None


def entries(session: orm.Session, instance_id: int) -> list[ConfigurationEntry]:
    """Return the entries of the configuration with masked secrets."""
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
    """Keep the signature key that a new configuration replaces, so that it still signs.

    Call it before :func:`write`.
    """
    row = _rows(session, instance_id).get(_SIGNATURE)
    # One that cannot be decrypted cannot sign any more.
    key = None if row is None else _decrypted(cipher, row) if row.sealed else row.value
    if not key or texts.get(_SIGNATURE, "") in (MASK, key):
        return
    value = cipher.encrypt(json.dumps({"key": key, "since": now.isoformat()}))
    _put(session, instance_id, _PREVIOUS, value)


def retired_key(
    session: orm.Session, cipher: Cipher, instance_id: int, after: dt.datetime
) -> str | None:
    """Return the previous signature key if it was replaced after a date, and can be decrypted."""
    row = _internal(session, instance_id, _PREVIOUS)
    text = None if row is None else _decrypted(cipher, row)
    if text is None:
        return None
    kept = json.loads(text)
    return str(kept["key"]) if dt.datetime.fromisoformat(kept["since"]) > after else None


def put_token(session: orm.Session, cipher: Cipher | None, instance_id: int, token: str) -> None:
    """Store the token of an instance in place of the one before.

    :param cipher: ``None`` if tokens are not kept; then none is stored.
    """
    if cipher is not None:
        _put(session, instance_id, _TOKEN, cipher.encrypt(token))
    elif (kept := _internal(session, instance_id, _TOKEN)) is not None:
        session.delete(kept)
        session.flush()


def tokens(
    session: orm.Session, cipher: Cipher | None, instance_ids: cabc.Collection[int]
) -> dict[int, str]:
    """Return the kept tokens of instances by id, without those that cannot be decrypted."""
    query = sa.select(Configuration).where(
        Configuration.instance_id.in_(instance_ids), Configuration.key == _TOKEN
    )
    texts = {row.instance_id: _decrypted(cipher, row) for row in session.scalars(query) if cipher}
    return {number: text for number, text in texts.items() if text is not None}


def token_is_lost(session: orm.Session, cipher: Cipher, instance_id: int) -> bool:
    """Return whether the kept token of an instance cannot be decrypted."""
    row = _internal(session, instance_id, _TOKEN)
    return row is not None and _decrypted(cipher, row) is None


def put_credentials(
    session: orm.Session,
    cipher: Cipher | None,
    instance_id: int,
    subscription_id: int,
    credentials: cabc.Mapping[str, t.Any],
) -> None:
    """Store the signature key, headers and password of a subscription, encrypted.

    :param cipher: may be ``None`` if there are no credentials.
    :param credentials: JSON; an empty one removes what is stored.
    """
    key = f"{_SUBSCRIPTION}{subscription_id}"
    if credentials and cipher is not None:
        _put(session, instance_id, key, cipher.encrypt(json.dumps(credentials)))
    elif (kept := _internal(session, instance_id, key)) is not None:
        session.delete(kept)
        session.flush()


def credentials_of(
    session: orm.Session, cipher: Cipher, instance_id: int, subscription_id: int
) -> dict[str, t.Any]:
    """Return the signature key, headers and password of a subscription; empty if it has none.

    :raises SecretError: they cannot be decrypted.
    """
    row = _internal(session, instance_id, f"{_SUBSCRIPTION}{subscription_id}")
    if row is None:
        return {}
    text = _decrypted(cipher, row)
    if text is None:
        raise SecretError(
            f"{_name(row.key)} cannot be decrypted; add the encryption key that was used to "
            "WOO_EVENTS_ENCRYPTION_KEYS, before the newest one, or send them again: "
            f"PATCH /instances/{instance_id}/subscriptions/{subscription_id}"
        )
    return dict(json.loads(text))


def key_of_entry(session: orm.Session, instance_id: int, entry_id: int) -> str:
    """Return the key of one entry.

    :raises NotFoundError: the instance has no such entry.
    """
    for entry in entries(session, instance_id):
        if entry.id == entry_id:
            return entry.key
    raise NotFoundError("No configuration found")


def rotate(session: orm.Session, cipher: Cipher, instance_id: int) -> tuple[int, list[str]]:
    """Encrypt the secrets of an instance again with the newest key.

    The instance is locked first, as a change of its configuration does.

    :return: the number of secrets, and the keys of those that cannot be decrypted, which stay as
        they are.
    """
    session.get(Instance, instance_id, with_for_update={"key_share": True})
    rows = session.scalars(
        sa.select(Configuration)
        .where(Configuration.instance_id == instance_id, Configuration.sealed)
        .order_by(Configuration.id)
    ).all()
    lost = []
    for row in rows:
        try:
            row.value = cipher.rotate(row.value)
        except SecretError:
            lost.append(_name(row.key))
    session.flush()
    return len(rows) - len(lost), lost


def _name(key: str) -> str:
    """Return how operators know a key."""
    if key.startswith(_SUBSCRIPTION):
        return f"the key and headers of subscription {key.removeprefix(_SUBSCRIPTION)}"
    return _NAMES.get(key, key)


def _rows(session: orm.Session, instance_id: int) -> dict[str, Configuration]:
    query = sa.select(Configuration).where(Configuration.instance_id == instance_id)
    rows = session.scalars(query.order_by(Configuration.id))
    return {row.key: row for row in rows if not row.key.startswith(_OURS)}


def _internal(session: orm.Session, instance_id: int, key: str) -> Configuration | None:
    return session.scalars(
        sa.select(Configuration).where(
            Configuration.instance_id == instance_id, Configuration.key == key
        )
    ).one_or_none()


def _put(session: orm.Session, instance_id: int, key: str, value: str) -> None:
    """Store an encrypted value under an internal key."""
    kept = _internal(session, instance_id, key)
    if kept is None:
        session.add(Configuration(instance_id=instance_id, key=key, value=value, sealed=True))
    else:
        kept.value = value
    session.flush()
