"""HTTP requests with pooled sessions, time-outs and size limits.

This module closes four gaps of ``requests``. Its time-out is per socket operation, so that a slow
peer can keep a request alive for ever. It reads the whole body of a redirect, even if redirects
are off. A small compressed body may unpack to gigabytes. A host name may resolve to an address
in our own network.
"""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import functools
import http.client
import importlib.metadata
import socket
import ssl
import time
import typing as t
import urllib.parse
import zlib

import requests
import requests.adapters
import urllib3
import urllib3.exceptions

from ..errors import AddressRefusedError, OutOfPatienceError, TransportError, UnreachableError
from .address_guard import AddressGuard
from .patience import current_patience
from .sockets import Budget, Clock, OverBudgetError, Timeouts, carry, pool_classes

__all__ = [
    "AddressGuard",
    "Exchange",
    "Timeouts",
    "USER_AGENT",
    "exchange",
    "make_session",
    "without_query",
]

try:
    _VERSION = importlib.metadata.version("flask-woo-events")
except importlib.metadata.PackageNotFoundError:  # run from a source tree
    _VERSION = "0"
#: ``User-Agent`` of every request.
USER_AGENT = f"flask-woo-events/{_VERSION}"

#: Bytes per read.
CHUNK = 64 * 1024


@dataclasses.dataclass(frozen=True)
class Exchange:
    """The answer to one request.

    :param status: HTTP status.
    :param headers: case-insensitive.
    :param body: unpacked; only its beginning when ``truncated``.
    :param truncated: the body was longer than the caller's limit.
    :param seconds: from the name look-up to the last byte read.
    :param repeated: the request was sent twice, since the first connection was closed.
    """

    status: int
    headers: cabc.Mapping[str, str]
    body: bytes
    truncated: bool
    seconds: float
    repeated: bool = False


class _Adapter(requests.adapters.HTTPAdapter):
    """The adapter that makes ``requests`` use our connections."""

    def __init__(self, guard: AddressGuard | None, pool_size: int, repeats: bool) -> None:
        self.guard = guard
        #: Repeat a GET or HEAD once if the peer had closed the kept-alive connection.
        self.repeats = repeats
        super().__init__(pool_connections=pool_size, pool_maxsize=pool_size, max_retries=0)

    def init_poolmanager(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = pool_classes(self.guard)


def make_session(
    *, guard: AddressGuard | None, pool_size: int = 16, retries: bool = False
) -> requests.Session:
    """Make a session for :func:`exchange`; threads may share it.

    :param guard: which addresses may be connected to; ``None`` allows all.
    :param pool_size: hosts whose connections are kept, and connections kept per host.
    :param retries: repeat a GET or HEAD once, without a pause, if the peer had closed the
        kept-alive connection. No other request is repeated.
    """
    session = requests.Session()
    # No proxies and no .netrc from the environment: both would send secrets elsewhere.
    session.trust_env = False
    session.headers.clear()
    session.headers["User-Agent"] = USER_AGENT
    session.adapters.clear()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(guard, pool_size, retries))
    return session


def exchange(
    session: requests.Session,
    method: str,
    url: str,
    *,
    headers: cabc.Mapping[str, str] | None = None,
    data: bytes | None = None,
    params: cabc.Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
    timeouts: Timeouts,
    max_bytes: int,
    keep_bytes: int | None = None,
    clock: Clock = time.monotonic,
) -> Exchange:
    """Send one request and read its answer. Redirects are not followed.

    :param max_bytes: limit of the unpacked body. Reading ends there, ``truncated`` is set and the
        connection is closed.
    :param keep_bytes: return at most this many bytes of the body, but read up to ``max_bytes`` so
        that the connection can be used again.
    :param clock: returns seconds, monotonic.
    :raises AddressRefusedError: the guard forbids every address of the host.
    :raises OutOfPatienceError: the patience of the present work ended before the time-outs.
    :raises UnreachableError: no complete answer arrived, or it cannot be unpacked.
    :raises TransportError: the request cannot be sent: its address or a header is wrong.
    """
    started = clock()
    shown = without_query(url)
    patience = current_patience()
    limits = timeouts if patience is None else patience.applied(timeouts)
    budget, answered = Budget(limits, max_bytes, clock), False
    # Only encodings that can be unpacked within a limit.
    own = t.cast("cabc.Mapping[str, str]", session.headers)
    sent = {**own, **(headers or {}), "Accept-Encoding": "gzip, deflate"}
    try:
        request = _prepared(method, url, sent, data, params, auth)
        with carry(budget), contextlib.closing(_send(session, budget, request)) as response:
            body, truncated = _read(response, budget, max_bytes, keep_bytes)
    except AddressRefusedError as exc:
        exc.url = shown
        raise
    except TransportError:
        raise
    except _FOREIGN as exc:
        error = _wrapped(exc, budget, shown)
        if patience is not None and limits is not timeouts and clock() >= budget.deadline:
            patience.end()
            error = OutOfPatienceError(str(error), url=shown)
        # Their texts, which tracebacks of the cause would show, may quote the query and headers.
        raise error from None
    else:
        answered = True
    finally:
        seconds = clock() - started
        if patience is not None:
            patience.spend(seconds, answered=answered)
    status, repeated = response.status_code, budget.repeated
    return Exchange(status, response.headers, body, truncated, seconds, repeated)


