"""The client of the feed: it handles every event at least once, whatever the network does."""

from __future__ import annotations

import http.server
import json
import pathlib
import subprocess
import sys
import threading
import typing as t

import pytest
import requests

from flask_woo_events import client
from flask_woo_events.client import CursorFile, FeedError, FeedReader

#: A status with headers, a body, or what a request raises.
Step = tuple[int, dict[str, str], object] | Exception


class Script:
    """A session that answers as a test says, and keeps the requests."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.asked: list[dict[str, str]] = []

    def get(self, url: str, *, params: dict[str, str], **how: t.Any) -> requests.Response:
        self.asked.append(params)
        assert how["headers"]["Authorization"] == "User u, Element e"
        assert how["allow_redirects"] is False
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        response = requests.Response()
        response.status_code = step[0]
        response.headers.update(step[1])
        body = step[2] if isinstance(step[2], bytes) else json.dumps(step[2]).encode()
        response._content = body
        return response


def page(*events: int, cursor: str, truncated: bool = False) -> Step:
    """Return an answer with events."""
    shown = [{"id": str(one)} for one in events]
    body = {"events": shown, "cursor": cursor, "truncated": truncated, "more": False}
    return 200, {}, body


class EndOfScript(Exception):
    """The test has seen enough."""


def read(
    file: pathlib.Path, *steps: Step, most: int = 99, **how: t.Any
) -> tuple[list[str], Script, list[float]]:
    """Read until an event is to be handled that is too many; return what was handled."""
    script, pauses, handled = Script(*steps), list[float](), list[str]()
    session = t.cast("requests.Session", script)
    reader = FeedReader(
        "http://x/feed", "User u, Element e", CursorFile(file), session=session, **how
    )
    reader.pause = pauses.append
    try:
        for event in reader:
            if len(handled) == most:
                raise EndOfScript
            handled.append(event["id"])
    except (EndOfScript, IndexError):
        pass
    return handled, script, pauses


def test_cursor_is_saved_when_all_events_of_an_answer_are_handled(tmp_path: pathlib.Path) -> None:
    """A program that ends between two events gets the answer again."""
    file = tmp_path / "cursor"
    first, second = page(1, 2, cursor="a"), page(3, 4, cursor="b")
    handled, script, _ = read(file, first, second, most=3)
    assert handled == ["1", "2", "3"]
    assert file.read_text() == "a\n"
    handled, script, _ = read(file, second, page(cursor="c"))
    assert handled == ["3", "4"]
    assert [one.get("cursor") for one in script.asked] == ["a", "b", "c"]
    assert file.read_text() == "c\n"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "failure",
    [
        requests.ConnectionError("reset"),
        requests.ReadTimeout("slow"),
        requests.exceptions.ChunkedEncodingError("cut"),
        (500, {}, b"oops"),
        (502, {}, b"<html>"),
        (503, {}, {"message": "the database is away"}),
        (200, {}, b"<html>a page of a proxy"),
        (200, {}, {"login": "please"}),
        (200, {}, []),
    ],
    ids=repr,
)
def test_what_may_succeed_is_repeated(tmp_path: pathlib.Path, failure: Step) -> None:
    """With the same cursor and growing pauses."""
    handled, script, pauses = read(
        tmp_path / "cursor", page(1, cursor="a"), *[failure] * 8, page(2, cursor="b")
    )
    assert handled == ["1", "2"]
    assert [one.get("cursor") for one in script.asked] == [None, *["a"] * 9, "b"]
    assert all(2**number / 2 <= one <= 2**number for number, one in enumerate(pauses[:6]))
    assert pauses[7] <= client.LONGEST_PAUSE


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [("7", 7, 7), ("0", 0, 1), ("", 0, 1), ("soon", 0, 1), ("-5", 0, 1), ("9" * 400, 600, 600),
     ("Wed, 01 Jan 2120 00:00:00 GMT", 600, 600), ("Wed, 01 Jan 2020 00:00:00 GMT", 0, 1),
     ("Wed, 01 Jan 2120 00:00:00 +99999999999999999", 0, 1)],
)  # fmt: skip
def test_retry_after_is_honoured(
    tmp_path: pathlib.Path, asked: str, least: float, most: float
) -> None:
    """As a number or a date, within reason."""
    busy = (429, {"Retry-After": asked}, {"message": "busy"})
    handled, _, [pause] = read(tmp_path / "cursor", busy, page(1, cursor="a"))
    assert handled == ["1"]
    assert least <= pause <= most


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404])
def test_what_is_refused_is_raised(tmp_path: pathlib.Path, status: int) -> None:
    """A wrong secret or cursor does not get better; the server's message says what it is."""
    with pytest.raises(FeedError, match=rf"answered {status}: cursor is ahead") as caught:
        read(tmp_path / "cursor", (status, {}, {"message": "cursor is ahead"}))
    assert caught.value.status == status
    with pytest.raises(FeedError, match="no reason"):
        read(tmp_path / "cursor", (status, {}, b"<html>"))


