"""Outgoing HTTP: responses are limited in time and size, and only allowed addresses are called."""

from __future__ import annotations

import collections.abc as cabc
import gzip
import pathlib
import socket
import typing as t
import zlib

import pytest
import requests

from flask_woo_events.errors import AddressRefusedError, TransportError, UnreachableError
from flask_woo_events.http.exchange import (
    USER_AGENT,
    AddressGuard,
    Exchange,
    Timeouts,
    exchange,
    make_session,
)
from tests import raw_server
from tests.ports import reserve_port
from tests.raw_server import Connection, RawServer, respond, respond_and_wait, response, serve_raw
from tests.waiting import HANG_SECONDS

QUICK = Timeouts(connect=2, read=2, total=4)  # seconds


@pytest.fixture
def session() -> cabc.Iterator[requests.Session]:
    with make_session(guard=None) as opened:
        yield opened


def send(session: requests.Session, url: str, method: str = "GET", **options: t.Any) -> Exchange:
    arguments: dict[str, t.Any] = {"timeouts": QUICK, "max_bytes": 10_000} | options
    return exchange(session, method, url, **arguments)


def stay_silent(connection: Connection) -> None:
    """Keep the connection open without a response until the test ends."""
    connection.stop.wait(HANG_SECONDS)


def test_response_is_complete(session: requests.Session) -> None:
    """A response has its status, its body, and headers that are found in any case."""
    with serve_raw(respond(response(b"hello", "201 Created", "X-Total: 5"))) as server:
        result = send(session, server.url)
    assert (result.status, result.headers["x-TOTAL"], result.body) == (201, "5", b"hello")
    assert not result.truncated and 0 < result.seconds < HANG_SECONDS


def test_request_is_complete(session: requests.Session) -> None:
    """Method, query, headers, credentials and body are sent, and nothing else is added."""
    with serve_raw(respond(response())) as server:
        send(session, server.url + "a", "POST", params={"q": "ä b"}, headers={"X-A": "1"},
            data=b"{}", auth=("me", "pw"))  # fmt: skip
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert (lines[0], body) == ("POST /a?q=%C3%A4+b HTTP/1.1", b"{}")
    assert sorted(lines[1:]) == sorted(
        [
            f"Host: 127.0.0.1:{server.port}",
            f"User-Agent: {USER_AGENT}",
            "Accept-Encoding: gzip, deflate",
            "X-A: 1",
            "Content-Length: 2",
            "Authorization: Basic bWU6cHc=",
        ]
    )


def test_connection_is_reused(session: requests.Session) -> None:
    """Consecutive requests share a connection."""
    with serve_raw(respond(response(b"1"), response(b"2"), response(b""))) as server:
        assert [send(session, server.url).body for _ in range(3)] == [b"1", b"2", b""]
    assert server.connections == 1


@pytest.mark.parametrize(("cap", "truncated"), [(4, True), (5, False), (6, False)])
def test_limit_counts_the_body(session: requests.Session, cap: int, truncated: bool) -> None:
    """A body of exactly the limit is complete; a longer one is truncated."""
    with serve_raw(respond(response(b"hello"))) as server:
        result = send(session, server.url, max_bytes=cap)
    assert (result.body, result.truncated) == (b"hello"[:cap], truncated)


def test_truncated_response_closes_its_connection(session: requests.Session) -> None:
    """The rest of a truncated body is not read as the next response."""
    with serve_raw(respond(response(b"x" * 300_000), response(b"y"))) as server:
        results = [send(session, server.url, max_bytes=10) for _ in range(2)]
    assert [each.truncated for each in results] == [True, True]
    assert server.connections == 2


def test_endless_body_ends_at_the_limit(session: requests.Session) -> None:
    """No more than the limit is read of an endless body."""

    def handle(connection: Connection) -> None:
        connection.read()
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
        connection.send_endlessly(b"x" * 65536)

    with serve_raw(handle) as server:
        result = send(session, server.url)
    assert result.truncated and len(result.body) == 10_000


def test_keep_bytes_reads_on(session: requests.Session) -> None:
    """With ``keep_bytes`` the rest is read and dropped, so the connection is reused."""
    with serve_raw(respond(response(b"x" * 9000), response(b"ok"))) as server:
        first = send(session, server.url, keep_bytes=100)
        second = send(session, server.url, keep_bytes=100)
    assert (len(first.body), first.truncated) == (100, True)
    assert (second.body, second.truncated) == (b"ok", False)
    assert server.connections == 1


