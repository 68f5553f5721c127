"""Initialising the extension for applications, and what is said when it cannot be."""

from __future__ import annotations

import collections.abc as cabc
import pathlib

import flask
import flask_sqlalchemy
import pytest
import sqlalchemy as sa

import flask_woo_events
from flask_woo_events import ConfigurationError, WooEvents
from flask_woo_events.db import upgrade
from flask_woo_events.db.models import Base, Instance
from tests.integration.host_app import PREFIX, Api, add_account, dispose, make_app, runtime_of


@pytest.fixture
def bare(tmp_path: pathlib.Path) -> cabc.Iterator[flask.Flask]:
    """A plain Flask application with Flask-SQLAlchemy and nothing of ours."""
    app = flask.Flask("bare")
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path}/bare.sqlite3"
    flask_sqlalchemy.SQLAlchemy(app)
    yield app
    dispose(app)


def test_plain_flask(bare: flask.Flask) -> None:
    """The extension works with Flask's own class, in both ways of initialising."""
    WooEvents(bare)
    assert bare.test_client().get(f"{PREFIX}/instances").status_code == 401
    assert "woo" in bare.cli.commands


def test_wrong_setting(bare: flask.Flask) -> None:
    """A wrong setting is refused by its name, and nothing is registered."""
    bare.config["WOO_EVENTS_POLL_THREADS"] = "many"
    with pytest.raises(ConfigurationError, match="WOO_EVENTS_POLL_THREADS"):
        WooEvents(bare)
    assert "woo_events" not in bare.extensions
    assert "woo" not in bare.cli.commands


def test_second_time(bare: flask.Flask) -> None:
    """An application is initialised once."""
    woo = WooEvents(bare)
    with pytest.raises(ConfigurationError, match="already"):
        woo.init_app(bare)


def test_without_flask_sqlalchemy() -> None:
    """Without Flask-SQLAlchemy the message says what to call first."""
    with pytest.raises(ConfigurationError, match=r"db\.init_app"):
        WooEvents(flask.Flask("bare"))


def test_unknown_bind(bare: flask.Flask) -> None:
    """A bind that does not exist is refused by the name of the setting."""
    bare.config["WOO_EVENTS_BIND_KEY"] = "other"
    with pytest.raises(ConfigurationError, match="WOO_EVENTS_BIND_KEY"):
        WooEvents(bare)


def test_bind(tmp_path: pathlib.Path) -> None:
    """Our tables may be in another database than the host's."""
    other = f"sqlite:///{tmp_path}/other.sqlite3"
    app = make_app(tmp_path, SQLALCHEMY_BINDS={"events": other}, WOO_EVENTS_BIND_KEY="events")
    assert str(runtime_of(app).database.engine.url) == other
    dispose(app)


@pytest.mark.parametrize(
    ("prefix", "path"), [("/api", "/api/instances"), ("/", "/instances"), ("", "/instances")]
)
def test_prefix(bare: flask.Flask, prefix: str, path: str) -> None:
    """The API is mounted where the setting says."""
    bare.config["WOO_EVENTS_URL_PREFIX"] = prefix
    WooEvents(bare)
    assert bare.test_client().get(path).status_code == 401
    assert bare.test_client().get(f"{PREFIX}/openapi.json").status_code == 404
    assert bare.test_client().get("/nothing").mimetype == "text/html"


def test_two_applications(tmp_path: pathlib.Path) -> None:
    """One extension object serves two applications with settings and tables of their own."""
    woo, db = WooEvents(), flask_sqlalchemy.SQLAlchemy()
    apps = []
    for name, pages in (("one", 3), ("two", 4)):
        app = flask.Flask(name)
        app.config.update(
            SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/{name}.sqlite3",
            WOO_EVENTS_COMPARE_PAGES=pages,
        )
        db.init_app(app)
        woo.init_app(app)
        upgrade.upgrade(runtime_of(app).database.engine)
        apps.append(app)
    one, two = apps
    assert [runtime_of(app).settings.compare_pages for app in apps] == [3, 4]
    headers = add_account(one, "ann", "acme").headers
    assert one.test_client().get(f"{PREFIX}/instances", headers=headers).status_code == 404
    assert two.test_client().get(f"{PREFIX}/instances", headers=headers).status_code == 401
    for app in apps:
        dispose(app)