def reach(url: str, *, guard: AddressGuard | None, timeouts: Timeouts) -> None:
    """Connect to the host of a URL, with TLS for ``https``, and send nothing.

    :raises AddressRefusedError: the guard forbids the address.
    :raises TransportError: the connection failed.
    """
    parts = urllib.parse.urlsplit(url)
    kind = pool_classes(guard).get(parts.scheme)
    if kind is None or not parts.hostname:
        raise TransportError(f"{without_query(url)} is not an address that can be called", url=url)
    budget = Budget(timeouts, 0, time.monotonic)
    with carry(budget), contextlib.closing(kind(parts.hostname, parts.port)) as pool:
        connection = pool._new_conn()
        try:
            connection.connect()
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise _wrapped(exc, budget, without_query(url)) from None
        finally:
            connection.close()


def without_query(url: str) -> str:
    """Return a URL without query, fragment and user name, which may be secret."""
    plain = url.partition("?")[0].partition("#")[0]
    scheme, slashes, rest = plain.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"


@functools.lru_cache(maxsize=4096)
def _address(url: str) -> str:
    """Return a URL as it is sent; cached, since a callback's is sent thousands of times."""
    prepared = requests.PreparedRequest()
    prepared.prepare_url(url, None)
    return str(prepared.url)


def _prepared(
    method: str,
    url: str,
    headers: cabc.Mapping[str, str],
    data: bytes | None,
    params: cabc.Mapping[str, str] | None,
    auth: tuple[str, str] | None,
) -> requests.PreparedRequest:
    # Not Session.prepare_request: it adds cookies and .netrc, which must not be sent.
    prepared = requests.PreparedRequest()
    prepared.method = method.upper()
    if params:
        prepared.prepare_url(url, params)
    else:
        prepared.url = _address(url)
    prepared.prepare_headers(headers)
    prepared.body = data
    prepared.prepare_content_length(data)
    if auth is not None:
        prepared.prepare_auth(auth)
    return prepared


def _send(
    session: requests.Session,
    budget: Budget,
    prepared: requests.PreparedRequest,
) -> requests.Response:
    # Not Session.send: that reads a redirect's whole body, keeps cookies and runs hooks.
    adapter = session.get_adapter(prepared.url or "")
    limits = budget.timeouts
    call = functools.partial(
        adapter.send,
        prepared,
        stream=True,
        timeout=(limits.connect, limits.read),
        verify=True if session.verify is None else session.verify,
        cert=session.cert,
        proxies={},
    )
    try:
        return call()
    except requests.ConnectionError as exc:
        reused = budget.dials == 0 and budget.received == 0
        if not (
            getattr(adapter, "repeats", False)
            and prepared.method in ("GET", "HEAD")
            and reused
            and any(isinstance(each, _DROPPED) for each in _causes(exc))
        ):
            raise
    budget.repeated = True
    return call()


class _Unpacker:
    """Decoder of ``Content-Encoding`` that never returns more bytes than asked for.

    A body in an encoding that was not requested stays as it is.
    """

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding.strip().lower()
        self.stream: zlib._Decompress | None = None
        if self.encoding in ("gzip", "x-gzip"):
            self.stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
        elif self.encoding == "deflate":
            self.stream = zlib.decompressobj()
        self.begun = False

    def feed(self, data: bytes, room: int) -> bytes:
        """Decode ``data`` and return at most ``room`` (one or more) bytes of the result."""
        if self.stream is None:
            return data[:room]
        if not self.begun and self.encoding == "deflate" and not _has_zlib_header(data):
            # Old Microsoft servers send deflate without the zlib header.
            self.stream = zlib.decompressobj(-zlib.MAX_WBITS)
        self.begun = True
        made = self.stream.decompress(data, room)
        while self.stream.eof and self.stream.unused_data[:2] == b"\x1f\x8b" and len(made) < room:
            data = self.stream.unused_data
            self.stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
            made += self.stream.decompress(data, room - len(made))
        return made

    def finish(self) -> None:
        """Raise ``zlib.error`` if the stream is not complete."""
        if self.stream is not None and self.begun and not self.stream.eof:
            raise zlib.error("truncated")


