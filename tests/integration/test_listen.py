"""``flask woo listen``: no event is missed or lost on its way to a developer's address."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import json
import pathlib

import pytest
import sqlalchemy as sa

from flask_woo_events.cli import listen
from flask_woo_events.cli.listener import Listener, PositionFile, Selection
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import StoredEvent
from flask_woo_events.delivery import following
from flask_woo_events.delivery.forwarding import Forwarder
from flask_woo_events.events.feed_cursor import FeedCursor
from flask_woo_events.runtime import Runtime
from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from tests.conftest import BACKENDS
from tests.integration.feed_env import open_feed
from tests.integration.host_app import runtime_of
from tests.integration.ledger_env import build
from tests.integration.store_to_callback import KEY, StoreToCallback
from tests.ports import reserve_port


def _change(env: StoreToCallback, quantity: int) -> str:
    """Change the stock of a product, and poll; return the product's id."""
    product = env.store.acts.stock(env.first("products"), quantity)
    assert [one.error for one in env.poll() if one.error] == []
    return str(product)


def _ids(env: StoreToCallback) -> list[int]:
    with runtime_of(env.app).database.read() as session:
        return list(session.scalars(sa.select(StoredEvent.id).order_by(StoredEvent.id)))


def _stock(receiver: CallbackReceiver) -> list[int]:
    return [
        body["stock_quantity"]
        for one in receiver.received
        for body in one.json["message"]["raw"]["products"]
    ]


@contextlib.contextmanager
def _at(port: int) -> cabc.Iterator[CallbackReceiver]:
    receiver = CallbackReceiver()
    with receiver.serve(port=port):
        yield receiver


class StillClock:
    """The library's own clock, which only a test moves: a slow machine changes nothing."""

    def __init__(self, runtime: Runtime) -> None:
        self._now = runtime.clock()
        runtime.clock = lambda: self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self._now += dt.timedelta(seconds=seconds)


class Listening:
    """Listeners of one choice of options, one after the other as after crashes."""

    def __init__(self, env: StoreToCallback, folder: pathlib.Path, port: int) -> None:
        self.clock = StillClock(runtime_of(env.app))
        self._env = env
        self._file = PositionFile(folder / "state.json", ())
        self._url = f"http://127.0.0.1:{port}/hook"
        self.again()

    def again(self) -> None:
        """Start another process: only what is in the file is known."""
        runtime = runtime_of(self._env.app)
        forwarder = Forwarder(runtime, self._url)
        places = self._file.load() or {}
        assert not isinstance(places, int)
        self.listener = Listener(runtime, Selection(), places, self._file, forwarder, as_json=True)

    def look(self) -> None:
        """Handle what there is now."""
        steps = iter([False, True])
        self.listener.run(lambda: next(steps))


@pytest.fixture
def listening(env: StoreToCallback, tmp_path: pathlib.Path) -> Listening:
    """Listen to a connected store."""
    return Listening(env, tmp_path, reserve_port())


def _port(listening: Listening) -> int:
    return int(listening._url.split(":")[2].partition("/")[0])


def _printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_event_is_printed_with_its_forward(
    env: StoreToCallback, listening: Listening, capsys: pytest.CaptureFixture[str]
) -> None:
    """The forward is signed as a delivery is, although the address is a local one."""
    product = _change(env, 77)
    with _at(_port(listening)) as receiver:
        listening.look()
    [one] = _printed(capsys)
    assert (one["resource"], one["id"], one["forward"]) == ("products", product, "200 OK")
    assert "stock_quantity" in str(one["changedFields"])
    [sent] = receiver.received
    assert sent.is_signed_with(KEY)


