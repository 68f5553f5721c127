"""Connections with limits: checked addresses, a deadline and a size limit on every socket."""

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

#: Bytes that an answer may have beyond its body: headers and chunk sizes.
WIRE_OVERHEAD = 512 * 1024


@dataclasses.dataclass(frozen=True)
class Timeouts:
    """Time-outs of one request, in seconds.

    :param connect: for the name look-up, the connection and the TLS handshake.
    :param read: between two bytes.
    :param total: for the whole request, however steadily bytes arrive. A name look-up cannot be
        interrupted; the system's resolver ends it.
    """

    connect: float = 10.0
    read: float = 60.0
    total: float = 180.0

    def within(self, seconds: float) -> Timeouts:
        """Return time-outs of which none is longer than this many seconds."""
        return Timeouts(*(min(one, seconds) for one in (self.connect, self.read, self.total)))


class OverBudgetError(OSError):
    """The peer sent more bytes than an answer within its limit can have."""


class Budget:
    """The time and bytes that one exchange has left; sockets check it at each operation.

    :param max_bytes: limit of the answer's body.
    """

    __slots__ = ("bytes_left", "clock", "deadline", "dials", "received", "repeated", "timeouts")

    def __init__(self, timeouts: Timeouts, max_bytes: int, clock: Clock) -> None:
        self.timeouts = timeouts
        self.clock = clock
        self.deadline = clock() + timeouts.total
        self.bytes_left = max_bytes + WIRE_OVERHEAD
        self.received = 0
        self.dials = 0
        self.repeated = False

    def seconds(self, limit: float) -> float:
        """Return the time for the next operation; raise ``TimeoutError`` after the deadline."""
        left = self.deadline - self.clock()
        if left <= 0:
            raise TimeoutError("total")
        return min(limit, left)

    def take(self, count: int) -> int:
        """Count received bytes; raise :class:`OverBudgetError` above the limit."""
        self.received += count
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise OverBudgetError
        return count


# urllib3 and http.client pass no context to their sockets. An exchange stays on its thread, so the
# budget is a local of the thread.
_local = threading.local()


def _budget() -> Budget | None:
    return getattr(_local, "budget", None)


@contextlib.contextmanager
def carry(budget: Budget) -> cabc.Iterator[None]:
    """Apply a budget to the sockets of this thread."""
    _local.budget = budget
    try:
        yield
    finally:
        _local.budget = None


class _Limited(socket.socket):
    """A socket that applies the budget of the current exchange to every operation.

    ``http.client`` reads the header in a loop over ``recv_into``, which can be interrupted only
    here.
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
    """The TLS socket with the same limits; the budget counts decrypted bytes."""

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
    """Resolve a host once, check its addresses and connect to one that is allowed."""
    host = conn._dns_host.strip("[]")
    try:
        found = socket.getaddrinfo(host, conn.port, socket.AF_UNSPEC, socket.SOCK_STREAM)
    except socket.gaierror as exc:
        raise urllib3.exceptions.NameResolutionError(host, conn, exc) from exc
    except UnicodeError as exc:
        raise urllib3.exceptions.LocationParseError("the host is no host name") from exc
    refused: AddressRefusedError | None = None
    allowed = []
    for family, kind, protocol, _name, address in found:
        try:
            if guard is not None:
                guard.check(str(address[0]), host)
            allowed.append((family, kind, protocol, address))
        except AddressRefusedError as exc:
            refused = exc
    if refused is not None and not allowed:
        raise refused
    budget = _budget()
    limit = budget.timeouts.connect if budget else Timeouts.connect
    until = time.monotonic() + limit
    failure: OSError | None = None
    for position, (family, kind, protocol, address) in enumerate(allowed):
        # Each address gets a share of the time, in case one does not answer at all.
        share = max(until - time.monotonic(), 0.001) / (len(allowed) - position)
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
    # To read a bundle of authorities takes some 15 ms of CPU, so contexts are cached.
    context = urllib3.util.ssl_.create_urllib3_context(
        cert_reqs=urllib3.util.ssl_.resolve_cert_reqs(cert_reqs)
    )
    if not (ca_certs or ca_cert_dir):
        # Some releases of requests do not pass on their bundle of authorities.
        ca_certs = requests.utils.DEFAULT_CA_BUNDLE_PATH
    context.load_verify_locations(ca_certs, ca_cert_dir)
    context.sslsocket_class = _LimitedTLS
    return context


class _SecretFilter(logging.Filter):
    """A log filter that removes possible secrets from urllib3's records of our exchanges.

    A query may hold a store's keys; a quoted broken header may hold anything.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if _budget() is not None and isinstance(record.args, tuple):
            record.args = tuple(map(_without_secrets, record.args))
            record.exc_info = None
        return True


def _without_secrets(value: object) -> object:
    if isinstance(value, str):
        return value.partition("?")[0]
    return type(value).__name__ if isinstance(value, BaseException) else value


_FILTER = _SecretFilter()
#: Loggers of urllib3 that write whole URLs. The filter changes only records of our exchanges.
_URL_LOGGERS = ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry")


@functools.lru_cache(maxsize=8)
def pool_classes(guard: AddressGuard | None) -> dict[str, type[t.Any]]:
    """Return urllib3's pools by scheme, which connect through the guard and our sockets."""
    for name in _URL_LOGGERS:
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