class _Csrf:
    """As much of Flask-WTF's extension as counts here."""

    def __init__(self) -> None:
        self.exempted: list[flask.Blueprint] = []

    def exempt(self, blueprint: flask.Blueprint) -> None:
        """Keep what is exempted."""
        self.exempted.append(blueprint)


def test_csrf_exemption(bare: flask.Flask) -> None:
    """The API is exempt from the host's CSRF protection, as its callers have no cookies."""
    bare.extensions["csrf"] = csrf = _Csrf()
    WooEvents(bare)
    assert csrf.exempted == [bare.blueprints["woo_events_api"]]


def test_without_encryption_key(tmp_path: pathlib.Path) -> None:
    """Without a key the application starts, and a request's error refers to the log."""
    app = make_app(tmp_path, WOO_EVENTS_ENCRYPTION_KEYS=[])
    upgrade.upgrade(runtime_of(app).database.engine)
    headers = add_account(app, "ann", "acme").headers
    client = app.test_client()
    assert client.get(f"{PREFIX}/instances", headers=headers).status_code == 404
    body = {
        "element": {"key": "woocommercerest"},
        "name": "x",
        "configuration": {
            "store.url": "http://127.0.0.1:9",
            "oauth.api.key": "ck_test",
            "oauth.api.secret": "cs_test",
        },
    }
    response = client.post(f"{PREFIX}/instances", json=body, headers=headers)
    assert response.status_code == 500
    assert response.json and "log" in response.json["message"]
    assert "WOO_EVENTS" not in response.text
    dispose(app)


def test_without_tables(tmp_path: pathlib.Path) -> None:
    """Without the tables a request's error refers to the log, in the documented form."""
    app = make_app(tmp_path)
    headers = {"Authorization": "User x, Organization y"}
    response = app.test_client().get(f"{PREFIX}/instances", headers=headers)
    assert response.status_code == 500
    assert response.json and set(response.json) == {"message", "requestId"}
    dispose(app)


def test_unexpected_failure(app: flask.Flask, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error is a 500 in the documented form without details."""
    monkeypatch.setattr(runtime_of(app), "database", None)
    app.config.update(TESTING=False, PROPAGATE_EXCEPTIONS=False)
    response = api.call("GET", "/instances")
    assert response.status_code == 500
    assert set(response.json) == {"message", "requestId"}
    assert "NoneType" not in response.text


@pytest.mark.parametrize(
    ("name", "kind", "kept"),
    [
        ("woo_instance", "table", False),
        ("woo_version", "table", False),
        ("orders", "table", True),
        ("woocommerce", "table", True),
        ("woo_key", "column", True),
        (None, "schema", True),
    ],
)
def test_include_name(name: str | None, kind: str, kept: bool) -> None:
    """A host's Alembic leaves our tables alone and sees all of its own."""
    assert flask_woo_events.include_name(name, kind, {}) is kept


def test_include_name_knows_all_tables() -> None:
    """Every table of ours is left alone."""
    names = [*Base.metadata.tables, upgrade.VERSION_TABLE]
    assert not [name for name in names if flask_woo_events.include_name(name, "table", {})]


def test_host_autogenerate_keeps_our_tables(app: flask.Flask) -> None:
    """With the hook a host's autogenerate writes no ``drop_table`` for ours."""
    import alembic.autogenerate
    import alembic.runtime.migration

    with runtime_of(app).database.engine.connect() as connection:
        context = alembic.runtime.migration.MigrationContext.configure(
            connection, opts={"include_name": flask_woo_events.include_name}
        )
        assert alembic.autogenerate.compare_metadata(context, sa.MetaData()) == []


def test_models_are_not_the_hosts(app: flask.Flask) -> None:
    """The host's ``create_all`` neither makes nor drops our tables."""
    assert Instance.metadata is not app.extensions["sqlalchemy"].metadata
