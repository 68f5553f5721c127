"""Connecting a store by WooCommerce's own approval of keys, without copying them.

The browser carries a state that cannot be guessed, and never a key: the store sends the keys from
its server to ours. Source: WooCommerce's ``/wc-auth/v1/authorize``.
"""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import functools
import json
import logging
import typing as t
import urllib.parse

import itsdangerous
import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Configuration, Connection, Instance, Organization
from ..errors import (
    ConfigurationError,
    InputError,
    NotFoundError,
    SchemaError,
    SecretError,
    WooEventsError,
)
from ..runtime import Runtime
from ..values.crypto import Cipher, hash_token, new_token
from ..values.validation import validated
from ..woocommerce.access import StoreAccess
from ..woocommerce.client import store_root
from . import accounts, lifecycle, provisioning, specification, webhooks
from .accounts import Caller
from .requests import InstanceRequest

_log = logging.getLogger(__name__)

#: Paths below the API's prefix.
PATH = "/connect"
CALLBACK_PATH = f"{PATH}/callback"
RETURN_PATH = f"{PATH}/return"
#: The name that the store shows for the application; the plugin finds its keys by it.
APP_NAME = "Flask Woo Events"
#: Time for an approval.
VALID = dt.timedelta(hours=1)
#: Time after which keys that arrived have led to a result, or the attempt was interrupted.
ENDED_AFTER = dt.timedelta(minutes=5)
#: Time for which the result of an approval is kept.
REMEMBERED = dt.timedelta(days=1)
#: Default lifetime of an invitation.
INVITED = dt.timedelta(days=7)
_SALT = "flask_woo_events.invitation"
_NO_RESULT = "The store's keys did not arrive, or could not be stored. Connect the store again"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Invitation:
    """The right to connect a store for a user, as a link holds it."""

    caller: Caller
    #: The only store that may be connected; empty for any.
    store_url: str
    #: The request for the instance, without store and keys.
    request: dict[str, t.Any] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConnectionResult:
    """The result of an approval."""

    store_url: str
    #: ``None`` while the store has not answered, or if it failed.
    instance_id: int | None
    #: Whether the store was checked; otherwise a worker does it.
    checked: bool
    error: str | None
    #: URL to which the browser returns: of the store, or of a page of the application.
    back: str
    page: str


def invite(
    runtime: Runtime,
    caller: Caller,
    *,
    store_url: str = "",
    request: object = None,
    valid: dt.timedelta = INVITED,
) -> str:
    """Make a link with which a shop owner connects a store, until it expires.

    :param store_url: the only store that may be connected; empty for any.
    :param request: a body as for ``POST /instances``, without store and keys.
    :param valid: lifetime of the link.
    :raises ConfigurationError: ``WOO_EVENTS_PUBLIC_URL`` is not an https address.
    :raises InputError: the request or the store's address is wrong.
    """
    base = public_base(runtime.settings.public_url or "")
    if not isinstance(request, cabc.Mapping | None):
        raise InputError("a JSON object is expected")
    wanted = dict(request or {})
    root = store_root(store_url) if store_url else ""
    _check(wanted, root or "https://store.invalid")
    token = _serializer(runtime).dumps(
        {
            "o": caller.organization_id,
            "u": caller.user_id,
            "f": _fingerprint(runtime, caller),
            "s": root,
            "r": runtime.cipher.encrypt(json.dumps(wanted)) if wanted else "",
            "e": int((runtime.clock() + valid).timestamp()),
        }
    )
    return f"{base}{PATH}?invitation={_text(token)}"


def read_invitation(runtime: Runtime, token: str) -> Invitation:
    """Read the invitation of a link.

    :raises NotFoundError: the link is not ours, has expired, or its user was removed.
    """
    refused = NotFoundError(
        "This invitation is no longer valid. Ask its sender for another one "
        "(flask woo instances invite)"
    )
    try:
        said = _serializer(runtime).loads(token)
        caller = Caller(organization_id=said["o"], user_id=said["u"])
        user, expires, store, request = said["f"], said["e"], said["s"], said["r"]
    except (itsdangerous.BadData, KeyError, TypeError) as exc:
        raise refused from exc
    try:
        known = _fingerprint(runtime, caller)
    except NotFoundError as exc:
        raise refused from exc
    if known != user or expires <= runtime.clock().timestamp():
        raise refused
    try:
        wanted = json.loads(runtime.cipher.decrypt(request)) if request else {}
    except SecretError as exc:
        raise refused from exc
    return Invitation(caller=caller, store_url=store, request=wanted)


def _fingerprint(runtime: Runtime, caller: Caller) -> str:
    """Return what another user does not have, even with the same id.

    :raises NotFoundError: the user was removed.
    """
    with runtime.database.read() as session:
        person = accounts.person(session, caller)
    return hash_token(f"invitation {person.fingerprint}")[:16]


