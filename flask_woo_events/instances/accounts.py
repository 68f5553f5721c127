"""Organisations, their users, and the authentication of requests."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import re
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Instance, Organization, User
from ..errors import AccessError, ConflictError, InputError, NotFoundError
from ..values.crypto import hash_token, new_token, same

#: Message for missing authentication (Cloud Elements, "Authenticating with Cloud Elements").
EXPECTED = (
    "Send the header Authorization: User <USER_SECRET>, Organization <ORGANIZATION_SECRET>, "
    "or Authorization: User <USER_SECRET>, Element <INSTANCE_TOKEN>"
)
#: The account setting for failed notifications: ``retry`` or ``queue``.
FAILURE_POLICY = "notification.webhook.failure.policy"
#: Our account setting for the retries of an organisation: ``standard`` or ``cloud-elements``.
RETRY_SCHEDULE = "notification.webhook.retry.schedule"
_PART = re.compile(r"\s*(user|organization|element)\s+([\x21-\x2b\x2d-\x7e]+)\s*\Z", re.IGNORECASE)
_NAME_LENGTH = 190
#: The organisation of an application that needs only one, and its user.
_DEFAULT = "default"
#: Signed-out sessions that are stored per user. More within the lifetime of a cookie would need
#: the user's secrets.
_ENDED_KEPT = 500
_HEADER_LENGTH = 2000


@dataclasses.dataclass(frozen=True, kw_only=True)
class NewUser:
    """A new user with the secrets, which cannot be read later."""

    user_id: int
    organization_id: int
    user_secret: str = dataclasses.field(repr=False)
    #: ``None`` if the organisation existed already and kept its secret.
    organization_secret: str | None = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class UserEntry:
    """One user of one organisation."""

    id: int
    name: str
    organization: str
    created_at: dt.datetime


@dataclasses.dataclass(frozen=True, kw_only=True)
class Caller:
    """The user, and perhaps the instance, that a request is authenticated for."""

    organization_id: int
    user_id: int
    #: The only instance that the request may reach; ``None``: all of the organisation.
    instance_id: int | None = None
    #: The instance that a path without an id means: the one whose token was sent, if any.
    chosen_id: int | None = None


class ConsoleUser(t.NamedTuple):
    """A user of the console, by the names given to ``flask woo users add``.

    :param user: name of the user.
    :param organization: name of the user's organisation.
    """

    user: str
    organization: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class HttpVisitor:
    """A signed-in user of the console."""

    caller: Caller
    user: str
    organization: str
    #: Changes with the user's or the organisation's secret.
    fingerprint: str
    #: Ids of signed-out sessions.
    ended_sessions: frozenset[str]


def add_user(
    session: orm.Session,
    name: str,
    organization: str,
    now: dt.datetime,
    *,
    replace_secret: bool = False,
) -> NewUser:
    """Add a user, and the organisation if it is new.

    :param now: the current time.
    :param replace_secret: make a new secret of an existing organisation, too.
    :raises InputError: a name is empty or too long.
    :raises ConflictError: the organisation has a user with this name.
    """
    for text, what in ((name, "name"), (organization, "organization")):
        if not text.strip() or len(text) > _NAME_LENGTH or not text.isprintable():
            raise InputError(f"the {what} must have 1 to {_NAME_LENGTH} characters", what)
    home = _organization(session, organization)
    organization_secret = None
    if home is None:
        organization_secret = new_token()
        home = Organization(
            name=organization, secret_hash=hash_token(organization_secret), created_at=now
        )
        session.add(home)
        session.flush()
    elif _user(session, home.id, name) is not None:
        raise ConflictError(f"{organization} has a user {name!r} already")
    elif replace_secret:
        organization_secret = new_token()
        home.secret_hash = hash_token(organization_secret)
    user_secret = new_token()
    user = User(
        organization_id=home.id, name=name, secret_hash=hash_token(user_secret), created_at=now
    )
    session.add(user)
    session.flush()
    return NewUser(
        user_id=user.id,
        organization_id=home.id,
        user_secret=user_secret,
        organization_secret=organization_secret,
    )


def sole_caller(session: orm.Session, organization: str | None, now: dt.datetime) -> Caller:
    """Return the first user of an organisation, for the commands of a developer.

    Without any organisation, one named ``default`` is created, with a user of that name whose
    secrets nobody knows.

    :param organization: its name; ``None`` if there is at most one.
    :param now: the current time.
    :raises NotFoundError: there is no such organisation.
    :raises ConflictError: there are several, and none was named.
    """
    homes = session.scalars(sa.select(Organization).order_by(Organization.id)).all()
    if organization is not None:
        homes = [one for one in homes if one.name == organization]
        if not homes:
            raise NotFoundError(
                f"there is no organization {organization!r}; create it with: flask woo users add "
                f"NAME --organization {organization}"
            )
    if len(homes) > 1:
        names = ", ".join(one.name for one in homes)
        raise ConflictError(f"there are several organizations ({names}): add --organization NAME")
    name = homes[0].name if homes else _DEFAULT
    query = sa.select(User.id).join(Organization, Organization.id == User.organization_id)
    user_id = session.scalar(query.where(Organization.name == name).order_by(User.id).limit(1))
    if user_id is None:
        user = add_user(session, _DEFAULT, name, now)
        return Caller(organization_id=user.organization_id, user_id=user.user_id)
    return Caller(organization_id=homes[0].id, user_id=user_id)


def list_users(session: orm.Session) -> list[UserEntry]:
    """Return all users, by organisation and name."""
    rows = session.execute(
        sa.select(User.id, User.name, Organization.name, User.created_at)
        .join(Organization, Organization.id == User.organization_id)
        .order_by(Organization.name, User.name)
    )
    return [
        UserEntry(id=id_, name=name, organization=organization, created_at=created_at)
        for id_, name, organization, created_at in rows
    ]


def remove_user(session: orm.Session, name: str, organization: str) -> None:
    """Remove a user; the instances pass to another user of the organisation.

    :raises NotFoundError: there is no such user.
    :raises ConflictError: the user is the last one and there are instances.
    """
    home = _organization(session, organization)
    if home is not None:
        # A user who is removed meanwhile must not become the heir.
        session.refresh(home, with_for_update={"key_share": True})
    user = home and _user(session, home.id, name)
    if home is None or user is None:
        raise NotFoundError(f"{organization} has no user {name!r}; see: flask woo users list")
    # Nor must an instance that is connected meanwhile be deleted with its user.
    session.refresh(user, with_for_update=True)
    heir = session.scalars(
        sa.select(User.id)
        .where(User.organization_id == home.id, User.id != user.id)
        .order_by(User.id)
        .limit(1)
    ).one_or_none()
    owned = session.scalar(
        sa.select(sa.func.count()).select_from(Instance).where(Instance.user_id == user.id)
    )
    if owned and heir is None:
        raise ConflictError(
            f"{name} is the last user of {organization}, which has {owned} instances. "
            "Add another user first: flask woo users add"
        )
    if owned:
        session.execute(sa.update(Instance).where(Instance.user_id == user.id).values(user_id=heir))
    session.delete(user)
    session.flush()


def settings(session: orm.Session, caller: Caller) -> dict[str, t.Any]:
    """Return the account settings that the caller's organisation has set."""
    return dict(session.get_one(Organization, caller.organization_id).settings)


