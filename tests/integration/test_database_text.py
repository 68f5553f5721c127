"""Text that a database does not hold by default: other character sets than UTF-8."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import pathlib
import typing as t

import pytest
import sqlalchemy as sa
from sqlalchemy.util import LRUCache

from flask_woo_events.db import upgrade
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Attempt, Delivery, Poller
from flask_woo_events.errors import SchemaError
from flask_woo_events.worker.worker import Worker
from tests.conftest import BACKENDS
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import open_env
from tests.raw_server import respond, response, serve_raw

EMOJI = "Ann \N{GRINNING FACE} \N{BLACK HEART SUIT} é"
SETS = [("latin1", "latin1"), ("utf8mb3", "utf8mb3"), ("latin1", "utf8mb4"), ("utf8mb4", "latin1")]


@pytest.fixture(params=SETS, ids=lambda param: " by ".join(param))
def narrow_url(request: pytest.FixtureRequest, any_url: str) -> cabc.Iterator[str]:
    """Yield the URL of a MariaDB database with other character sets, also for the connection."""
    tables, connection = request.param
    engine = sa.create_engine(any_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as administration:
        administration.exec_driver_sql(f"CREATE DATABASE narrow CHARACTER SET {tables}")
        url = engine.url.set(database="narrow", query={"charset": connection})
        yield url.render_as_string(hide_password=False)
        administration.exec_driver_sql("DROP DATABASE narrow")
    engine.dispose()


@contextlib.contextmanager
def _narrow_postgresql(any_url: str, encoding: str) -> cabc.Iterator[str]:
    """Yield the URL of a new database of PostgreSQL with this encoding."""
    engine = sa.create_engine(any_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as administration:
        administration.exec_driver_sql(
            f"CREATE DATABASE narrow ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'"
        )
        try:
            yield engine.url.set(database="narrow").render_as_string(hide_password=False)
        finally:
            administration.exec_driver_sql("DROP DATABASE narrow WITH (FORCE)")
    engine.dispose()


def _stored_texts(url: str, folder: pathlib.Path, names: dict[str, int]) -> dict[str, str | None]:
    """Let people, a store and a callback use every character; return what was stored.

    :param names: names for the instance, with the status of the answer.
    """
    with contextlib.ExitStack() as stack:
        callback = stack.enter_context(serve_raw(respond(*[response(EMOJI.encode())] * 9)))
        settings: dict[str, t.Any] = {"event.notification.callback.url": callback.url}
        env = open_env("11.0", folder, stack, SQLALCHEMY_DATABASE_URI=url, **settings)
        path = f"/instances/{env.instance_id}"
        for name, status in names.items():
            assert env.api.call("PATCH", path, {"name": name}).status_code == status, name
        env.store.acts.status(env.first("orders"), "completed")
        env.store.faults.add("status", match="/coupons", times=9, code=503, message=EMOJI)
        assert "discounts" in [one.resource for one in env.poll() if one.error]
        Worker(runtime_of(env.app)).deliver_once()
        with runtime_of(env.app).database.read() as session:
            assert set(session.scalars(sa.select(Delivery.status))) == {"delivered"}
            return {
                "name": env.api.call("GET", path).json["name"],
                "answer": session.scalar(sa.select(Attempt.answer)),
                "error": session.scalar(sa.select(Poller.error).where(Poller.error.is_not(None))),
            }


def _upgrade(url: str) -> None:
    engine = sa.create_engine(url)
    database = Database(engine)
    try:
        upgrade.upgrade(database.engine)
    finally:
        engine.dispose()


@pytest.mark.parametrize("any_url", BACKENDS[2:], indirect=True)
def test_mariadb_holds_every_text(narrow_url: str, tmp_path: pathlib.Path) -> None:
    """The tables and our transactions are utf8mb4, whatever the database and the connection are."""
    _upgrade(narrow_url)
    stored = _stored_texts(narrow_url, tmp_path, {EMOJI: 200})
    assert stored["name"] == stored["answer"] == EMOJI
    assert EMOJI in str(stored["error"])


@pytest.mark.parametrize("any_url", BACKENDS[1:2], indirect=True)
@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_narrow_database_is_refused(any_url: str, encoding: str) -> None:
    """PostgreSQL has one encoding for a whole database, which must be chosen before."""
    with _narrow_postgresql(any_url, encoding) as url:
        with pytest.raises(SchemaError, match=f"is {encoding}.*ENCODING 'UTF8'"):
            # Without it, psycopg returns bytes for text from SQL_ASCII.
            _upgrade(f"{url}?client_encoding=utf8")


@pytest.fixture
def own_statements() -> cabc.Iterator[None]:
    """Compile statements for this test: those of other tests hold the dialect of their engine."""
    cache = LRUCache[t.Any, t.Any](1_000)

    def take(connection: sa.Connection) -> None:
        connection.engine._compiled_cache = cache

    sa.event.listen(sa.Engine, "engine_connect", take)
    yield
    sa.event.remove(sa.Engine, "engine_connect", take)


@pytest.mark.usefixtures("own_statements")
@pytest.mark.parametrize("any_url", BACKENDS[1:2], indirect=True)
@pytest.mark.parametrize("client", ["", "?client_encoding=utf8"])
def test_a_narrow_database_of_an_earlier_release(
    any_url: str, client: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it does not hold is escaped in a text of others, and refused in a name."""
    with _narrow_postgresql(any_url, "LATIN1") as url:
        with monkeypatch.context() as patch:
            patch.setattr(upgrade, "_refuse_encoding", lambda *_: None)
            _upgrade(url)
        stored = _stored_texts(url + client, tmp_path, {"é": 200, EMOJI: 400})
    assert stored["name"] == "é"
    for text in ("answer", "error"):
        assert "Ann \\U0001f600 \\u2665 é" in str(stored[text])