def encoded_response(body: bytes, encoding: str) -> bytes:
    return response(body, "200 OK", f"Content-Encoding: {encoding}")


def compressed(body: bytes) -> bytes:
    """Compress without the time, so that the test's name is the same in each run."""
    return gzip.compress(body, mtime=0)


RAW_DEFLATE = zlib.compressobj(wbits=-zlib.MAX_WBITS)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (compressed(b"hello"), "gzip"),
        (compressed(b"hello"), "X-GZIP "),
        (compressed(b"hel") + compressed(b"lo"), "gzip"),
        (compressed(b"hello") + b"\0\0padding", "gzip"),
        (zlib.compress(b"hello"), "deflate"),
        (RAW_DEFLATE.compress(b"hello") + RAW_DEFLATE.flush(), "deflate"),
        (b"hello", "identity"),
        (b"hello", ""),
        (b"hello", "br"),
    ],
)
def test_body_is_decompressed(session: requests.Session, body: bytes, encoding: str) -> None:
    """Accepted encodings are decoded; a body with any other stays as it is."""
    with serve_raw(respond(encoded_response(body, encoding))) as server:
        assert send(session, server.url).body == b"hello"


def test_empty_body_is_not_decompressed(session: requests.Session) -> None:
    """An empty body with an encoding, as PHP sends it, is not an error."""
    with serve_raw(respond(encoded_response(b"", "gzip"))) as server:
        assert send(session, server.url).body == b""


def test_compression_bomb_ends_at_the_limit(session: requests.Session) -> None:
    """The limit counts decompressed bytes, and decompression stops there."""
    with serve_raw(respond(encoded_response(compressed(b"\0" * 50_000_000), "gzip"))) as server:
        result = send(session, server.url)
    assert result.truncated and len(result.body) == 10_000


@pytest.mark.parametrize("body", [b"no gzip at all", compressed(b"hello" * 99)[:-9]])
def test_invalid_compression_is_an_error(session: requests.Session, body: bytes) -> None:
    """A body that is not gzip, or a truncated one, is an error."""
    with serve_raw(respond(encoded_response(body, "gzip"))) as server:
        with pytest.raises(UnreachableError, match="unpacked"):
            send(session, server.url)


def test_redirect_is_not_followed(session: requests.Session) -> None:
    """A redirect is returned, and its body keeps to the limit, unlike in requests."""

    def handle(connection: Connection) -> None:
        connection.read()
        connection.send(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n")
        connection.send_endlessly(b"x" * 65536)

    with serve_raw(handle) as server:
        result = send(session, server.url)
    assert (result.status, result.headers["Location"]) == (302, "/elsewhere")
    assert result.truncated
    assert len(server.requests) == 1


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX-A: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_slow_response_ends_at_the_deadline(session: requests.Session, start: bytes) -> None:
    """Single bytes do not extend the deadline: in the first line, the headers or the body."""

    def handle(connection: Connection) -> None:
        connection.read()
        connection.send(start)
        connection.send_slowly(b"HTTP/1.1 200 OK\r\nX-B: " + b"x" * 400, 0.05)

    with serve_raw(handle) as server:
        with pytest.raises(UnreachableError, match="not complete after 0.3 s"):
            send(session, server.url, timeouts=Timeouts(2, 2, 0.3))


def test_endless_continue_ends_at_the_deadline(session: requests.Session) -> None:
    """Interim responses do not restart the deadline."""

    def handle(connection: Connection) -> None:
        connection.read()
        connection.send_slowly(b"HTTP/1.1 100 Continue\r\n\r\n" * 40, 0.002)

    with serve_raw(handle) as server:
        with pytest.raises(UnreachableError, match="not complete after 0.2 s"):
            send(session, server.url, timeouts=Timeouts(2, 2, 0.2))


def test_silence_ends_at_the_read_timeout(session: requests.Session) -> None:
    """The read timeout ends a request although its deadline is later."""
    with serve_raw(respond_and_wait()) as server:
        with pytest.raises(UnreachableError, match=r"nothing came from 127.0.0.1:\d+ for 0.1 s"):
            send(session, server.url, timeouts=Timeouts(2, 0.1, 4))


def test_unread_upload_ends_at_the_deadline(session: requests.Session) -> None:
    """The deadline also limits the sending of a body."""
    with serve_raw(stay_silent) as server:
        with pytest.raises(UnreachableError):
            send(session, server.url, "POST", data=b"x" * 30_000_000, timeouts=Timeouts(2, 2, 0.3))


@pytest.mark.parametrize(
    ("received", "words"),
    [
        (b"", "closed the connection"),
        (b"SSH-2.0-OpenSSH\r\n", "HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhel", "broke off|closed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "broke off|HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP|broke off"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", "HTTP"),
    ],
)
def test_malformed_response_is_an_error(
    session: requests.Session, received: bytes, words: str
) -> None:
    """A response that is not complete, valid HTTP raises our own error."""
    with serve_raw(respond(received)) as server:
        with pytest.raises(UnreachableError, match=words):
            send(session, server.url)


def test_reset_is_an_error(session: requests.Session) -> None:
    """A connection that is reset during the read raises our own error."""

    def handle(connection: Connection) -> None:
        connection.read()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhel")
        connection.reset()

    with serve_raw(handle) as server:
        with pytest.raises(UnreachableError):
            send(session, server.url)


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"x" * 65536),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    ],
)
def test_endless_framing_is_cut_off(session: requests.Session, start: bytes, more: bytes) -> None:
    """The limit also stops an endless chunk size, trailer, or series of interim responses."""

    def handle(connection: Connection) -> None:
        connection.read()
        connection.send(start)
        connection.send_endlessly(more)

    with serve_raw(handle) as server:
        with pytest.raises(UnreachableError, match="more than any answer needs|HTTP"):
            send(session, server.url)


