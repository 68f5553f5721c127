"""What the extension holds for one application, and how the edges find it."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import functools

import flask
import requests

from .config import Settings
from .crypto import Cipher
from .database import Database
from .errors import ConfigurationError
from .group_commit import GroupCommit
from .store.client import StoreClient
from .transport import AddressGuard, Timeouts, make_session

EXTENSION = "woo_events"


def utc_now() -> dt.datetime:
    """Our own clock; only for what is ours: due times, leases, when a row was written."""
    return dt.datetime.now(dt.UTC)


@dataclasses.dataclass(frozen=True)
class StoreAccess:
    """Where one instance's store is, and the keys for it."""

    url: str
    consumer_key: str = dataclasses.field(repr=False)
    consumer_secret: str = dataclasses.field(repr=False)


class Runtime:
    """Settings, database and HTTP sessions of one application.

    :param settings: what the application configured.
    :param database: sessions for our tables.
    :param clock: our own clock, aware UTC; tests inject theirs.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        clock: cabc.Callable[[], dt.datetime] = utc_now,
    ) -> None:
        self.settings = settings
        self.database = database
        self.clock = clock

    @functools.cached_property
    def cipher(self) -> Cipher:
        """Encryption of stored secrets.

        :raises ConfigurationError: no key is configured.
        """
        if not self.settings.encryption_keys:
            raise ConfigurationError(
                "WOO_EVENTS_ENCRYPTION_KEYS is empty; without it no store's keys can be kept. "
                "Make a key with: flask woo keys generate"
            )
        return Cipher(self.settings.encryption_keys)

    @functools.cached_property
    def group_commit(self) -> GroupCommit:
        """For writes that many requests make at the same time."""
        return GroupCommit(self.database)

    @functools.cached_property
    def store_session(self) -> requests.Session:
        """The session for stores, which may well be on private networks."""
        return make_session(guard=None, retries=True)

    @functools.cached_property
    def callback_session(self) -> requests.Session:
        """The session for callbacks, behind the address guard."""
        guard = AddressGuard(allow_private=self.settings.allow_private_callbacks)
        return make_session(guard=guard)

    def store_client(self, access: StoreAccess) -> StoreClient:
        """A client for one store."""
        settings = self.settings
        return StoreClient(
            access.url,
            access.consumer_key,
            access.consumer_secret,
            session=self.store_session,
            timeouts=Timeouts(
                connect=settings.store_connect_timeout,
                read=settings.store_read_timeout,
                total=settings.store_total_timeout,
            ),
            max_bytes=settings.store_max_bytes,
        )

    @property
    def callback_timeouts(self) -> Timeouts:
        """How long a callback may take."""
        return Timeouts(
            connect=self.settings.callback_connect_timeout,
            read=self.settings.callback_read_timeout,
            total=self.settings.callback_total_timeout,
        )


def current_runtime() -> Runtime:
    """The runtime of the current application.

    :raises ConfigurationError: the extension was not initialised for it.
    """
    runtime = flask.current_app.extensions.get(EXTENSION)
    if not isinstance(runtime, Runtime):
        raise ConfigurationError(
            "WooEvents is not initialised for this application. Call woo.init_app(app), "
            "or app.register_extension(woo) on a flask_woo_events.Flask."
        )
    return runtime
