"""What the extension holds for one application, and how the edges find it."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import functools
import logging
import time
import typing as t

import blinker
import flask
import requests

from .db.database import Database
from .db.group_commit import GroupCommit, Item, Result, Writing
from .errors import ConfigurationError
from .handlers import Handlers
from .http.exchange import AddressGuard, Timeouts, make_session
from .settings import Settings
from .values.crypto import Cipher
from .woocommerce.access import StoreAccess
from .woocommerce.client import StoreClient

EXTENSION = "woo_events"
_log = logging.getLogger(__name__)


class Runtime:
    """Settings, database and HTTP sessions of one application.

    :param settings: what the application configured.
    :param database: sessions for our tables.
    :param clock: aware UTC, for what is ours: due times, leases, when a row was written. It is
        the database's; tests inject theirs.
    :param handlers: functions of the application that want events.
    :param app: the application, for its handlers and as the sender of signals.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        clock: cabc.Callable[[], dt.datetime] | None = None,
        *,
        handlers: Handlers | None = None,
        app: flask.Flask | None = None,
    ) -> None:
        self.settings = settings
        self.database = database
        self.clock: cabc.Callable[[], dt.datetime] = clock or database.clock
        self.handlers = handlers or Handlers()
        #: Since when this process has kept every webhook that came; seconds, monotonic.
        self.began = time.monotonic()
        self._app = app
        self._groups: dict[object, GroupCommit[t.Any, t.Any]] = {}

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

    def begin_anew(self) -> None:
        """Note that something could not be kept: whatever came before now may be missing."""
        self.began = time.monotonic()

    def context(self) -> contextlib.AbstractContextManager[object]:
        """The application's context, for what is the application's own."""
        return contextlib.nullcontext() if self._app is None else self._app.app_context()

    def send(self, signal: blinker.NamedSignal, **values: t.Any) -> None:
        """Send a signal after its cause is committed; what a receiver raises goes to the log."""
        try:
            with self.context():
                signal.send(self._app, **values)
        except Exception:
            # The receivers are the application's; our work does not end with theirs.
            extra = {"action": "signal", "instance": values.get("instance_id")}
            _log.exception("a receiver of the signal %s failed", signal.name, extra=extra)

    def group_commit(self, work: Writing[Item, Result]) -> GroupCommit[Item, Result]:
        """What threads write at the same time with one function, in commits that they share."""
        found = self._groups.get(work)
        if found is None:
            found = self._groups.setdefault(work, GroupCommit(self.database, work))
        return t.cast("GroupCommit[Item, Result]", found)

    @property
    def store_guard(self) -> AddressGuard:
        """Where stores may be.

        What a store says reaches who connected it. Who may have callbacks inside reads their
        answers too, so that nothing more is given away by allowing stores there.
        """
        allowed = self.settings.allow_private_stores
        if allowed is None:
            allowed = self.settings.allow_private_callbacks
        return AddressGuard(allow_private=allowed, setting="WOO_EVENTS_ALLOW_PRIVATE_STORES")

    @functools.cached_property
    def store_session(self) -> requests.Session:
        """The session for stores, behind the address guard."""
        return make_session(guard=self.store_guard, retries=True)

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

    def api_base(self) -> str:
        """Return the URL at which stores reach the API, with its prefix and without a final slash.

        It is ``WOO_EVENTS_PUBLIC_URL``, or by default the address of the current request.
        """
        root = flask.request.url_root.rstrip("/")
        return self.settings.public_url or root + self.settings.url_prefix

    @property
    def retired_after(self) -> dt.datetime:
        """Signature keys that were replaced after this sign too."""
        return self.clock() - dt.timedelta(hours=self.settings.signature_overlap_hours)

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