def test_refused_connection(session: requests.Session) -> None:
    """The error of a refused connection names the URL without credentials and query."""
    port = reserve_port()
    with pytest.raises(UnreachableError, match="refuses connections") as caught:
        send(session, f"http://me:s3cret@127.0.0.1:{port}/a?consumer_secret=cs_1#f")
    assert caught.value.url == f"http://127.0.0.1:{port}/a"
    assert "s3cret" not in str(caught.value) and "cs_1" not in str(caught.value)


def test_unknown_host(session: requests.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a host that cannot be resolved names the host."""

    def unknown(*args: object) -> t.NoReturn:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UnreachableError, match="shop.example cannot be resolved"):
        send(session, "http://shop.example/?a=1")


@pytest.mark.parametrize(
    "url", ["ftp://a/", "nothing", "http://", "http://[::1/", "http://a b/", "http://a:x/",
            f"http://{'a' * 70}.com/", "http://.example/", ""],
)  # fmt: skip
def test_invalid_url(session: requests.Session, url: str) -> None:
    """An invalid URL raises our own error, not one of requests."""
    with pytest.raises(TransportError, match="not an address"):
        send(session, url)


@pytest.mark.parametrize("headers", [{"X": "a\r\nY: b"}, {"X\n": "a"}, {"X": "ä\u20ac"}])
def test_invalid_header(session: requests.Session, headers: dict[str, str]) -> None:
    """A header cannot inject another one."""
    with serve_raw(respond(response())) as server:
        with pytest.raises(TransportError):
            send(session, server.url, headers=headers)
    assert not any(b"Y:" in request for request in server.requests)


def test_cookies_are_not_kept(session: requests.Session) -> None:
    """A cookie of one response is not sent with the next request."""
    with serve_raw(
        respond(response(b"", "200 OK", "Set-Cookie: a=b; Path=/"), response())
    ) as server:
        send(session, server.url)
        send(session, server.url)
    assert b"cookie" not in server.requests[1].lower()


def test_environment_is_ignored(
    session: requests.Session, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """No proxy setting and no .netrc of the machine is used."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password pw")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with serve_raw(respond(response(b"ok"))) as server:
        assert send(session, server.url).body == b"ok"
    assert b"authorization" not in server.requests[0].lower()


def drop_second(connection: Connection) -> None:
    """Respond to the first request of a connection; at its second, close the first connection."""
    connection.read()
    connection.send(response(b"first"))
    if connection.number == 1:
        connection.read()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_stale_connection_is_replaced_once(method: str) -> None:
    """A GET is repeated when its kept-alive connection was closed by the server."""
    with make_session(guard=None, retries=True) as session, serve_raw(drop_second) as server:
        assert [send(session, server.url, method).status for _ in range(2)] == [200, 200]
    assert len(server.requests) == 3


@pytest.mark.parametrize(("method", "retries"), [("POST", True), ("GET", False)])
def test_other_requests_are_not_repeated(method: str, retries: bool) -> None:
    """A POST may have had an effect, and without ``retries`` no request is repeated."""
    with make_session(guard=None, retries=retries) as session, serve_raw(drop_second) as server:
        send(session, server.url)
        with pytest.raises(UnreachableError, match="closed"):
            send(session, server.url, method)
    assert len(server.requests) == 2