def test_an_address_that_is_down_gets_all_later(
    env: StoreToCallback, listening: Listening, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing overtakes what could not be sent, and each attempt is shown."""
    _change(env, 70)
    listening.look()
    _change(env, 71)
    listening.look()
    first, second = _printed(capsys)
    assert "refuses connections; tried again in 1 s" in str(first["forward"])
    assert second["forward"] == "waits for the events before it"
    with _at(_port(listening)) as receiver:
        listening.look()
        assert receiver.received == []
        listening.clock.advance(seconds=2)
        listening.look()
        assert _stock(receiver) == [70, 71]
    assert [one["forward"] for one in _printed(capsys)] == ["200 OK (attempt 2)", "200 OK"]


_HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\nforged  #1\u202e\x9b31m"


def test_a_store_cannot_command_the_terminal(
    env: StoreToCallback, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names of fields and ids are the store's: their control characters are shown, not obeyed."""
    _change(env, 70)
    runtime, [*_, number] = runtime_of(env.app), _ids(env)
    with runtime.database.write() as session:
        row = session.get_one(StoredEvent, number)
        row.changed_fields, row.object_id = [_HOSTILE], f"7{_HOSTILE}"
        row.changes = json.dumps({"changes": {_HOSTILE: {}}}).encode()
        row.body = json.dumps({"id": 7, "note": _HOSTILE}, ensure_ascii=False).encode()
    file = PositionFile(tmp_path / "state.json", ())
    places = following.begin(runtime, None, number)
    listener = Listener(runtime, Selection(), places, file, None, as_json=False)
    steps = iter([False, True])
    listener.run(lambda: next(steps))
    listened = capsys.readouterr().out
    runner = env.app.test_cli_runner()
    shown = runner.invoke(args=["woo", "events", "show", str(number)], color=True).output
    listed = runner.invoke(args=["woo", "events", "list"], color=True).output
    as_json = runner.invoke(
        args=["woo", "events", "show", str(number), "--json"], color=True
    ).output
    assert json.loads(as_json)["body"]["note"] == _HOSTILE
    assert as_json.strip().isprintable()
    for text in (listened, shown, listed):
        assert r"\x1b[2J\r\nforged" in text
        assert all(one.isprintable() or one == "\n" for one in text), text


def test_a_killed_listener_forwards_what_was_waiting(
    env: StoreToCallback, listening: Listening
) -> None:
    """What was recorded before and after the crash arrives, once and in order."""
    _change(env, 70)
    listening.look()
    _change(env, 71)
    listening.look()
    _change(env, 72)
    listening.again()
    with _at(_port(listening)) as receiver:
        for _ in range(2):
            listening.look()
            listening.again()
    assert _stock(receiver) == [70, 71, 72]


def test_an_error_is_shown_and_sent_again_by_its_number(
    env: StoreToCallback, listening: Listening, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the address answers with an error is not repeated by itself, nor holds others back."""
    _change(env, 70)
    with _at(_port(listening)) as receiver:
        receiver.answer = lambda received: 500
        listening.look()
        number = _ids(env)[-1]
        assert f"500 Internal Server Error; type {number}" in str(_printed(capsys)[0]["forward"])
        receiver.answer = lambda received: 200
        receiver.clear()
        listening.look()
        assert receiver.received == []
        for text in (f"#{number}", "nonsense", "0", "9" * 40, "123456"):
            listening.listener.typed.put(text)
        listening.look()
        assert _stock(receiver) == [70]
    shown = _printed(capsys)
    assert [one["number"] for one in shown] == [number, 123456]
    assert shown[0]["forward"] == "200 OK (sent again)"


def test_resend_of_one_event(env: StoreToCallback, capsys: pytest.CaptureFixture[str]) -> None:
    """``--resend`` sends one event and exits with 1 if it is not accepted."""
    _change(env, 70)
    number, port = str(_ids(env)[-1]), reserve_port()
    runner = env.app.test_cli_runner()
    args = ["woo", "listen", "--resend", number, "--forward-to", f"http://127.0.0.1:{port}/"]
    assert runner.invoke(args=args).exit_code == 1
    with _at(port) as receiver:
        assert runner.invoke(args=args).exit_code == 0
    assert _stock(receiver) == [70]
    assert runner.invoke(args=args[:4]).exit_code == 2


def test_selected_events_only(
    env: StoreToCallback, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Events of other instances, resources and types are passed over."""
    _change(env, 70)
    env.store.acts.new_product("Another")
    env.poll()
    for selection, count in (
        (Selection(types=frozenset({"CREATED"})), 1),
        (Selection(resources=frozenset({"orders"})), 0),
        (Selection(instance=env.instance_id + 1), 0),
        (Selection(instance=env.instance_id), 2),
    ):
        file = PositionFile(tmp_path / "state.json", (selection.words,))
        runtime = runtime_of(env.app)
        listener = Listener(runtime, selection, {}, file, None, as_json=True)
        steps = iter([False, True])
        listener.run(lambda steps=steps: next(steps))  # type: ignore[misc]
        assert len(_printed(capsys)) == count
        assert file.load() is not None


# A SQLite file has one writer at a time.
@pytest.mark.parametrize("any_url", BACKENDS[1:], indirect=True)
def test_events_that_are_committed_late(
    any_database: Database, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An event is printed, although more than 1,000 higher numbers were committed before it."""
    env = open_feed(any_database, instances=2)
    # Another organization, whose feed has positions of its own.
    other = build(any_database).stream
    env.streams.append(other)
    file = PositionFile(tmp_path / "state.json", ())
    places = following.begin(env.runtime, None)

    def printed() -> list[object]:
        """Print with a new process, which has only what the last one has kept."""
        kept = file.load() or places
        assert isinstance(kept, dict)
        listener = Listener(env.runtime, Selection(), kept, file, None, as_json=True)
        steps = iter([False, False, True])
        listener.run(lambda: next(steps))
        return [one["id"] for one in _printed(capsys)]

    with any_database.write() as slower:
        late = env.post(slower, stream=0)
        sooner = env.record(1100, stream=1)
        [third] = env.record(stream=2)
        assert printed() == [*sooner[:1000], third, *sooner[1000:]]
    assert printed() == late
    assert printed() == []
    [first] = env.record(stream=2)
    env.record(stream=0)
    with any_database.read() as session:
        number = session.scalars(
            sa.select(StoredEvent.id).where(StoredEvent.object_id == first)
        ).one()
    since = following.begin(env.runtime, other.instance_id, number)
    found = list(following.read(env.runtime, since, other.instance_id))
    assert [entry.object_id for one in found for entry in one.entries] == [first]


def test_a_place_of_another_database(
    env: StoreToCallback, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A database that replaces the one of the place is read from its start."""
    _change(env, 70)
    runtime = runtime_of(env.app)
    for number in following.begin(runtime, None):
        for life in ("another", following.begin(runtime, None)[number].life):
            places = {number: FeedCursor(position=999, life=life)}
            found = list(following.read(runtime, places, None))
            assert [entry.id for one in found for entry in one.entries] == _ids(env)


def test_damaged_position_files_are_no_position(
    env: StoreToCallback, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a file that another program has changed, nor an earlier release's, stops it."""
    file = PositionFile(tmp_path / "state.json", ())
    assert file.load() is None
    kept = {1: FeedCursor(position=3, life="0:a"), 2: FeedCursor(position=0, life="0:a")}
    file.save(kept)
    assert file.load() == kept
    [path] = tmp_path.glob("state-listen-*")
    for text in ("", "[]", '{"feeds": 1}', '{"feeds": [{"position": 1}]}', '{"last": "x"}'):
        path.write_text(text)
        assert file.load() is None
    path.write_text('{"last": 7, "missing": [3], "epoch": "a"}')
    _change(env, 70)
    runtime = runtime_of(env.app)
    assert listen._places(runtime, file, None, None) == following.begin(runtime, None)
    assert "--from 8" in capsys.readouterr().err
