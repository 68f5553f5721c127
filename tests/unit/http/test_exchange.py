"""Transport: answers end in time and size, and connections go only where they may."""

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
from tests.raw_server import Connection, Peer, answer, answers, peer, says
from tests.waiting import HANG_SECONDS

QUICK = Timeouts(connect=2, read=2, total=4)  # seconds


@pytest.fixture
def session() -> cabc.Iterator[requests.Session]:
    with make_session(guard=None) as made:
        yield made


def ask(session: requests.Session, url: str, method: str = "GET", **options: t.Any) -> Exchange:
    chosen: dict[str, t.Any] = {"timeouts": QUICK, "max_bytes": 10_000} | options
    return exchange(session, method, url, **chosen)


def wait(line: Connection) -> None:
    """Say nothing until the test is over."""
    line.stop.wait(HANG_SECONDS)


def test_answer_comes_back_whole(session: requests.Session) -> None:
    """Status, headers in any case, and the body."""
    with peer(answers(answer(b"hello", "201 Created", "X-Total: 5"))) as there:
        came = ask(session, there.url)
    assert (came.status, came.headers["x-TOTAL"], came.body) == (201, "5", b"hello")
    assert not came.truncated and 0 < came.seconds < 2


def test_request_is_what_was_asked_for(session: requests.Session) -> None:
    """Method, query, headers, credentials and body arrive; nothing else is added."""
    with peer(answers(answer())) as there:
        ask(session, there.url + "a", "POST", params={"q": "ä b"}, headers={"X-A": "1"},
            data=b"{}", auth=("me", "pw"))  # fmt: skip
    head, _, body = there.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert (lines[0], body) == ("POST /a?q=%C3%A4+b HTTP/1.1", b"{}")
    assert sorted(lines[1:]) == sorted(
        [
            f"Host: 127.0.0.1:{there.port}",
            f"User-Agent: {USER_AGENT}",
            "Accept-Encoding: gzip, deflate",
            "X-A: 1",
            "Content-Length: 2",
            "Authorization: Basic bWU6cHc=",
        ]
    )


def test_connection_is_used_again(session: requests.Session) -> None:
    """Requests in a row share a connection."""
    with peer(answers(answer(b"1"), answer(b"2"), answer(b""))) as there:
        assert [ask(session, there.url).body for _ in range(3)] == [b"1", b"2", b""]
    assert there.connections == 1


@pytest.mark.parametrize(("cap", "truncated"), [(4, True), (5, False), (6, False)])
def test_cap_counts_the_body(session: requests.Session, cap: int, truncated: bool) -> None:
    """An answer of exactly the cap is whole; of a longer one the beginning is kept."""
    with peer(answers(answer(b"hello"))) as there:
        came = ask(session, there.url, max_bytes=cap)
    assert (came.body, came.truncated) == (b"hello"[:cap], truncated)


def test_truncated_answer_ends_its_connection(session: requests.Session) -> None:
    """The rest of a body must not be taken for the next answer."""
    with peer(answers(answer(b"x" * 300_000), answer(b"y"))) as there:
        came = [ask(session, there.url, max_bytes=10) for _ in range(2)]
    assert [each.truncated for each in came] == [True, True]
    assert there.connections == 2


def test_endless_body_ends_at_the_cap(session: requests.Session) -> None:
    """A body without an end costs no more than its cap."""

    def handle(line: Connection) -> None:
        line.read()
        line.send(b"HTTP/1.1 200 OK\r\n\r\n")
        line.pour(b"x" * 65536)

    with peer(handle) as there:
        came = ask(session, there.url)
    assert came.truncated and len(came.body) == 10_000


def test_keep_bytes_reads_on(session: requests.Session) -> None:
    """Only the beginning is kept, and the connection stays good."""
    with peer(answers(answer(b"x" * 9000), answer(b"ok"))) as there:
        first = ask(session, there.url, keep_bytes=100)
        second = ask(session, there.url, keep_bytes=100)
    assert (len(first.body), first.truncated) == (100, True)
    assert (second.body, second.truncated) == (b"ok", False)
    assert there.connections == 1


def encoded(body: bytes, encoding: str) -> bytes:
    return answer(body, "200 OK", f"Content-Encoding: {encoding}")


def packed(body: bytes) -> bytes:
    """Pack without the time, which would give a test another name at each run."""
    return gzip.compress(body, mtime=0)


RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (packed(b"hello"), "gzip"),
        (packed(b"hello"), "X-GZIP "),
        (packed(b"hel") + packed(b"lo"), "gzip"),
        (packed(b"hello") + b"\0\0padding", "gzip"),
        (zlib.compress(b"hello"), "deflate"),
        (RAW.compress(b"hello") + RAW.flush(), "deflate"),
        (b"hello", "identity"),
        (b"hello", ""),
        (b"hello", "br"),
    ],
)
def test_body_is_unpacked(session: requests.Session, body: bytes, encoding: str) -> None:
    """What we asked for is undone; what we did not ask for stays as it is."""
    with peer(answers(encoded(body, encoding))) as there:
        assert ask(session, there.url).body == b"hello"