def _has_zlib_header(data: bytes) -> bool:
    return len(data) > 1 and data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0


def _read(
    response: requests.Response, budget: Budget, max_bytes: int, keep_bytes: int | None
) -> tuple[bytes, bool]:
    unpacker = _Unpacker(response.headers.get("Content-Encoding", ""))
    keep = max_bytes if keep_bytes is None else min(keep_bytes, max_bytes)
    pieces: list[bytes] = []
    size = 0
    for chunk in response.raw.stream(CHUNK, decode_content=False):
        budget.seconds(0)
        piece = unpacker.feed(chunk, max_bytes - size + 1)
        if size < keep:
            pieces.append(piece[: keep - size])
        size += len(piece)
        if size > max_bytes:
            break
    else:
        unpacker.finish()
    return b"".join(pieces), size > keep


_DROPPED = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)
_FOREIGN = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
    ValueError,
    zlib.error,
)
_NOT_A_URL = (
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    urllib3.exceptions.LocationParseError,
    UnicodeError,
)

_NOT_CONNECTED = (
    socket.gaierror,
    ssl.SSLError,
    ConnectionRefusedError,
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
)


def _causes(exc: BaseException) -> cabc.Iterator[BaseException]:
    """Yield an exception and its causes, outermost first."""
    seen: set[int] = set()
    waiting: list[object] = [exc]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]


def _wrapped(exc: Exception, budget: Budget, url: str) -> TransportError:
    """Make our error of a library's, whose text may quote a URL with secrets."""
    causes = list(_causes(exc))

    def found(*kinds: type[BaseException]) -> t.Any:
        return next((each for each in causes if isinstance(each, kinds)), None)

    limits = budget.timeouts
    host = url.partition("://")[2].partition("/")[0]
    if found(*_NOT_A_URL):
        return TransportError(f"{url} is not an address that can be called", url=url)
    if found(requests.exceptions.InvalidHeader):
        return TransportError("a header has characters that no header may have", url=url)
    if found(zlib.error):
        return UnreachableError(f"the answer of {host} cannot be unpacked", url=url)
    if found(OverBudgetError):
        return UnreachableError(f"{host} sent more than any answer needs", url=url)
    if budget.clock() >= budget.deadline:
        what = f"the answer of {host} was not complete after {limits.total:g} s"
    elif found(urllib3.exceptions.NameResolutionError, socket.gaierror):
        what = f"the name {host} cannot be resolved"
    elif certificate := found(ssl.SSLCertVerificationError):
        what = f"the TLS certificate of {host} is not valid: {certificate.verify_message}"
    elif found(ConnectionRefusedError):
        what = f"{host} refuses connections"
    elif found(urllib3.exceptions.ConnectTimeoutError) and found(TimeoutError):
        what = f"no connection to {host} within {limits.connect:g} s"
    elif found(TimeoutError, urllib3.exceptions.ReadTimeoutError):
        what = f"nothing came from {host} for {limits.read:g} s"
    elif tls := found(ssl.SSLError):
        what = f"no TLS with {host}: {str(tls.reason or 'it broke off').replace('_', ' ').lower()}"
    elif found(*_DROPPED):
        what = f"{host} closed the connection"
    elif found(urllib3.exceptions.IncompleteRead, http.client.IncompleteRead):
        what = f"the answer of {host} broke off"
    elif found(urllib3.exceptions.NewConnectionError):
        what = f"no connection to {host}"
    elif found(http.client.HTTPException, urllib3.exceptions.HTTPError):
        what = f"{host} does not answer in HTTP as it should"
    else:
        what = f"the request to {host} failed"
    # The system's message ("No route to host") helps and quotes nothing of the request.
    if (failed := found(OSError)) and failed.strerror and not found(ssl.SSLError):
        what += f" ({failed.strerror})"
    error = UnreachableError(what, url=url)
    error.connected = not found(*_NOT_CONNECTED)
    return error
