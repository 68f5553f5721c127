"""Connections that keep to limits: vetted addresses, a deadline and a cap on every socket."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import functools
import logging
import socket
import ssl
import threading
import time
import typing as t

import requests.utils
import urllib3
import urllib3.connection
import urllib3.connectionpool
import urllib3.exceptions
import urllib3.util.ssl_

from ..errors import AddressRefusedError
from .address_guard import AddressGuard

Clock = cabc.Callable[[], float]

#: Bytes on the wire that an answer may have beyond its cap: headers, chunk sizes, TLS records.
WIRE_OVERHEAD = 512 * 1024


@dataclasses.dataclass(frozen=True)
class Timeouts:
    """How long a conversation may take, seconds.

    :param connect: to look up, connect and shake hands.
    :param read: between two bytes.
    :param total: for everything, however steadily the bytes come. A name look-up that is under
        way cannot be interrupted; the system's resolver ends it.
    """

    connect: float = 10.0
    read: float = 60.0
    total: float = 180.0


class OverBudgetError(OSError):
    """The peer sent more bytes than any answer within the cap can need."""


class Budget:
    """What one exchange may still use; sockets ask it before each operation.

    :param max_bytes: of the answer's body.
    """

    __slots__ = ("bytes_left", "clock", "deadline", "dials", "received", "timeouts")

    def __init__(self, timeouts: Timeouts, max_bytes: int, clock: Clock) -> None:
        self.timeouts = timeouts
        self.clock = clock
        self.deadline = clock() + timeouts.total
        self.bytes_left = max_bytes + WIRE_OVERHEAD
        self.received = 0
        self.dials = 0

    def seconds(self, limit: float) -> float:
        """Return how long the next operation may take; raises ``TimeoutError`` past the end."""
        left = self.deadline - self.clock()
        if left <= 0:
            raise TimeoutError("total")
        return min(limit, left)

    def take(self, count: int) -> int:
        """Count bytes that came; raises :class:`OverBudgetError` when they are too many."""
        self.received += count
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise OverBudgetError
        return count


# Sockets sit under urllib3 and http.client, which pass no context down; an exchange stays on its
# thread, so that the thread can carry it.
_local = threading.local()


def _budget() -> Budget | None:
    return getattr(_local, "budget", None)


@contextlib.contextmanager
def carry(budget: Budget) -> cabc.Iterator[None]:
    """Make this thread's sockets keep to a budget."""
    _local.budget = budget
    try:
        yield
    finally:
        _local.budget = None


class _Limited(socket.socket):
    """A socket whose every operation keeps to the budget of the exchange under way.

    Reading the header is a loop over ``recv_into`` deep in ``http.client``; only here can it be
    interrupted in time.
    """

    def recv_into(self, *args: t.Any, **kwargs: t.Any) -> int:
        if (budget := _budget()) is None:
            return super().recv_into(*args, **kwargs)
        self.settimeout(budget.seconds(budget.timeouts.read))
        return budget.take(super().recv_into(*args, **kwargs))

    def sendall(self, *args: t.Any, **kwargs: t.Any) -> None:
        if (budget := _budget()) is not None:
            self.settimeout(budget.seconds(budget.timeouts.total))
        return super().sendall(*args, **kwargs)


class _LimitedTLS(ssl.SSLSocket):
    """The same over TLS; the budget counts plain bytes."""

    def recv_into(self, *args: t.Any, **kwargs: t.Any) -> int:
        if (budget := _budget()) is None:
            return super().recv_into(*args, **kwargs)
        self.settimeout(budget.seconds(budget.timeouts.read))
        return budget.take(super().recv_into(*args, **kwargs))

    def send(self, *args: t.Any, **kwargs: t.Any) -> int:
        if (budget := _budget()) is not None:
            self.settimeout(budget.seconds(budget.timeouts.read))
        return super().send(*args, **kwargs)

    def do_handshake(self, block: bool = False) -> None:
        if (budget := _budget()) is not None:
            self.settimeout(budget.seconds(budget.timeouts.connect))
        return super().do_handshake(block)