def test_empty_body_needs_no_unpacking(session: requests.Session) -> None:
    """PHP names an encoding even when there is nothing."""
    with peer(answers(encoded(b"", "gzip"))) as there:
        assert ask(session, there.url).body == b""


def test_bomb_ends_at_the_cap(session: requests.Session) -> None:
    """The cap counts unpacked bytes, and no more are unpacked."""
    with peer(answers(encoded(packed(b"\0" * 50_000_000), "gzip"))) as there:
        came = ask(session, there.url)
    assert came.truncated and len(came.body) == 10_000


@pytest.mark.parametrize("body", [b"no gzip at all", packed(b"hello" * 99)[:-9]])
def test_broken_packing_is_no_answer(session: requests.Session, body: bytes) -> None:
    """A stream that is cut off or none at all is an error."""
    with peer(answers(encoded(body, "gzip"))) as there:
        with pytest.raises(UnreachableError, match="unpacked"):
            ask(session, there.url)


def test_redirect_is_an_answer(session: requests.Session) -> None:
    """It is not followed, and its body, which requests would read whole, keeps to the cap."""

    def handle(line: Connection) -> None:
        line.read()
        line.send(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n")
        line.pour(b"x" * 65536)

    with peer(handle) as there:
        came = ask(session, there.url)
    assert (came.status, came.headers["Location"], came.truncated) == (302, "/elsewhere", True)
    assert len(there.requests) == 1


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX-A: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_dripping_ends_at_the_deadline(session: requests.Session, start: bytes) -> None:
    """A byte now and then keeps no request alive: in the first line, the header or the body."""

    def handle(line: Connection) -> None:
        line.read()
        line.send(start)
        line.drip(b"HTTP/1.1 200 OK\r\nX-B: " + b"x" * 400, 0.05)

    with peer(handle) as there:
        with pytest.raises(UnreachableError, match="not complete after 0.3 s"):
            ask(session, there.url, timeouts=Timeouts(2, 2, 0.3))


def test_endless_continue_ends_at_the_deadline(session: requests.Session) -> None:
    """Interim answers do not start the time anew."""

    def handle(line: Connection) -> None:
        line.read()
        line.drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 40, 0.002)

    with peer(handle) as there:
        with pytest.raises(UnreachableError, match="not complete after 0.2 s"):
            ask(session, there.url, timeouts=Timeouts(2, 2, 0.2))


def test_silence_ends_at_the_read_timeout(session: requests.Session) -> None:
    """Nothing for so long is the end, although the total would allow more."""
    with peer(says()) as there:
        with pytest.raises(UnreachableError, match=r"nothing came from 127.0.0.1:\d+ for 0.1 s"):
            ask(session, there.url, timeouts=Timeouts(2, 0.1, 4))


def test_upload_that_nobody_reads_ends_at_the_deadline(session: requests.Session) -> None:
    """Sending is limited as receiving is."""
    with peer(wait) as there:
        with pytest.raises(UnreachableError):
            ask(session, there.url, "POST", data=b"x" * 30_000_000, timeouts=Timeouts(2, 2, 0.3))


@pytest.mark.parametrize(
    ("said", "words"),
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
def test_broken_answer_is_no_answer(session: requests.Session, said: bytes, words: str) -> None:
    """What is not HTTP to its end is an error of ours."""
    with peer(answers(said)) as there:
        with pytest.raises(UnreachableError, match=words):
            ask(session, there.url)


def test_reset_is_no_answer(session: requests.Session) -> None:
    """A connection that is torn down while we read is an error of ours."""

    def handle(line: Connection) -> None:
        line.read()
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhel")
        line.reset()

    with peer(handle) as there:
        with pytest.raises(UnreachableError):
            ask(session, there.url)


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"x" * 65536),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    ],
)
def test_endless_framing_is_cut_off(session: requests.Session, start: bytes, more: bytes) -> None:
    """A chunk's size, a trailer or interim answers without an end are no body to be capped."""

    def handle(line: Connection) -> None:
        line.read()
        line.send(start)
        line.pour(more)

    with peer(handle) as there:
        with pytest.raises(UnreachableError, match="more than any answer needs|HTTP"):
            ask(session, there.url)


def test_refused_connection(session: requests.Session) -> None:
    """Where nobody listens is said in words, without query and user."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UnreachableError, match="refuses connections") as caught:
        ask(session, f"http://me:s3cret@127.0.0.1:{port}/a?consumer_secret=cs_1#f")
    assert caught.value.url == f"http://127.0.0.1:{port}/a"
    assert "s3cret" not in str(caught.value) and "cs_1" not in str(caught.value)


def test_unknown_name(session: requests.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that nobody knows is said in words."""

    def unknown(*args: object) -> t.NoReturn:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UnreachableError, match="shop.example cannot be resolved"):
        ask(session, "http://shop.example/?a=1")


