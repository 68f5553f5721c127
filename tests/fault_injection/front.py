"""Fronts: processes before a server, which can be killed or stopped while its state remains.

``python -m tests.fault_injection.front PORT TARGET`` forwards connections to a port to another one,
as the web server of a store whose database lives on.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

from tests.ports import reserve_port
from tests.proxy import Proxy


class Front:
    """The process in front of a server.

    :param target: the server's port of loopback.
    """

    def __init__(self, target: int) -> None:
        self.port = reserve_port()
        self._target = target
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Let it answer again, or start it if it was killed; return when it listens."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            return
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fault_injection.front", str(self.port),
             str(self._target)],
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def hang(self) -> None:
        """Stop it: the system accepts connections, and nothing answers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """Kill it: connections are reset, and new ones are refused."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def main(port: int, target: int) -> None:
    """Forward connections until the process is killed."""
    with Proxy(target, port):
        print("ready", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(*(int(port) for port in sys.argv[1:]))