def test_new_connection_that_is_dropped_is_not_repeated() -> None:
    """A request is repeated only if its connection was used before."""
    with make_session(guard=None, retries=True) as session, serve_raw(respond(b"")) as server:
        with pytest.raises(UnreachableError):
            send(session, server.url)
    assert len(server.requests) == 1


def test_tls_needs_a_valid_certificate(session: requests.Session, tmp_path: pathlib.Path) -> None:
    """An untrusted certificate ends the connection, and the error says so."""
    context, _authorities = raw_server.self_signed(tmp_path)
    with serve_raw(respond(response(b"ok")), tls=context) as server:
        with pytest.raises(UnreachableError, match="certificate of .* is not valid: self-signed"):
            send(session, server.url)
    assert server.requests == []


def test_tls_with_own_authority(session: requests.Session, tmp_path: pathlib.Path) -> None:
    """A session can trust its own CA, and its connections are reused."""
    context, session.verify = raw_server.self_signed(tmp_path)
    with serve_raw(respond(response(b"1"), response(b"2")), tls=context) as server:
        assert [send(session, server.url).body for _ in range(2)] == [b"1", b"2"]
    assert server.connections == 1


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_slow_tls_response_ends_at_the_deadline(
    session: requests.Session, tmp_path: pathlib.Path, start: bytes
) -> None:
    """The deadline also applies to TLS connections."""
    context, session.verify = raw_server.self_signed(tmp_path)

    def handle(connection: Connection) -> None:
        connection.read()
        connection.send(start)
        connection.send_slowly(b"HTTP/1.1 200 OK\r\nX-B: " + b"x" * 400, 0.05)

    with serve_raw(handle, tls=context) as server:
        with pytest.raises(UnreachableError, match="not complete after 0.3 s"):
            send(session, server.url, timeouts=Timeouts(2, 2, 0.3))


def test_tls_handshake_ends_at_the_connect_timeout(session: requests.Session) -> None:
    """A silent server does not keep a TLS handshake open."""
    limits = Timeouts(0.1, HANG_SECONDS, HANG_SECONDS)
    with serve_raw(stay_silent) as server:
        with pytest.raises(UnreachableError):
            send(session, f"https://127.0.0.1:{server.port}/", timeouts=limits)


def test_plain_server_at_an_https_url(session: requests.Session) -> None:
    """The error of a plain HTTP server at an https URL says that there is no TLS."""
    with serve_raw(lambda connection: connection.send(b"HTTP/1.1 400 Bad\r\n\r\n")) as server:
        with pytest.raises(UnreachableError, match="no TLS with"):
            send(session, f"https://127.0.0.1:{server.port}/")


def test_clock_is_a_parameter(session: requests.Session) -> None:
    """Duration and deadline are measured with the given clock."""
    ticks = iter(range(0, 100))
    with serve_raw(respond(response(b"ok"))) as server:
        result = send(
            session, server.url, clock=lambda: float(next(ticks)), timeouts=Timeouts(2, 2, 90)
        )
    assert result.seconds >= 2


REFUSED = [
    "127.0.0.1", "127.8.9.10", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1",
    "192.0.0.1", "192.0.2.1", "198.18.0.1", "192.88.99.1", "169.254.1.1", "::1", "fe80::1",
    "fe80::1%1", "fc00::1", "fd12::1", "fec0::1", "2001:db8::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "::127.0.0.1", "::8.8.8.8", "64:ff9b::a00:1", "64:ff9b::808:808",
    "64:ff9b:1::a00:1", "2002:a00:1::", "2002:808:808::1", "2001:0:4136:e378:8000:63bf:f5ff:fffe",
    "::ffff:0:10.0.0.1", "::ffff:0:8.8.8.8", "5f00::1", "3fff::1", "3fff:fff::1", "4000::1", "1::1",
    "2606:4700::5efe:10.0.0.1", "2606:4700::200:5efe:10.0.0.1", "2606:4700::5efe:127.0.0.1",
    "fe80::5efe:8.8.8.8",
]  # fmt: skip
NEVER = [
    "0.0.0.0", "::", "255.255.255.255", "240.0.0.1", "224.0.0.1", "ff02::1", "169.254.169.254",
    "100.100.100.200", "fd00:ec2::254", "::ffff:169.254.169.254", "::ffff:0.0.0.0",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::", "::169.254.169.254",
    "::ffff:224.0.0.1", "::ffff:0:169.254.169.254", "2606:4700::5efe:169.254.169.254",
    "fe80::200:5efe:169.254.169.254", "168.63.129.16", "169.254.170.2", "192.0.0.192",
    "fd20:ce::254", "2002:a83f:8110::1",
]  # fmt: skip
ALLOWED = [
    "8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "192.0.1.1",
    "2606:4700::5efe:8.8.8.8", "3ffe::1", "2a00:1450::1", "2000::1",
]  # fmt: skip