@pytest.mark.parametrize(
    "url", ["ftp://a/", "nothing", "http://", "http://[::1/", "http://a b/", "http://a:x/",
            f"http://{'a' * 70}.com/", "http://.example/", ""],
)  # fmt: skip
def test_address_that_cannot_be_called(session: requests.Session, url: str) -> None:
    """What is no URL is our error, too."""
    with pytest.raises(TransportError, match="not an address"):
        ask(session, url)


@pytest.mark.parametrize("headers", [{"X": "a\r\nY: b"}, {"X\n": "a"}, {"X": "ä\u20ac"}])
def test_header_that_cannot_be_sent(session: requests.Session, headers: dict[str, str]) -> None:
    """A header cannot smuggle in another one."""
    with peer(answers(answer())) as there:
        with pytest.raises(TransportError):
            ask(session, there.url, headers=headers)
    assert not any(b"Y:" in request for request in there.requests)


def test_cookies_are_not_kept(session: requests.Session) -> None:
    """Stores set cookies; conversations do not depend on each other."""
    with peer(answers(answer(b"", "200 OK", "Set-Cookie: a=b; Path=/"), answer())) as there:
        ask(session, there.url)
        ask(session, there.url)
    assert b"cookie" not in there.requests[1].lower()


def test_environment_is_ignored(
    session: requests.Session, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """No proxy and no .netrc of the machine takes part."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password pw")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with peer(answers(answer(b"ok"))) as there:
        assert ask(session, there.url).body == b"ok"
    assert b"authorization" not in there.requests[0].lower()


def drop_second(line: Connection) -> None:
    """Answer the first request of the first connection and close at the second."""
    line.read()
    line.send(answer(b"first"))
    if line.number == 1:
        line.read()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_stale_connection_is_replaced_once(method: str) -> None:
    """A kept-alive connection that was closed at the other side costs a GET nothing."""
    with make_session(guard=None, retries=True) as session, peer(drop_second) as there:
        assert [ask(session, there.url, method).status for _ in range(2)] == [200, 200]
    assert len(there.requests) == 3


@pytest.mark.parametrize(("method", "retries"), [("POST", True), ("GET", False)])
def test_other_requests_are_not_repeated(method: str, retries: bool) -> None:
    """What may have been done is not done twice, nor is anything without being asked."""
    with make_session(guard=None, retries=retries) as session, peer(drop_second) as there:
        ask(session, there.url)
        with pytest.raises(UnreachableError, match="closed"):
            ask(session, there.url, method)
    assert len(there.requests) == 2


def test_new_connection_that_is_dropped_is_not_repeated() -> None:
    """Only a connection that was used before can be stale."""
    with make_session(guard=None, retries=True) as session, peer(answers(b"")) as there:
        with pytest.raises(UnreachableError):
            ask(session, there.url)
    assert len(there.requests) == 1


def test_tls_needs_a_valid_certificate(session: requests.Session, tmp_path: pathlib.Path) -> None:
    """A certificate that nobody vouches for ends it, and the error says so."""
    context, _authorities = raw_server.self_signed(tmp_path)
    with peer(answers(answer(b"ok")), tls=context) as there:
        with pytest.raises(UnreachableError, match="certificate of .* is not valid: self-signed"):
            ask(session, there.url)
    assert there.requests == []


def test_tls_with_own_authority(session: requests.Session, tmp_path: pathlib.Path) -> None:
    """A session may trust an authority of its own; connections are kept."""
    context, session.verify = raw_server.self_signed(tmp_path)
    with peer(answers(answer(b"1"), answer(b"2")), tls=context) as there:
        assert [ask(session, there.url).body for _ in range(2)] == [b"1", b"2"]
    assert there.connections == 1


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_tls_dripping_ends_at_the_deadline(
    session: requests.Session, tmp_path: pathlib.Path, start: bytes
) -> None:
    """The deadline holds inside TLS as well."""
    context, session.verify = raw_server.self_signed(tmp_path)

    def handle(line: Connection) -> None:
        line.read()
        line.send(start)
        line.drip(b"HTTP/1.1 200 OK\r\nX-B: " + b"x" * 400, 0.05)

    with peer(handle, tls=context) as there:
        with pytest.raises(UnreachableError, match="not complete after 0.3 s"):
            ask(session, there.url, timeouts=Timeouts(2, 2, 0.3))


def test_tls_handshake_ends_at_the_connect_timeout(session: requests.Session) -> None:
    """A peer that accepts and says nothing does not hold a handshake open."""
    limits = Timeouts(0.1, HANG_SECONDS, HANG_SECONDS)
    with peer(wait) as there:
        with pytest.raises(UnreachableError):
            ask(session, f"https://127.0.0.1:{there.port}/", timeouts=limits)


def test_plain_peer_on_tls(session: requests.Session) -> None:
    """Plain HTTP behind https:// is said in words."""
    with peer(lambda line: line.send(b"HTTP/1.1 400 Bad\r\n\r\n")) as there:
        with pytest.raises(UnreachableError, match="no TLS with"):
            ask(session, f"https://127.0.0.1:{there.port}/")


def test_clock_is_a_parameter(session: requests.Session) -> None:
    """Seconds and deadline are those of the clock given."""
    ticks = iter(range(0, 100))
    with peer(answers(answer(b"ok"))) as there:
        came = ask(
            session, there.url, clock=lambda: float(next(ticks)), timeouts=Timeouts(2, 2, 90)
        )
    assert came.seconds >= 2


REFUSED = [
    "127.0.0.1", "127.8.9.10", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1",
    "192.0.0.1", "192.0.2.1", "198.18.0.1", "192.88.99.1", "169.254.1.1", "::1", "fe80::1",
    "fe80::1%1", "fc00::1", "fd12::1", "fec0::1", "2001:db8::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "::127.0.0.1", "::8.8.8.8", "64:ff9b::a00:1", "64:ff9b::808:808",
    "64:ff9b:1::a00:1", "2002:a00:1::", "2002:808:808::1", "2001:0:4136:e378:8000:63bf:f5ff:fffe",
]  # fmt: skip
NEVER = [
    "0.0.0.0", "::", "255.255.255.255", "240.0.0.1", "224.0.0.1", "ff02::1", "169.254.169.254",
    "100.100.100.200", "fd00:ec2::254", "::ffff:169.254.169.254", "::ffff:0.0.0.0",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::", "::169.254.169.254",
    "::ffff:224.0.0.1",
]  # fmt: skip
ALLOWED = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "192.0.1.1"]


