"""A console with a real application, worker, store and callback."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import json
import pathlib
import shutil
import sqlite3
import threading

from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.worker.worker import Worker
from tests.example_site import ExampleSite
from tests.integration.host_app import runtime_of
from tests.serving import serve_app

KEY, SECRET = "ck_" + "a" * 40, "cs_" + "b" * 40
SIGNATURE_KEY = "0123456789abcdef0123456789abcdef"


class LiveSite(ExampleSite):
    """The example application with the console, a store and a callback."""

    def __init__(
        self,
        folder: pathlib.Path,
        store: SimulatedStore,
        store_url: str,
        receiver: CallbackReceiver,
        callback_url: str,
    ) -> None:
        super().__init__(folder, FLASK_WOO_EVENTS_CONSOLE="true")
        self.store, self.store_url = store, store_url
        self.receiver, self.callback_url = receiver, callback_url
        self.console = f"{self.url}/woo"
        self.user_secret = self.organization_secret = ""

    @contextlib.contextmanager
    def serving(self) -> cabc.Iterator[None]:
        """Serve the application from a thread, which starts sooner than a process."""
        with self.application() as app, serve_app(app, self.port):
            yield

    @contextlib.contextmanager
    def worker(self) -> cabc.Iterator[None]:
        """Run a worker from a thread, with an application of its own as in another process."""
        with self.application() as app:
            worker = Worker(runtime_of(app))
            thread = threading.Thread(target=worker.run)
            thread.start()
            try:
                yield
            finally:
                worker.stop()
                thread.join()

    def add_user(self, name: str, organization: str) -> None:
        """Add the user of the console."""
        secrets = json.loads(self.command("users", "add", name, "--organization", organization,
                                       "--json"))  # fmt: skip
        self.user_secret = secrets["user_secret"]
        self.organization_secret = secrets["organization_secret"]

    def wait_for_nobody(self, seconds: int) -> None:
        """Move the first instance's next poll into the past."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=10)) as file:
            file.execute(
                "UPDATE woo_instance SET next_poll_at = "
                "strftime('%Y-%m-%d %H:%M:%S.000000', next_poll_at, ?) WHERE id = 1",
                (f"-{seconds} seconds",),
            )
            file.commit()


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