def _dial(conn: urllib3.connection.HTTPConnection, guard: AddressGuard | None) -> socket.socket:
    """Resolve, filter, then connect to what was vetted: no second look-up can differ."""
    host = conn._dns_host.strip("[]")
    try:
        found = socket.getaddrinfo(host, conn.port, socket.AF_UNSPEC, socket.SOCK_STREAM)
    except socket.gaierror as exc:
        raise urllib3.exceptions.NameResolutionError(host, conn, exc) from exc
    except UnicodeError as exc:
        raise urllib3.exceptions.LocationParseError("the host is no host name") from exc
    refused: AddressRefusedError | None = None
    vetted = []
    for family, kind, protocol, _name, address in found:
        try:
            if guard is not None:
                guard.check(str(address[0]), host)
            vetted.append((family, kind, protocol, address))
        except AddressRefusedError as exc:
            refused = exc
    if refused is not None and not vetted:
        raise refused
    budget = _budget()
    limit = budget.timeouts.connect if budget else Timeouts.connect
    until = time.monotonic() + limit
    failure: OSError | None = None
    for position, (family, kind, protocol, address) in enumerate(vetted):
        # A share each, so that an address that swallows packets leaves time for the next one.
        share = max(until - time.monotonic(), 0.001) / (len(vetted) - position)
        if budget:
            budget.dials += 1
            share = budget.seconds(share)
        sock = _Limited(family, kind, protocol)
        try:
            sock.settimeout(share)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(address)
            return sock
        except OSError as exc:
            sock.close()
            failure = exc
    if isinstance(failure, TimeoutError):
        raise urllib3.exceptions.ConnectTimeoutError(conn, "connect") from failure
    raise urllib3.exceptions.NewConnectionError(conn, "connect") from failure


@functools.lru_cache(maxsize=32)
def _tls_context(
    cert_reqs: int | str | None, ca_certs: str | None, ca_cert_dir: str | None
) -> ssl.SSLContext:
    # Reading a bundle of authorities takes some 15 ms of CPU: once, not for each connection.
    context = urllib3.util.ssl_.create_urllib3_context(
        cert_reqs=urllib3.util.ssl_.resolve_cert_reqs(cert_reqs)
    )
    if not (ca_certs or ca_cert_dir):
        # Some releases of requests keep their authorities to themselves.
        ca_certs = requests.utils.DEFAULT_CA_BUNDLE_PATH
    context.load_verify_locations(ca_certs, ca_cert_dir)
    context.sslsocket_class = _LimitedTLS
    return context


class _Discreet(logging.Filter):
    """Takes out of what urllib3 logs of our exchanges what may be a secret.

    A query may hold a store's keys, and a broken header that it quotes whatever the other side
    repeated.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if _budget() is not None and isinstance(record.args, tuple):
            record.args = tuple(map(_discreet, record.args))
            record.exc_info = None
        return True


def _discreet(value: object) -> object:
    if isinstance(value, str):
        return value.partition("?")[0]
    return type(value).__name__ if isinstance(value, BaseException) else value


_FILTER = _Discreet()
#: Loggers of urllib3 that tell whole addresses. Other users of it are left alone: the filter looks
#: for an exchange of ours.
_TALKATIVE = ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry")


@functools.lru_cache(maxsize=8)
def pool_classes(guard: AddressGuard | None) -> dict[str, type[t.Any]]:
    """Return urllib3's pools by scheme, made to connect through our guard and sockets."""
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(_FILTER)

    class Plain(urllib3.connection.HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _dial(self, guard)

    class TLS(urllib3.connection.HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _dial(self, guard)

        def connect(self) -> None:
            self.ssl_context = _tls_context(self.cert_reqs, self.ca_certs, self.ca_cert_dir)
            self.ca_certs = self.ca_cert_dir = None
            super().connect()

    class PlainPool(urllib3.connectionpool.HTTPConnectionPool):
        ConnectionCls = Plain

    class TLSPool(urllib3.connectionpool.HTTPSConnectionPool):
        ConnectionCls = TLS

    return {"http": PlainPool, "https": TLSPool}
