"""The extension object that an application initialises."""

from __future__ import annotations

import collections.abc as cabc
import importlib.util
import typing as t

import flask

from .cli import cli
from .db.database import Database
from .errors import ConfigurationError
from .handlers import Function, Handlers, OperationalFunction
from .instances import privacy
from .instances.accounts import ConsoleUser
from .runtime import EXTENSION, Runtime
from .settings import Settings, read_settings

if t.TYPE_CHECKING:
    import sqlalchemy as sa

ConsoleAccess = cabc.Callable[[], ConsoleUser | None]
A = t.TypeVar("A", bound=ConsoleAccess)


class WooEvents:
    """Send the events of WooCommerce stores from a Flask application.

    Initialise Flask-SQLAlchemy first. One object can serve several applications::

        db = SQLAlchemy()
        woo = WooEvents()

        def create_app() -> Flask:
            app = Flask(__name__)
            app.config.from_prefixed_env()
            db.init_app(app)
            woo.init_app(app)
            return app

    :param app: call :meth:`init_app` with this application.
    """

    def __init__(self, app: flask.Flask | None = None) -> None:
        self._handlers = Handlers()
        self._console_access: ConsoleAccess | None = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Read the settings, and register the API, the console and the commands ``flask woo``.

        The settings are keys of ``app.config`` that begin with ``WOO_EVENTS_``. They are read
        here; later changes have no effect.

        :param app: an application for which Flask-SQLAlchemy is initialised.
        :raises ConfigurationError: a setting is wrong, Flask-SQLAlchemy is not initialised, or
            the extension is initialised for this application already.
        """
        if EXTENSION in app.extensions:
            raise ConfigurationError("WooEvents is initialised for this application already.")
        settings = read_settings(app.config)
        privacy.parsed(settings.redact)
        database = Database(_engine(app, settings.bind_key))
        app.extensions[EXTENSION] = Runtime(settings, database, handlers=self._handlers, app=app)
        # Not at the top: the import of the package alone does not need the API.
        from . import api

        blueprint = api.make_blueprint(settings.url_prefix)
        # Its clients send secrets in a header, which no browser sends by itself.
        _exempt_from_csrf(app, blueprint)
        app.register_blueprint(blueprint)
        if settings.console:
            self._add_console(app, settings)
        app.cli.add_command(cli)

    def on(
        self,
        resource: str | None = None,
        *types: str,
        fields: cabc.Collection[str] = (),
        name: str | None = None,
    ) -> cabc.Callable[[Function], Function]:
        """Register a function that the worker calls for each event::

            @woo.on("orders", "CREATED")
            def pack(event: flask_woo_events.Event) -> None:
                ...

        The function runs in the application's context. It gets each event at least once, and the
        events of one object in order. If it raises, it gets the event again by the retry
        schedule, as a callback does.

        :param resource: only events of this resource, a key of ``event.poller.configuration``;
            ``None`` for all resources.
        :param types: only these of ``CREATED``, ``UPDATED``, ``DELETED``; none for all types.
        :param fields: an UPDATED only if one of these fields changed, for example ``status``,
            ``billing.email`` or ``line_items[].quantity``; none for any field.
        :param name: the name of the function's deliveries, by default its module and name. Events
            that wait are stored with the name: keep it when the function moves.
        :raises ConfigurationError: a type is unknown, a field is no path, or the name is taken.
        """
        return self._handlers.on(resource, types, name, fields)

    def on_operational(
        self, *kinds: str, name: str | None = None
    ) -> cabc.Callable[[OperationalFunction], OperationalFunction]:
        """Register a function that the worker calls when events of a store stop or go on::

            @woo.on_operational("subscription.stopped", "poller.disabled")
            def alert(event: flask_woo_events.OperationalEvent) -> None:
                ...

        It gets each operational event of every instance at least once, with the retries of a
        callback, and the end of a problem after its begin.

        :param kinds: only these, see ``flask woo events types --operational``; none for all but
            ``checkpoint``, which comes only to those who name it.
        :param name: as for :meth:`on`.
        :raises ConfigurationError: a kind is unknown, or the name is taken.
        """
        return self._handlers.on_operational(kinds, name)

    def console_access(self, function: A) -> A:
        """Register a function by which the application's own login opens the console::

            @woo.console_access
            def user() -> ConsoleUser | None:
                if not current_user.is_authenticated:
                    return None
                return ConsoleUser(current_user.name, "acme")

        The console calls it at every request and does not ask for the secrets. The user and the
        organisation must exist, see ``flask woo users add``. ``None`` refuses access.

        :param function: takes no arguments and returns the signed-in user.
        """
        self._console_access = function
        return function

    def _add_console(self, app: flask.Flask, settings: Settings) -> None:
        if importlib.util.find_spec("flask_bootstrap") is None or not importlib.util.find_spec(
            "wtforms"
        ):
            raise ConfigurationError(
                "WOO_EVENTS_CONSOLE needs: pip install 'flask-woo-events[console]'"
            )
        from . import console

        blueprint = console.make_blueprint(settings, lambda: self._console_access)
        # The console checks a token of its own in each form.
        _exempt_from_csrf(app, blueprint)
        app.register_blueprint(blueprint)


class Flask(flask.Flask):
    """A ``flask.Flask`` with the method :meth:`register_extension`."""

    def register_extension(self, extension: WooEvents) -> None:
        """Initialise the extension for this application, as ``extension.init_app(app)`` does.

        :raises ConfigurationError: see :meth:`WooEvents.init_app`.
        """
        extension.init_app(self)


def _engine(app: flask.Flask, bind_key: str | None) -> sa.Engine:
    if "sqlalchemy" not in app.extensions:
        raise ConfigurationError(
            "Flask-SQLAlchemy is not initialised for this application. "
            "Call db.init_app(app) before woo.init_app(app)."
        )
    with app.app_context():
        engines = app.extensions["sqlalchemy"].engines
    try:
        return t.cast("sa.Engine", engines[bind_key])
    except KeyError:
        raise ConfigurationError(
            f"WOO_EVENTS_BIND_KEY is {bind_key!r}, which is not in SQLALCHEMY_BINDS."
        ) from None


def _exempt_from_csrf(app: flask.Flask, blueprint: flask.Blueprint) -> None:
    def exempt() -> None:
        csrf = app.extensions.get("csrf")
        if csrf is not None:
            csrf.exempt(blueprint)

    exempt()
    # Functions run in the order in which they are added: a CSRFProtect that is initialised after
    # this extension checks the request after this.
    app.before_request(exempt)
