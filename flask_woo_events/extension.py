"""The extension: what an application initialises."""

from __future__ import annotations

import collections.abc as cabc
import importlib.util
import typing as t

import flask

from .cli import cli
from .db.database import Database
from .errors import ConfigurationError
from .handlers import Function, Handlers
from .instances.accounts import ConsoleUser
from .runtime import EXTENSION, Runtime
from .settings import Settings, read_settings

if t.TYPE_CHECKING:
    import sqlalchemy as sa

ConsoleAccess = cabc.Callable[[], ConsoleUser | None]
A = t.TypeVar("A", bound=ConsoleAccess)


class WooEvents:
    """Events of WooCommerce stores for a Flask application.

    Initialise Flask-SQLAlchemy first; one object serves several applications::

        woo = WooEvents()
        db.init_app(app)
        woo.init_app(app)

    :param app: initialise this application at once.
    """

    def __init__(self, app: flask.Flask | None = None) -> None:
        self._handlers = Handlers()
        self._console_access: ConsoleAccess | None = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Read the settings, register the blueprints and the commands.

        :raises ConfigurationError: a setting is wrong, Flask-SQLAlchemy is missing, or the
            application was initialised before.
        """
        if EXTENSION in app.extensions:
            raise ConfigurationError("WooEvents is initialised for this application already.")
        settings = read_settings(app.config)
        database = Database(_engine(app, settings.bind_key))
        app.extensions[EXTENSION] = Runtime(settings, database, handlers=self._handlers, app=app)
        # Here and not above: what only imports the package does not need the API.
        from . import api

        blueprint = api.make_blueprint(settings.url_prefix)
        # Machines call it with secrets in a header, which no browser sends by itself.
        _exempt_from_csrf(app, blueprint)
        app.register_blueprint(blueprint)
        if settings.console:
            self._add_console(app, settings)
        app.cli.add_command(cli)

    def on(
        self, resource: str | None = None, *types: str, name: str | None = None
    ) -> cabc.Callable[[Function], Function]:
        """Have a function called for events, by the worker, in the application's context::

            @woo.on("orders", "CREATED")
            def pack(event: flask_woo_events.Event) -> None:
                ...

        It gets events at least once, and those of one object in order. When it raises, it gets
        the event again by the retry schedule, as a callback would.

        :param resource: of these only, the key of ``event.poller.configuration``; all without it.
        :param types: ``CREATED``, ``UPDATED``, ``DELETED``; all without one.
        :param name: under which deliveries know the function, by default its module and name.
            Events wait for the name: keep it when the function moves.
        :raises ConfigurationError: a type is unknown, or the name is taken.
        """
        return self._handlers.on(resource, types, name)

    def console_access(self, function: A) -> A:
        """Let the application's own login decide who sees the console::

            @woo.console_access
            def user() -> ConsoleUser | None:
                if not current_user.is_authenticated:
                    return None
                return ConsoleUser(current_user.name, "acme")

        It is called at every request to the console, instead of asking for the secrets. A user
        and an organisation are named as by ``flask woo users add``; ``None`` sees nothing.
        """
        self._console_access = function
        return function

    def _add_console(self, app: flask.Flask, settings: Settings) -> None:
        if importlib.util.find_spec("flask_bootstrap") is None or not importlib.util.find_spec(
            "flask_wtf"
        ):
            raise ConfigurationError(
                "WOO_EVENTS_CONSOLE needs: pip install 'flask-woo-events[console]'"
            )
        if not app.secret_key:
            raise ConfigurationError(
                "WOO_EVENTS_CONSOLE needs the application's SECRET_KEY, which signs its sessions."
            )
        from . import console

        blueprint = console.make_blueprint(settings, lambda: self._console_access)
        # It checks its own forms, at any age of the page.
        _exempt_from_csrf(app, blueprint)
        app.register_blueprint(blueprint)


class Flask(flask.Flask):
    """A ``flask.Flask`` with one method more."""

    def register_extension(self, extension: WooEvents) -> None:
        """Initialise an extension for this application."""
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
    csrf = app.extensions.get("csrf")
    if csrf is not None:
        csrf.exempt(blueprint)
