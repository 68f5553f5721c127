"""Child processes: started through the process spawner, killed and waited for."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading

from tests.waiting import wait_until


class ProcessSpawner:
    """Starts commands through ``tests.fault_injection.process_spawner``."""

    def __init__(self, environment: cabc.Mapping[str, str], log: pathlib.Path) -> None:
        self._environment = dict(environment)
        self._log = log
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fault_injection.process_spawner"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()
        self._children: list[Child] = []

    def start_worker(self, *args: str) -> Child:
        """Start ``flask woo poll`` or ``deliver``, and wait until it has found its database.

        Before that it ends if the database is unreachable.
        """
        running = self._log.with_name(f"running-{len(self._children)}")
        child = self.start(*args, running=running)
        wait_until(running.exists)
        return child

    def start(
        self,
        *args: str,
        kill_at: tuple[str, int] | None = None,
        running: pathlib.Path | None = None,
    ) -> Child:
        """Start ``flask woo`` with these arguments.

        :param kill_at: the crash point of the process, and its number.
        :param running: a file that the process creates when its worker runs.
        """
        order = {
            "args": args,
            "environment": self._environment,
            "log": str(self._log),
            "kill_at": kill_at,
            "running": running and str(running),
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            child = Child(int(self._process.stdout.readline()))
        self._children.append(child)
        return child

    def close(self) -> None:
        """End the spawner, and kill the processes that were started last."""
        for child in self._children[-10:]:
            child.signal(signal.SIGKILL)
        self._process.communicate()


@dataclasses.dataclass(frozen=True)
class Child:
    """A process of the spawner."""

    pid: int

    @property
    def alive(self) -> bool:
        """It has not ended."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it as a power cut would."""
        self.signal(signal.SIGKILL)
        wait_until(lambda: not self.alive)

    def wait(self) -> None:
        """Wait until it ends."""
        wait_until(lambda: not self.alive)