def test_deleted_events_are_reported(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A program that was away for too long does not learn it from its data."""
    gap = page(1, cursor="a", truncated=True)
    calls: list[str] = []
    read(tmp_path / "cursor", gap, on_truncated=lambda: calls.append("gap"))
    assert calls == ["gap"]
    assert caplog.records == []
    read(tmp_path / "cursor", gap)
    assert [one.levelname for one in caplog.records] == ["WARNING"]


def test_what_happens_from_now_on_survives_a_crash(tmp_path: pathlib.Path) -> None:
    """Until a cursor is saved, the next run would begin with its own now."""
    file = tmp_path / "cursor"
    script = Script(page(cursor="a"), page(1, cursor="b"))
    session = t.cast("requests.Session", script)
    saved = CursorFile(file, begin="now")
    reader = FeedReader("http://x/feed", "User u, Element e", saved, session=session)
    assert next(iter(reader))["id"] == "1"
    assert file.read_text() == "a\n"
    assert [(one["cursor"], one["wait"]) for one in script.asked] == [("now", "0"), ("a", "30")]


def test_reader_that_does_not_wait_is_no_busy_loop(tmp_path: pathlib.Path) -> None:
    """A server whose workers have one thread cannot keep requests waiting."""
    steps = page(cursor="a"), page(cursor="a"), page(1, cursor="b"), page(cursor="b")
    handled, script, pauses = read(tmp_path / "cursor", *steps, wait=0)
    assert handled == ["1"] and not script.steps
    assert pauses == [client.IDLE_PAUSE] * 3


@pytest.mark.parametrize("address", ["http://127.0.0.1:{}/feed", "http://a:b@127.0.0.1:{}/feed"])
def test_authorization_is_replaced_by_no_other(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """The machine's netrc or the URL may name a password for the same host."""
    (tmp_path / "netrc").write_text("default login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            self.send_response(401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = address.format(server.server_port)
        reader = FeedReader(url, "User u, Element e", CursorFile(tmp_path / "cursor"))
        with pytest.raises(FeedError):
            next(iter(reader))
    assert seen == ["User u, Element e"]


def test_cursor_can_begin_with_now(tmp_path: pathlib.Path) -> None:
    """Until there is a file; an empty one, as of a full disk, counts as none."""
    file = CursorFile(tmp_path / "cursor", begin="now")
    assert file.load() == "now"
    (tmp_path / "cursor").touch()
    assert file.load() == "now"
    file.save("a")
    assert file.load() == "a"


def _loaded(program: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.slow
def test_client_loads_neither_flask_nor_sqlalchemy() -> None:
    """Programs that only read have no need of them, and start in a fraction of the time."""
    loaded = _loaded("import flask_woo_events.client")
    assert "requests" in loaded
    roots = {name.partition(".")[0] for name in loaded}
    assert not roots & {"flask", "sqlalchemy", "werkzeug", "pydantic", "blinker", "orjson"}
    ours = {name for name in loaded if name.startswith("flask_woo_events")}
    assert ours == {"flask_woo_events", "flask_woo_events.client"}


def test_package_shows_its_names() -> None:
    """They are imported when they are used, and are there all the same."""
    import flask_woo_events

    names = set(flask_woo_events.__all__)
    assert names <= set(dir(flask_woo_events))
    assert all(getattr(flask_woo_events, name) is not None for name in names)
    scope: dict[str, t.Any] = {}
    exec("from flask_woo_events import *", scope)  # noqa: S102
    assert names <= scope.keys()
    with pytest.raises(AttributeError, match="no attribute 'WooEvent'"):
        getattr(flask_woo_events, "WooEvent")  # noqa: B009
