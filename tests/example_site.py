"""The example application: its server is a process, its commands are not."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import json
import os
import pathlib
import subprocess
import sys

import pytest
import requests

import example_app
from flask_woo_events import Flask
from tests.integration.host_app import dispose
from tests.ports import reserve_port
from tests.waiting import wait_until


class ExampleSite:
    """``flask --app example_app`` with a SQLite file in a folder.

    :param settings: of the application, ``FLASK_*``.
    """

    def __init__(self, folder: pathlib.Path, **settings: str) -> None:
        self.port = reserve_port()
        self.url = f"http://127.0.0.1:{self.port}"
        #: What the processes printed.
        self.log = folder / "log.txt"
        self.database = folder / "woo.sqlite3"
        self.settings = {
            "FLASK_SQLALCHEMY_DATABASE_URI": f"sqlite:///{self.database}",
            "FLASK_WOO_EVENTS_ENCRYPTION_KEYS": json.dumps(["A" * 43 + "="]),
            "FLASK_WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS": "true",
            **settings,
        }
        self._environment = {**os.environ, "FLASK_APP": "example_app", **self.settings}

    def command(self, *args: str) -> str:
        """Run ``flask woo ...`` in this process, without its imports; return what it printed."""
        with self.application() as app:
            ran = app.test_cli_runner().invoke(args=["woo", *args])
        assert ran.exit_code == 0, ran.output
        return ran.output

    @contextlib.contextmanager
    def application(self) -> cabc.Iterator[Flask]:
        """Yield the application in this process, with the settings of the others."""
        with pytest.MonkeyPatch.context() as environment:
            for name, value in self.settings.items():
                environment.setenv(name, value)
            app = example_app.create_app()
        try:
            yield app
        finally:
            dispose(app)

    @contextlib.contextmanager
    def serving(self) -> cabc.Iterator[None]:
        """Run ``flask run`` during the block."""
        with self._process("run", "--port", str(self.port), "--with-threads"):
            wait_until(self._answers)
            yield

    def _answers(self) -> bool:
        try:
            requests.get(self.url)
        except requests.ConnectionError:
            return False
        return True

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
                # Not SIGINT, which processes started by a shell in the background ignore.
                process.terminate()
                process.wait()