@pytest.mark.parametrize("ip", REFUSED + NEVER)
def test_guard_refuses_internal_addresses(ip: str) -> None:
    """Private, local, shared and tunnelled addresses are refused."""
    with pytest.raises(AddressRefusedError):
        AddressGuard().check(ip)


@pytest.mark.parametrize("ip", ALLOWED)
def test_guard_allows_public_addresses(ip: str) -> None:
    """Public addresses are allowed in each notation."""
    AddressGuard().check(ip)


@pytest.mark.parametrize("ip", REFUSED)
def test_guard_can_allow_private_addresses(ip: str) -> None:
    """``allow_private`` allows internal addresses, for development."""
    AddressGuard(allow_private=True).check(ip)


@pytest.mark.parametrize("ip", NEVER)
def test_guard_never_allows_special_addresses(ip: str) -> None:
    """No setting allows a cloud's metadata service, multicast or the unspecified address."""
    with pytest.raises(AddressRefusedError, match="never called"):
        AddressGuard(allow_private=True).check(ip)


def test_guard_allows_named_hosts() -> None:
    """``allow_hosts`` allows single hosts and no others."""
    guard = AddressGuard(allow_hosts=frozenset({"hooks.internal", "10.0.0.5"}))
    guard.check("10.0.0.1", "Hooks.Internal.")
    guard.check("10.0.0.5")
    with pytest.raises(AddressRefusedError):
        guard.check("10.0.0.6")


def test_refusal_names_the_setting_and_not_the_address() -> None:
    """The message names the setting, but not the resolved address."""
    with pytest.raises(AddressRefusedError, match="inner.example .*MY_SETTING") as caught:
        AddressGuard(setting="MY_SETTING").check("10.1.2.3", "inner.example")
    assert "10.1.2.3" not in str(caught.value)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "0x7f000001", "2130706433", "127.1", "[::ffff:127.0.0.1]",
             "0.0.0.0", "[::]"],
)  # fmt: skip
def test_guarded_session_does_not_connect(host: str) -> None:
    """In no notation of loopback is a connection opened."""
    with make_session(guard=AddressGuard()) as session, serve_raw(respond(response())) as server:
        with pytest.raises(AddressRefusedError) as caught:
            send(session, f"http://{host}:{server.port}/a?b=c")
    assert caught.value.url == f"http://{host}:{server.port}/a"
    assert server.connections == 0


def resolve_to(monkeypatch: pytest.MonkeyPatch, *results: list[str]) -> list[str]:
    """Have each look-up return the next list of addresses; return the names looked up."""
    names: list[str] = []

    def lookup(host: str, port: int, *rest: object) -> list[t.Any]:
        names.append(host)
        found = results[min(len(names), len(results)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in found]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return names


@pytest.fixture
def server() -> cabc.Iterator[RawServer]:
    with serve_raw(respond(response(b"ok"))) as opened:
        yield opened


def test_only_allowed_addresses_are_used(
    monkeypatch: pytest.MonkeyPatch, server: RawServer
) -> None:
    """Refused addresses of a name are skipped, and the name is not resolved a second time."""
    names = resolve_to(monkeypatch, ["10.0.0.1", "127.0.0.1"], ["10.0.0.1"])
    monkeypatch.setattr(
        AddressGuard, "check", lambda self, ip, host: None if ip == "127.0.0.1" else refuse()
    )

    def refuse() -> t.NoReturn:
        raise AddressRefusedError("no")

    with make_session(guard=AddressGuard()) as session:
        assert send(session, f"http://rebinding.example:{server.port}/").body == b"ok"
    assert names == ["rebinding.example"]


def test_next_address_is_tried(
    monkeypatch: pytest.MonkeyPatch, server: RawServer, session: requests.Session
) -> None:
    """When a name's first address is down, the next one is called."""
    resolve_to(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    assert send(session, f"http://two.example:{server.port}/").body == b"ok"
