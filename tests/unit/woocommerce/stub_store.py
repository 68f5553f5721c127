"""A stub of a store: responds in place of the network, also for https URLs."""

from __future__ import annotations

import base64
import collections.abc as cabc
import dataclasses
import hmac
import io
import json
import typing as t
import urllib.parse

import requests
import requests.adapters
import urllib3

from flask_woo_events.woocommerce.client import StoreClient

KEY, SECRET = "ck_0123456789abcdef", "cs_fedcba9876543210"
DATE = "Mon, 23 Nov 2026 21:03:50 GMT"


@dataclasses.dataclass
class StoreRequest:
    """A request as the store receives it."""

    method: str
    url: str
    query: dict[str, str]
    headers: cabc.Mapping[str, str]
    body: bytes | None

    @property
    def path(self) -> str:
        return urllib.parse.urlsplit(self.url).path


@dataclasses.dataclass
class StubResponse:
    """A response of the store."""

    body: object = dataclasses.field(default_factory=list)
    status: int = 200
    headers: cabc.Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def bytes(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Rule = cabc.Callable[[StoreRequest], StubResponse]


class StubStore(requests.adapters.BaseAdapter):
    """An adapter that responds in place of the network, also for https URLs."""

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule
        self.requests: list[StoreRequest] = []

    def send(self, request: requests.PreparedRequest, *args: t.Any, **kw: t.Any) -> t.Any:
        url = request.url or ""
        query = dict(urllib.parse.parse_qsl(url.partition("?")[2], keep_blank_values=True))
        body = t.cast("bytes | None", request.body)
        received = StoreRequest(request.method or "", url, query, request.headers, body)
        self.requests.append(received)
        chosen = self.rule(received)
        response = requests.Response()
        response.status_code = chosen.status
        response.headers.update({"Date": DATE} | dict(chosen.headers))
        content = b"" if received.method == "HEAD" else chosen.bytes
        response.raw = urllib3.HTTPResponse(io.BytesIO(content), preload_content=False)
        return response

    def close(self) -> None:
        pass


def store_with(*responses: StubResponse) -> StubStore:
    """Return a store that sends these responses in turn, and repeats the last one."""
    store = StubStore(lambda _: responses[min(len(store.requests), len(responses)) - 1])
    return store


def client_for(
    store: StubStore, url: str = "https://shop.example", **options: t.Any
) -> StoreClient:
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", store)
    session.mount("http://", store)
    return StoreClient(url, KEY, SECRET, session=session, **options)


def refusal(code: str, message: str = "Sorry.", status: int = 401, **headers: str) -> StubResponse:
    return StubResponse(
        {"code": code, "message": message, "data": {"status": status}}, status, headers
    )


def rfc3986(text: str) -> str:
    return urllib.parse.quote(text, safe="-._~")


def is_signed_for(request: StoreRequest, root: str) -> bool:
    """Check a signature as WC_REST_Authentication::check_oauth_signature does."""
    query = dict(request.query)
    given = query.pop("oauth_signature", "")
    ordered = sorted(query.items(), key=lambda pair: pair[0].encode())
    joined = "%26".join(
        rfc3986(rfc3986(key)) + "%3D" + rfc3986(rfc3986(value)) for key, value in ordered
    )
    base = f"{request.method}&{rfc3986(root + request.path)}&{joined}"
    digest = hmac.digest(f"{SECRET}&".encode(), base.encode(), "sha256")
    return given == base64.b64encode(digest).decode()
