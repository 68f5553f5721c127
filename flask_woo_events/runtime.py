"""The state of the extension for one application."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import functools
import logging
import threading
import time
import typing as t

import blinker
import flask
import requests

from .db.database import Database
from .db.group_commit import GroupCommit, Item, Result, Writing
from .db.state_file import StateFile, path_of
from .errors import ConfigurationError
from .handlers import Handlers
from .http.exchange import AddressGuard, Timeouts, make_session
from .http.patience import Places, WebCalls
from .settings import Settings
from .values.crypto import Cipher
from .woocommerce.access import StoreAccess
from .woocommerce.client import StoreClient

EXTENSION = "woo_events"
#: Comparisons of consumers' copies at the same time in one process, and those of one organization:
#: each needs a thread while its lines arrive, and about 20 MB.
RECONCILES, RECONCILES_OF_ORGANIZATION = 4, 2
_log = logging.getLogger(__name__)


class Runtime:
    """Settings, database, handlers and HTTP sessions of one application.

    It is ``app.extensions["woo_events"]``; :func:`current_runtime` returns it.

    :param settings: the application's settings.
    :param database: sessions for the extension's tables.
    :param clock: returns the current time, aware UTC, for due times, leases and dates of rows; by
        default the database's clock.
    :param handlers: the application's functions for events.
    :param app: the application, whose context handlers get and which sends the signals.
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
        instance_folder = None if app is None else app.instance_path
        #: What this process, or a worker before it, knew of the database.
        self.state_file = StateFile(
            path_of(database.engine.url, settings.state_folder, instance_folder)
        )
        #: Since when this process has stored every received webhook; seconds, monotonic.
        self.began = time.monotonic()
        #: Limits the calls of stores and callbacks that requests to this process make.
        self.web_calls = WebCalls(
            settings.web_calls, settings.web_calls_of_organization, settings.web_call_seconds
        )
        #: Limits the requests to feeds of this process that wait for events.
        self.feed_waits = Places(settings.feed_waits, settings.feed_waits_of_organization)
        #: Limits the comparisons of this process, whose bodies may arrive for as long as they like.
        self.reconciles = Places(RECONCILES, RECONCILES_OF_ORGANIZATION)
        #: Waits for a number of seconds; used by requests to feeds.
        self.pause: cabc.Callable[[float], object] = time.sleep
        self._app = app
        self._groups: dict[object, GroupCommit[t.Any, t.Any]] = {}

    @functools.cached_property
    def cipher(self) -> Cipher:
        """Encryption of stored secrets.

        :raises ConfigurationError: no key is configured.
        """
        if not self.settings.encryption_keys:
            raise ConfigurationError(
                "WOO_EVENTS_ENCRYPTION_KEYS is empty; without it no store's keys can be stored. "
                "Make a key with: flask woo keys generate"
            )
        return Cipher(self.settings.encryption_keys)

    @property
    def cipher_or_none(self) -> Cipher | None:
        """The encryption, or ``None`` if no key is configured that can be used."""
        try:
            return self.cipher
        except ConfigurationError:
            return None

    def begin_anew(self) -> None:
        """Note that a webhook could not be stored: earlier ones may be missing, too."""
        self.began = time.monotonic()

    def context(self) -> contextlib.AbstractContextManager[object]:
        """Return the application's context, for handlers and receivers of signals."""
        return contextlib.nullcontext() if self._app is None else self._app.app_context()

    def send(self, signal: blinker.NamedSignal, **values: t.Any) -> None:
        """Send a signal after its cause is committed; log what a receiver raises."""
        try:
            with self.context():
                signal.send(self._app, **values)
        except BaseException as exc:
            # A receiver of the application must not stop the worker, nor end its thread.
            if isinstance(exc, KeyboardInterrupt) and _in_main_thread():
                raise
            extra = {"action": "signal", "instance": values.get("instance_id")}
            _log.exception("a receiver of the signal %s failed", signal.name, extra=extra)

    def group_commit(self, work: Writing[Item, Result]) -> GroupCommit[Item, Result]:
        """Return the group commit of a function, which concurrent threads share."""
        found = self._groups.get(work)
        if found is None:
            found = self._groups.setdefault(work, GroupCommit(self.database, work))
        return t.cast("GroupCommit[Item, Result]", found)

    @property
    def store_guard(self) -> AddressGuard:
        """The guard for the addresses of stores.

        A user reads the answers of callbacks and of stores alike, so that where private callbacks
        are allowed, private stores disclose nothing more.
        """
        allowed = self.settings.allow_private_stores
        if allowed is None:
            allowed = self.settings.allow_private_callbacks
        return AddressGuard(allow_private=allowed, setting="WOO_EVENTS_ALLOW_PRIVATE_STORES")

    @functools.cached_property
    def store_session(self) -> requests.Session:
        """The HTTP session for stores, behind the address guard."""
        return make_session(guard=self.store_guard, retries=True)

    @functools.cached_property
    def callback_session(self) -> requests.Session:
        """The HTTP session for callbacks, behind the address guard."""
        guard = AddressGuard(allow_private=self.settings.allow_private_callbacks)
        return make_session(guard=guard)

    def store_client(self, access: StoreAccess) -> StoreClient:
        """Return a client for one store."""
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
            options=access.options,
        )

    def api_base(self) -> str:
        """Return the URL at which stores reach the API, with its prefix and without a final slash.

        It is ``WOO_EVENTS_PUBLIC_URL``, or by default the address of the current request.
        """
        root = flask.request.url_root.rstrip("/")
        return self.settings.public_url or root + self.settings.url_prefix

    @property
    def retired_after(self) -> dt.datetime:
        """The time since which a replaced signature key still signs."""
        return self.clock() - dt.timedelta(hours=self.settings.signature_overlap_hours)

    @property
    def callback_timeouts(self) -> Timeouts:
        """The time-outs of a delivery attempt."""
        return Timeouts(
            connect=self.settings.callback_connect_timeout,
            read=self.settings.callback_read_timeout,
            total=self.settings.callback_total_timeout,
        )


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def current_runtime() -> Runtime:
    """Return the runtime of the current application.

    :raises ConfigurationError: the extension is not initialised for it.
    """
    runtime = flask.current_app.extensions.get(EXTENSION)
    if not isinstance(runtime, Runtime):
        raise ConfigurationError(
            "WooEvents is not initialised for this application. Call woo.init_app(app), "
            "or app.register_extension(woo) on a flask_woo_events.Flask."
        )
    return runtime
