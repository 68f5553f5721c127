"""A console with a real application, worker, store and callback."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import sys
import time

import requests

from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.simulation.store import SimulatedStore

KEY, SECRET = "ck_" + "a" * 40, "cs_" + "b" * 40
SIGNATURE_KEY = "0123456789abcdef0123456789abcdef"


@dataclasses.dataclass
class LiveSite:
    """The example application in processes of its own, with the console."""

    folder: pathlib.Path
    store: SimulatedStore
    store_url: str
    receiver: CallbackReceiver
    callback_url: str

    def __post_init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.console = f"{self.url}/woo"
        #: What the processes wrote.
        self.log = self.folder / "log.txt"
        self.user_secret = self.organization_secret = ""
        self._environment = {
            **os.environ,
            "FLASK_APP": "example_app",
            "FLASK_SECRET_KEY": "of the tests",
            "FLASK_SQLALCHEMY_DATABASE_URI": f"sqlite:///{self.folder}/woo.sqlite3",
            "FLASK_WOO_EVENTS_ENCRYPTION_KEYS": json.dumps(["A" * 43 + "="]),
            "FLASK_WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS": "true",
            "FLASK_WOO_EVENTS_CONSOLE": "true",
        }

    def command(self, *args: str) -> str:
        """Run ``flask woo ...`` and return its output."""
        run = subprocess.run(
            [sys.executable, "-m", "flask", "woo", *args],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def add_user(self, name: str, organization: str) -> None:
        """Add the user of the console."""
        secrets = json.loads(self.command("users", "add", name, "--organization", organization,
                                       "--json"))  # fmt: skip
        self.user_secret = secrets["user_secret"]
        self.organization_secret = secrets["organization_secret"]

    def wait_for_nobody(self, seconds: int) -> None:
        """Move the first instance's next poll into the past."""
        with contextlib.closing(sqlite3.connect(self.folder / "woo.sqlite3", timeout=10)) as file:
            file.execute(
                "UPDATE woo_instance SET next_poll_at = "
                "strftime('%Y-%m-%d %H:%M:%S.000000', next_poll_at, ?) WHERE id = 1",
                (f"-{seconds} seconds",),
            )
            file.commit()

    @contextlib.contextmanager
    def worker(self) -> cabc.Iterator[None]:
        """Run ``flask woo poll`` during the block."""
        with self._process("woo", "poll"):
            yield

    @contextlib.contextmanager
    def serving(self) -> cabc.Iterator[None]:
        """Run ``flask run`` during the block."""
        with self._process("run", "--port", str(self.port), "--with-threads"):
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                with contextlib.suppress(requests.ConnectionError):
                    requests.get(f"{self.console}/sign-in", timeout=5)
                    break
                time.sleep(0.1)
            yield

    @contextlib.contextmanager
    def _process(self, *args: str) -> cabc.Iterator[None]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "flask", *args],
                env=self._environment,
                stdout=log,
                stderr=log,
            )
            try:
                yield
            finally:
                process.terminate()
                process.wait(20)


@dataclasses.dataclass(frozen=True)
class Template:
    """A database with our tables and a user, to be copied because creating it takes processes."""

    database: pathlib.Path
    user_secret: str
    organization_secret: str


def template(folder: pathlib.Path) -> Template:
    """Create the database with the commands."""
    store = SimulatedStore("11.0", consumer_key=KEY, consumer_secret=SECRET)
    one = LiveSite(folder, store, "", CallbackReceiver(), "")
    one.command("db", "upgrade")
    one.add_user("ann", "acme")
    return Template(folder / "woo.sqlite3", one.user_secret, one.organization_secret)


@contextlib.contextmanager
def site(folder: pathlib.Path, begun: Template) -> cabc.Iterator[LiveSite]:
    """Serve a site with a user, a small store and a callback."""
    shutil.copy(begun.database, folder / "woo.sqlite3")
    store = SimulatedStore("11.0", consumer_key=KEY, consumer_secret=SECRET)
    store.populate(orders=12, products=6, coupons=3, customers=5)
    receiver = CallbackReceiver()
    with store.serve() as store_url, receiver.serve() as callback_url:
        one = LiveSite(folder, store, store_url, receiver, callback_url)
        one.user_secret = begun.user_secret
        one.organization_secret = begun.organization_secret
        with one.serving():
            yield one
