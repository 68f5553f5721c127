"""Processes of servers that tests kill: gunicorn with the intake, and Celery."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import http.client
import os
import pathlib
import signal
import subprocess
import sys
import typing as t

from benchmarks.intake_apps import PREFIX
from benchmarks.serving import wait_for
from flask_woo_events.instances import webhook_urls
from flask_woo_events.worker.celery_tasks import QUEUES
from tests.waiting import wait_until

from .child_processes import Child
from .crash_points import KILL_AT, KILL_TIMES


class Broker(t.Protocol):
    """A message broker; ``tests.servers`` has some."""

    url: str

    def start(self) -> None: ...

    def kill(self) -> None: ...


def children(pid: int) -> list[Child]:
    """Return the child processes of a process."""
    with contextlib.suppress(FileNotFoundError):
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [Child(int(one)) for one in text.split()]
    return []


class Intake:
    """gunicorn with the application: two processes of eight threads."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        environment: cabc.Mapping[str, str],
        app: str = "tests.fault_injection.crash_points:make_app()",
    ) -> None:
        """Start serving, and wait until it answers."""
        command = [
            sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{self.port}", "--workers", "2",
            "--threads", "8", "--log-level", "critical",
            "--config", "python:tests.fault_injection.preloaded", app,
        ]  # fmt: skip
        with pathlib.Path(environment[KILL_TIMES]).with_name("intake.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(self.port, self._process)
        # It listens before it can answer, and a store waits 5 s for the answer to a ping.
        wait_until(self._answers)

    def _answers(self) -> bool:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port)) as connection:
            try:
                connection.request("GET", f"{PREFIX}{webhook_urls.PATH}")
                return connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False  # The process that was to answer was killed.

    @property
    def workers(self) -> list[Child]:
        """Its processes; gunicorn replaces one that is killed."""
        assert self._process is not None
        return children(self._process.pid)

    def stop(self) -> None:
        """Kill it and all of its workers."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class Celery:
    """One command of Celery, with the processes that it starts."""

    def __init__(
        self, words: cabc.Sequence[str], environment: cabc.Mapping[str, str], log: pathlib.Path
    ) -> None:
        command = [sys.executable, "-m", "celery", "-A", "tests.fault_injection.celery_app", *words]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """It has not ended."""
        return self._process.poll() is None

    @property
    def pool(self) -> list[Child]:
        """The processes of a worker's pool."""
        return children(self._process.pid)

    def kill(self) -> None:
        """Kill it and its child processes, as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class ServerProcesses:
    """Celery's processes: workers and a beat."""

    def __init__(
        self, environment: cabc.Mapping[str, str], broker: Broker, folder: pathlib.Path
    ) -> None:
        #: For other processes of the application.
        self.environment = {**environment, "CHAOS_BROKER": broker.url}
        self._folder = folder
        self._all: list[Celery] = []

    def worker(self, number: int = 1, *, pool: str = "prefork", kill_at: str = "") -> Celery:
        """Start a worker for all queues.

        :param kill_at: its crash point and number, such as ``after commit:3``.
        """
        queues = ",".join(sorted(set(QUEUES.values())))
        return self._start(
            kill_at, "worker", "-Q", queues, "-P", pool, "-c", "2", "-n", f"w{number}@here",
            "--without-gossip", "--without-mingle", "-l", "warning",
        )  # fmt: skip

    def beat(self) -> Celery:
        """Start the beat."""
        return self._start(
            "", "beat", "-s", str(self._folder / "beat"), "--pidfile=", "-l", "warning"
        )

    def _start(self, kill_at: str, *words: str) -> Celery:
        environment = {**self.environment, KILL_AT: kill_at}
        self._all.append(Celery(words, environment, self._folder / "celery.log"))
        return self._all[-1]

    def end(self) -> None:
        """Kill all of them."""
        for one in self._all:
            if one.alive:
                one.kill()
