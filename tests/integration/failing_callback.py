"""A callback over raw sockets that fails in every way a callback can, on command."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import email.utils
import socket
import struct
import threading
import typing as t

import orjson

#: What the callback does with a request; it accepts it with ``ok``, ``endless`` and ``lost``.
Mode = t.Literal[
    "ok",
    "lost",  # accepts it, and closes without an answer
    "500",
    "429",  # with Retry-After in seconds
    "503",  # with Retry-After as a date
    "redirect",
    "silent",  # never answers
    "drip",  # a byte now and then
    "endless",  # 200, and a body without an end
    "garbage",  # no HTTP
    "reset",
    "cut",  # a body shorter than announced
    "echo",  # 500, and the head of the request
    "broken",  # a body that cannot be unpacked
]
MODES: tuple[Mode, ...] = tuple(one for one in t.get_args(Mode) if one != "echo")


@dataclasses.dataclass
class AcceptedNotification:
    """A notification that the callback accepted."""

    id: str
    #: ``(objectId, version)`` of its events.
    versions: tuple[tuple[str, int], ...]
    mode: Mode


class FailingCallback:
    """A callback on loopback.

    :param choose: the mode of each request.
    :param now: returns Unix seconds, for the dates in its answers.
    """

    def __init__(self, choose: cabc.Callable[[], Mode], now: cabc.Callable[[], float]) -> None:
        self._choose = choose
        self._now = now
        self.accepted: list[AcceptedNotification] = []
        self.seen: set[Mode] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._connections: list[socket.socket] = []

    @contextlib.contextmanager
    def serve(self) -> cabc.Iterator[str]:
        """Listen while the block runs; yield the URL."""
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
            thread = threading.Thread(target=self._accept, args=(listener,), daemon=True)
            thread.start()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/events"
            self._over.set()
            # Clients keep connections open, whose threads wait for another request.
            for one in (listener, *self._connections):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        thread.join()

    def _accept(self, listener: socket.socket) -> None:
        threads = []
        while not self._over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                break
            self._connections.append(connection)
            threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5)
            while (request := _read(connection)) is not None:
                head, body = request
                with self._lock:
                    mode = self._choose()
                    self.seen.add(mode)
                    if mode in ("ok", "endless", "lost"):
                        self.accepted.append(_parsed(body, mode))
                if mode != "ok":
                    self._fail(connection, mode, head)
                    return
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    def _fail(self, connection: socket.socket, mode: Mode, head: bytes) -> None:
        date = email.utils.formatdate(self._now() + 120, usegmt=True)
        answers: dict[Mode, str] = {
            "500": "500 No\nContent-Length: 0\n\n",
            "429": "429 Slow\nRetry-After: 60\nContent-Length: 0\n\n",
            "503": f"503 Busy\nRetry-After: {date}\nContent-Length: 0\n\n",
            "redirect": "302 Found\nLocation: /other\nContent-Length: 0\n\n",
            "cut": "200 OK\nContent-Length: 500\n\nhalf of it",
            "broken": "200 OK\nContent-Encoding: gzip\nContent-Length: 9\n\nnot gzip!",
        }
        if mode in answers:
            connection.sendall(f"HTTP/1.1 {answers[mode]}".replace("\n", "\r\n").encode())
        if mode == "echo":
            size = f"Content-Length: {len(head)}".encode()
            connection.sendall(b"HTTP/1.1 500 No\r\n" + size + b"\r\n\r\n" + head)
        if mode == "garbage":
            connection.sendall(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
        if mode == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif mode in ("drip", "endless", "silent"):
            self._keep(connection, mode)

    def _keep(self, connection: socket.socket, mode: Mode) -> None:
        """Continue until the client gives up."""
        if mode != "silent":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(100):
            if self._over.wait(0.0 if mode == "endless" else 0.05):
                return
            if mode != "silent":
                connection.sendall(b"x" * (65536 if mode == "endless" else 1))


def _read(connection: socket.socket) -> tuple[bytes, bytes] | None:
    """Read head and body of the next request."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head, body


def _parsed(body: bytes, mode: Mode) -> AcceptedNotification:
    shown = orjson.loads(body)
    events = shown["message"]["events"]
    return AcceptedNotification(
        shown["id"], tuple((one["objectId"], one["version"]) for one in events), mode
    )