def change_settings(
    session: orm.Session, caller: Caller, named: cabc.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    """Change account settings of the caller's organisation; ``None`` removes one."""
    home = session.get_one(Organization, caller.organization_id, with_for_update=True)
    merged = {**home.settings, **named}
    home.settings = {name: value for name, value in merged.items() if value is not None}
    session.flush()
    return dict(home.settings)


def authenticate(session: orm.Session, header: str | None) -> Caller:
    """Return the caller of a request.

    The secrets of user and organisation give access to the whole organisation; a token beside them
    only chooses the instance of a path without an id. A user with a token reaches its instance.

    Secrets are 256 random bits and are looked up by their SHA-256, so that the time of the look-up
    reveals nothing about them.

    :param header: the value of ``Authorization``.
    :raises AccessError: the header is missing or malformed, or its secrets are not valid together.
    """
    parts = _parts(header)
    user = session.scalars(
        sa.select(User).where(User.secret_hash == hash_token(parts.get("user", "")))
    ).one_or_none()
    if user is None:
        raise AccessError("The user secret is not valid")
    chosen_id = _of_token(session, parts.get("element", ""), user.organization_id)
    instance_id = None
    if "organization" in parts:
        home = session.get_one(Organization, user.organization_id)
        if not same(home.secret_hash, hash_token(parts["organization"])):
            raise AccessError("The organization secret is not valid")
    elif chosen_id is None:
        raise AccessError("The element token is not valid")
    else:
        instance_id = chosen_id
    return Caller(
        organization_id=user.organization_id,
        user_id=user.id,
        instance_id=instance_id,
        chosen_id=chosen_id,
    )


def _of_token(session: orm.Session, token: str, organization_id: int) -> int | None:
    """Return the organisation's instance with this token; ``None`` if there is none."""
    return session.scalars(
        sa.select(Instance.id).where(
            Instance.token_hash == hash_token(token), Instance.organization_id == organization_id
        )
    ).one_or_none()


def person(session: orm.Session, caller: Caller) -> HttpVisitor:
    """Return the user of the console for a caller.

    :raises NotFoundError: the user was removed, or belongs to another organisation.
    """
    user = session.get(User, caller.user_id)
    if user is None or user.organization_id != caller.organization_id:
        raise NotFoundError("This user no longer exists")
    home = session.get_one(Organization, user.organization_id)
    return HttpVisitor(
        caller=caller,
        user=user.name,
        organization=home.name,
        fingerprint=hash_token(f"console {user.secret_hash} {home.secret_hash}"),
        ended_sessions=frozenset(user.ended_sessions),
    )


def end_session(session: orm.Session, caller: Caller, session_id: str) -> None:
    """Sign out a session of the console, including copies of its cookie.

    :raises NotFoundError: the user was removed.
    """
    user = session.get(User, caller.user_id, with_for_update=True)
    if user is None:
        raise NotFoundError("This user no longer exists")
    user.ended_sessions = [*user.ended_sessions, session_id][-_ENDED_KEPT:]
    session.flush()


def named(session: orm.Session, name: ConsoleUser) -> Caller:
    """Return the caller for the names of a user and an organisation.

    :raises NotFoundError: there is no such user.
    """
    home = _organization(session, name.organization)
    user = home and _user(session, home.id, name.user)
    if home is None or user is None:
        raise NotFoundError(
            f"{name.organization} has no user {name.user!r}; add one with: flask woo users add"
        )
    return Caller(organization_id=home.id, user_id=user.id)


def _parts(header: str | None) -> dict[str, str]:
    if header is None or len(header) > _HEADER_LENGTH:
        raise AccessError(EXPECTED)
    parts: dict[str, str] = {}
    for text in header.split(","):
        match = _PART.match(text)
        if match is None or match[1].lower() in parts:
            raise AccessError(EXPECTED)
        parts[match[1].lower()] = match[2]
    if "user" not in parts or len(parts) < 2:
        raise AccessError(EXPECTED)
    return parts


def _organization(session: orm.Session, name: str) -> Organization | None:
    return session.scalars(sa.select(Organization).where(Organization.name == name)).one_or_none()


def _user(session: orm.Session, organization_id: int, name: str) -> User | None:
    return session.scalars(
        sa.select(User).where(User.organization_id == organization_id, User.name == name)
    ).one_or_none()