def begin(
    session: orm.Session,
    cipher: Cipher,
    caller: Caller,
    *,
    store_url: str,
    request: cabc.Mapping[str, t.Any],
    base: str,
    now: dt.datetime,
    back: str = "",
    page: str = "",
) -> str:
    """Begin to connect a store, and return the URL at which its owner approves the keys.

    :param request: a body as for ``POST /instances``, without store and keys.
    :param base: ``https`` URL at which the store reaches the API, with its prefix.
    :param back: URL to which the browser returns; it must be one of the store.
    :param page: or a page of the application, at the host of ``base``.
    :raises InputError: the address or the request is wrong.
    :raises ConfigurationError: the store would refuse to send keys to ``base``.
    """
    base, root = public_base(base), store_root(store_url)
    _check(request, root)
    state = new_token()
    session.execute(
        sa.delete(Connection)
        .where(Connection.expires_at < now - REMEMBERED)
        .execution_options(synchronize_session=False)
    )
    kept = {
        "request": dict(request),
        "back": back if _is_of(back, root) else "",
        "page": page if _is_of(page, urllib.parse.urljoin(base, "/").rstrip("/")) else "",
    }
    session.add(
        Connection(
            organization_id=caller.organization_id,
            user_id=caller.user_id,
            state_hash=hash_token(state),
            store_url=root,
            request=cipher.encrypt(json.dumps(kept)),
            created_at=now,
            expires_at=now + VALID,
        )
    )
    session.flush()
    return _approval_url(root, base, state)


def finish(runtime: Runtime, state: str, key: str, secret: str, base: str) -> int:
    """Check the keys that a store sent, connect the store, and return the instance's id.

    A store that is connected already gets the new keys.

    :param base: URL at which the store reaches the API, with its prefix.
    :raises NotFoundError: the state is unknown, used or expired.
    :raises WooEventsError: the store cannot be used with these keys.
    """
    now = runtime.clock()
    with runtime.database.write() as session:
        row = _claim(session, state, now)
        number, caller = row.id, Caller(organization_id=row.organization_id, user_id=row.user_id)
        access = StoreAccess(row.store_url, key, secret)
        try:
            kept = json.loads(runtime.cipher.decrypt(row.request))
        except SecretError as exc:
            raise NotFoundError(_NO_RESULT) from exc
    try:
        wanted = _request(kept["request"], access)
        with runtime.web_calls.limited(caller.organization_id):
            return _connect(runtime, caller, number, wanted, access, base)
    except Exception as exc:
        _fail(runtime, number, exc)
        raise


def outcome(runtime: Runtime, state: str) -> ConnectionResult:
    """Return the result of an approval so far.

    :raises NotFoundError: the state is unknown, or its result is no longer kept.
    """
    query = sa.select(Connection).where(Connection.state_hash == hash_token(state))
    with runtime.database.read() as session:
        row = session.scalars(query).one_or_none()
        if row is None:
            raise NotFoundError("This connection is unknown or expired; connect the store again")
        try:
            kept = json.loads(runtime.cipher.decrypt(row.request))
        except SecretError:
            kept = {"back": "", "page": ""}
        error, over = row.error, row.expires_at + ENDED_AFTER <= runtime.clock()
        if row.instance_id is None and error is None and over:
            error = _NO_RESULT
        instance = session.get(Instance, row.instance_id) if row.instance_id else None
        return ConnectionResult(
            store_url=row.store_url,
            instance_id=row.instance_id,
            checked=instance is None or instance.connecting is None,
            error=error,
            back=kept["back"],
            page=kept["page"],
        )


def rotate(session: orm.Session, cipher: Cipher) -> int:
    """Encrypt the requests of approvals again with the newest key; return their number.

    One that cannot be decrypted stays as it is: its store has to be connected again.
    """
    rows = session.scalars(sa.select(Connection).with_for_update()).all()
    count = 0
    for row in rows:
        with contextlib.suppress(SecretError):
            row.request = cipher.rotate(row.request)
            count += 1
    session.flush()
    return count


def public_base(base: str) -> str:
    """Return a URL of the API without its final slash, if WooCommerce sends keys there.

    :raises ConfigurationError: the URL is not https.
    """
    if not base.startswith("https://"):
        raise ConfigurationError(
            "WooCommerce sends keys to https addresses only: set WOO_EVENTS_PUBLIC_URL, "
            "for example https://events.example.com/elements/api-v2"
        )
    return base.rstrip("/")


def _approval_url(root: str, base: str, state: str) -> str:
    query = {
        "app_name": APP_NAME,
        "scope": "read_write",
        "user_id": state,
        "return_url": base + RETURN_PATH,
        "callback_url": base + CALLBACK_PATH,
    }
    return f"{root}/wc-auth/v1/authorize?{urllib.parse.urlencode(query)}"