@pytest.mark.parametrize("ip", REFUSED + NEVER)
def test_guard_refuses_what_leads_inside(ip: str) -> None:
    """Private, local, shared and tunnelled addresses are refused."""
    with pytest.raises(AddressRefusedError):
        AddressGuard().check(ip)


@pytest.mark.parametrize("ip", ALLOWED)
def test_guard_allows_the_public(ip: str) -> None:
    """Public addresses are fine, written as they may be."""
    AddressGuard().check(ip)


@pytest.mark.parametrize("ip", REFUSED)
def test_guard_can_allow_private_addresses(ip: str) -> None:
    """Development calls its own machine."""
    AddressGuard(allow_private=True).check(ip)


@pytest.mark.parametrize("ip", NEVER)
def test_guard_never_allows_some(ip: str) -> None:
    """No setting opens the metadata service of a cloud, multicast or the unspecified address."""
    with pytest.raises(AddressRefusedError, match="never called"):
        AddressGuard(allow_private=True).check(ip)


def test_guard_allows_named_hosts() -> None:
    """Single hosts can be let through."""
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
    """However loopback is written, no packet goes there."""
    with make_session(guard=AddressGuard()) as session, peer(answers(answer())) as there:
        with pytest.raises(AddressRefusedError) as caught:
            ask(session, f"http://{host}:{there.port}/a?b=c")
    assert caught.value.url == f"http://{host}:{there.port}/a"
    assert there.connections == 0


def resolve_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let each look-up give the next list of addresses; return the names asked for."""
    asked: list[str] = []

    def lookup(host: str, port: int, *rest: object) -> list[t.Any]:
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in found]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return asked


@pytest.fixture
def there() -> cabc.Iterator[Peer]:
    with peer(answers(answer(b"ok"))) as made:
        yield made


def test_only_allowed_addresses_are_used(monkeypatch: pytest.MonkeyPatch, there: Peer) -> None:
    """Of a name's addresses the refused ones are left out; nothing is looked up again."""
    asked = resolve_to(monkeypatch, ["10.0.0.1", "127.0.0.1"], ["10.0.0.1"])
    monkeypatch.setattr(
        AddressGuard, "check", lambda self, ip, host: None if ip == "127.0.0.1" else refuse()
    )

    def refuse() -> t.NoReturn:
        raise AddressRefusedError("no")

    with make_session(guard=AddressGuard()) as session:
        assert ask(session, f"http://rebinding.example:{there.port}/").body == b"ok"
    assert asked == ["rebinding.example"]


def test_next_address_is_tried(
    monkeypatch: pytest.MonkeyPatch, there: Peer, session: requests.Session
) -> None:
    """A name's first address may be down."""
    resolve_to(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    assert ask(session, f"http://two.example:{there.port}/").body == b"ok"
