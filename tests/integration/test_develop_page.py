"""The commands of the page on developing, typed into real shells, print what the page shows."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import typing as t

import pytest

from flask_woo_events import Event, WooEvents
from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.simulation.triggers import TRIGGERS
from tests.ports import reserve_port
from tests.waiting import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT.joinpath("docs", "develop.md").read_text(encoding="utf-8")
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCES = _FENCE.findall(PAGE)


def _block(language: str, text: str) -> str:
    """Return the first block of a language that contains a text."""
    return str(next(code for name, code in FENCES if name == language and text in code))


def _commands(code: str) -> list[str]:
    return [line[2:].partition("    #")[0] for line in code.splitlines() if line[:2] == "$ "]


class Terminal:
    """A shell, into which lines are typed, and what it has printed."""

    def __init__(self, folder: pathlib.Path, environment: cabc.Mapping[str, str]) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))

    def type(self, line: str) -> None:
        """Type a line and Enter."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def shows(self, pattern: str, since: int = 0) -> str:
        """Wait for a line; return its first group, or the whole line."""
        found: list[re.Match[str]] = []

        def look() -> bool:
            found[:] = [m for one in self.lines[since:] if (m := re.fullmatch(pattern, one))]
            assert found or self._process.poll() is None, self.lines
            return bool(found)

        try:
            wait_until(look)
        except TimeoutError:
            raise AssertionError(f"no line is {pattern!r}, but: {self.lines}") from None
        return str(found[0][1] if found[0].re.groups else found[0][0])

    @property
    def _children(self) -> list[int]:
        pid = self._process.pid
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(one) for one in text.split()]

    def end_command(self, number: signal.Signals) -> None:
        """Send a signal to the running command, and wait until it has ended."""
        [child] = self._children
        os.kill(child, number)
        wait_until(lambda: child not in self._children)

    def close(self) -> None:
        """End the shell with what it runs."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                for child in self._children:
                    os.kill(child, signal.SIGKILL)
            self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                assert stream is not None
                stream.close()


def _shape(line: str) -> str:
    """Return a pattern for a line of the page: numbers, and thus times and ids, may differ.

    Of a line with the result of a forward only the result counts: which event is the first of a
    poll is not fixed.
    """
    line = f".*{line[line.index('->') :]}" if "->" in line else line
    return re.sub(r"\d+", r"\\d+", re.escape(line).replace(r"\.\*", ".*"))


def test_counts_of_the_page() -> None:
    """What the page says that is typed is typed, and it names every trigger."""
    first = PAGE.partition("## The first event")[2].partition("\nPress Ctrl-C")[0]
    typed = [
        one for name, code in _FENCE.findall(first) if name == "console" for one in _commands(code)
    ]
    typed = [one for one in typed if " connect " not in one]
    said = re.search(r"typed (\d+) commands with (\d+) characters", first.replace("\n", " "))
    assert said is not None
    assert (len(typed), sum(map(len, typed))) == (int(said[1]), int(said[2]))
    table = PAGE.partition("| Object | Changes |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+\.)` \| (.+) \|$", table, re.MULTILINE)
    named = [begin + name for begin, names in rows for name in re.findall(r"`(\w+)`", names)]
    assert sorted(named) == sorted(TRIGGERS)


def test_the_function_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    """The function takes an order with a changed status."""
    namespace: dict[str, t.Any] = {"woo": WooEvents()}
    exec(_block("python", "@woo.on"), namespace)
    event = Event(
        id=1, instance_id=1, instance_name="shop", instance_tags=(), resource="orders",
        object_id="7", type="UPDATED", version=2, date=dt.datetime.now(dt.UTC),
        body={"status": "completed"},
    )  # fmt: skip
    namespace["ship"](event)
    assert capsys.readouterr().out == "UPDATED 7 completed\n"


@pytest.mark.slow
def test_two_terminals_are_enough(tmp_path: pathlib.Path) -> None:
    """Each command prints what the page shows, from the first event to a forward that fails.

    A killed listener misses no event. Ports are free ones, and the store is busier than on the page
    so that the test need not wait.
    """
    store_port, hook_port = reserve_port(), reserve_port()

    def here(text: str) -> str:
        text = text.replace("8100", str(store_port)).replace("3000", str(hook_port))
        return text.replace("--busy 20/min", f"--busy 120/min --port {store_port}")

    tmp_path.joinpath("app.py").write_text(_block("python", "# app.py"))
    kept = {name: one for name, one in os.environ.items() if not name.startswith("FLASK_")}
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**kept, "PATH": path, "PYTHONPATH": str(ROOT)}
    store, events = Terminal(tmp_path, environment), Terminal(tmp_path, environment)
    receiver = CallbackReceiver()
    try:
        simulate = _block("console", "--busy").splitlines()
        store.type(here(simulate[0][2:]))
        for line in simulate[1:]:
            store.shows(_shape(here(line)))
        steps = re.split(r"^\$ ", _block("console", "db upgrade"), flags=re.MULTILINE)[2:]
        for step in steps:
            events.type(here(step.splitlines()[0]))
            for line in step.splitlines()[1:]:
                events.shows(_shape(here(line)))
        store.type(_block("text", "order.completed").strip())
        events.shows(_shape(_block("text", "date_completed_gmt").strip()))
        events.end_command(signal.SIGKILL)
        # Nobody listens to what happens now.
        events.type("flask woo poll --once")
        events.shows(r"\d+ delivered, \d+ failed")
        _goes_on(events, tmp_path / "instance" / "shop.sqlite3")
        _forwards(events, store, receiver, hook_port, here)
        price = _block("console", "trigger product").splitlines()
        events.type(here(price[0][2:]))
        for line in price[1:]:
            events.shows(_shape(here(line)))
        events.type(_block("console", "users add").strip().removeprefix("$ "))
        events.shows(r"Authorization: User \S+, Organization [\w-]{40,}")
    finally:
        store.close()
        events.close()


def _goes_on(events: Terminal, database: pathlib.Path) -> None:
    """Start the listener again; it prints what was recorded meanwhile, and misses nothing."""
    killed = len(events.lines)
    command, *promised = _block("console", "Goes on where").splitlines()
    events.type(command[2:])
    for line in promised:
        events.shows(_shape(line), killed)
    events.shows(r"Ready: .*", killed)
    last = int(events.shows(r"\d\d:\d\d:\d\d  #(\d+)  .*", killed))
    events.end_command(signal.SIGINT)
    printed = [int(m[1]) for one in events.lines if (m := re.match(r"[\d:]+  #(\d+)  ", one))]
    with contextlib.closing(sqlite3.connect(database)) as connection:
        recorded = {one for (one,) in connection.execute("SELECT id FROM woo_event")}
    assert {one for one in recorded if printed[0] <= one <= last} <= set(printed)
    # What was being printed when it was killed may be repeated.
    assert len(printed) - len(set(printed)) <= 10


def _forwards(
    events: Terminal,
    store: Terminal,
    receiver: CallbackReceiver,
    port: int,
    here: cabc.Callable[[str], str],
) -> None:
    """Forward to an address that is down, then up, then answers with an error."""
    begun = len(events.lines)
    command, *promised = _block("console", "--forward-to").splitlines()
    events.type(here(command[2:]))
    waiting = _block("text", "refuses connections").splitlines()
    for line in [*promised, *waiting[:2]]:
        events.shows(_shape(here(line)), begun)
    with receiver.serve(port=port):
        for line in waiting[2:]:
            events.shows(_shape(line), begun)
        receiver.answer = lambda received: 500
        number = events.shows(r".*-> 500 Internal Server Error; type (\d+) and Enter .*", begun)
        receiver.answer = lambda received: 200
        events.type(number)
        for line in _block("text", "500 Internal").splitlines():
            events.shows(_shape(line), begun)
        events.end_command(signal.SIGINT)