def _claim(session: orm.Session, state: str, now: dt.datetime) -> Connection:
    """Mark a state as used, so that a second request finds it expired."""
    # States are 256 random bits, looked up by their hash: the time reveals nothing about them.
    known = hash_token(state)
    taken = session.connection().execute(
        sa.update(Connection)
        .where(Connection.state_hash == known, Connection.expires_at > now)
        .values(expires_at=now)
    )
    if taken.rowcount != 1:
        raise NotFoundError(
            "This connection is unknown, finished or too old; connect the store again"
        )
    return session.scalars(sa.select(Connection).where(Connection.state_hash == known)).one()


def _end(session: orm.Session, number: int, instance_id: int) -> None:
    session.execute(
        sa.update(Connection)
        .where(Connection.id == number)
        .values(instance_id=instance_id)
        .execution_options(synchronize_session=False)
    )


def _fail(runtime: Runtime, number: int, exc: Exception) -> None:
    """Store why an approval failed, unless its instance is stored already."""
    try:
        with runtime.database.write() as session:
            session.execute(
                sa.update(Connection)
                .where(Connection.id == number, Connection.instance_id.is_(None))
                .values(error=str(exc) if isinstance(exc, WooEventsError) else _NO_RESULT)
                .execution_options(synchronize_session=False)
            )
    except (sa.exc.SQLAlchemyError, SchemaError):
        # The page shows the failure after ENDED_AFTER.
        extra = {"action": "connect"}
        _log.warning("the failure of a connection could not be stored", exc_info=True, extra=extra)


def _connect(
    runtime: Runtime,
    caller: Caller,
    number: int,
    wanted: InstanceRequest,
    access: StoreAccess,
    base: str,
) -> int:
    """Create or change the instance of a store, with the result of its approval in one commit."""
    # The store waits for our answer, so a worker registers the webhooks.
    with runtime.database.read() as session:
        known = _connected(session, caller, access.url)
    if known is None:
        spec, facts = provisioning.checked(runtime, wanted, base)
        with runtime.database.write() as session:
            # Another approval of this store may have ended meanwhile.
            home = caller.organization_id
            session.get_one(Organization, home, with_for_update={"key_share": True})
            known, now = _connected(session, caller, access.url), runtime.clock()
            if known is None:
                created = lifecycle.create(
                    session, runtime.cipher, caller, spec, facts, now,
                    keep_token=runtime.settings.keep_tokens,
                )[0]  # fmt: skip
                webhooks.enroll(session, created, base, now)
                _end(session, number, created)
                return created
    keys = {"oauth.api.key": access.consumer_key, "oauth.api.secret": access.consumer_secret}
    provisioning.change(
        runtime, caller, known, InstanceRequest(configuration=keys), base,
        partial=True, reconnect=True, register_later=True,
        also=functools.partial(_end, number=number, instance_id=known),
    )  # fmt: skip
    return known


def _connected(session: orm.Session, caller: Caller, root: str) -> int | None:
    """Return the organisation's instance of a store, the newest if there are several."""
    rows = session.execute(
        sa.select(Instance.id, Configuration.value)
        .join(Configuration, Configuration.instance_id == Instance.id)
        .where(Instance.organization_id == caller.organization_id, Configuration.key == "store.url")
        .order_by(Instance.id.desc())
    )
    for number, url in rows:
        with contextlib.suppress(InputError):
            if store_root(url) == store_root(root):
                return int(number)
    return None


def _request(request: cabc.Mapping[str, t.Any], access: StoreAccess) -> InstanceRequest:
    """Complete a request with a store and its keys."""
    given = request.get("configuration") or {}
    if not isinstance(given, cabc.Mapping):
        raise InputError("configuration has to be an object", "configuration")
    configuration = {
        "event.notification.enabled": True,
        **given,
        "store.url": access.url,
        "oauth.api.key": access.consumer_key,
        "oauth.api.secret": access.consumer_secret,
    }
    name = urllib.parse.urlsplit(access.url).hostname or access.url
    whole = {"name": name, **request, "configuration": configuration}
    return validated(InstanceRequest, whole)


def _check(request: cabc.Mapping[str, t.Any], root: str) -> None:
    """Check a request before the store has sent its keys.

    :raises InputError: the request is wrong.
    """
    specification.plan(_request(request, StoreAccess(root, "ck_later", "cs_later")))


def _is_of(address: str, root: str) -> bool:
    """Return whether a URL is the root or below it."""
    return address == root or address.startswith((f"{root}/", f"{root}?"))


def _serializer(runtime: Runtime) -> itsdangerous.URLSafeSerializer:
    keys = list(runtime.settings.encryption_keys)
    return itsdangerous.URLSafeSerializer(keys, salt=_SALT)


def _text(token: str | bytes) -> str:
    return token.decode() if isinstance(token, bytes) else token
