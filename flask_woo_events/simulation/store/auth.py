"""The check of API keys: Basic and query string over HTTPS, OAuth 1.0a over HTTP."""

from __future__ import annotations

import base64
import binascii
import collections.abc as cabc
import dataclasses
import hashlib
import hmac
import urllib.parse

from .responses import RestError
from .state import Shop

#: Allowed deviation of the timestamp of a signed request, seconds.
TIMESTAMP_WINDOW = 15 * 60
_CODE = "woocommerce_rest_authentication_error"
_ALGORITHMS = {"HMAC-SHA1": hashlib.sha1, "HMAC-SHA256": hashlib.sha256}
_REQUIRED = (
    "oauth_consumer_key",
    "oauth_timestamp",
    "oauth_nonce",
    "oauth_signature",
    "oauth_signature_method",
)


@dataclasses.dataclass(frozen=True)
class Key:
    """One API key."""

    consumer_key: str
    consumer_secret: str = dataclasses.field(repr=False)
    #: ``read``, ``write`` or ``read_write``.
    permissions: str = "read_write"


class Keys:
    """Holds the keys of a store and the nonces that were used with them."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._keys: dict[str, Key] = {}
        self._nonces: dict[tuple[str, str], int] = {}

    def add(self, key: Key) -> None:
        """Accept a key."""
        self._keys[key.consumer_key] = key

    def check(
        self,
        method: str,
        path: str,
        query: cabc.Sequence[tuple[str, str]],
        authorization: str,
        *,
        https: bool,
    ) -> None:
        """Check the key of a request.

        :raises RestError: the error that WooCommerce responds with.
        """
        params = dict(query)
        key = self._plain(params, authorization) if https else None
        if key is None:
            if authorization.startswith("OAuth "):
                query = [*query, *_header_params(authorization)]
                params = dict(query)
            key = self._signed(method, path, query, params, https=https)
        if key is None:
            raise unknown_key(method, path)
        reading = method in ("GET", "HEAD")
        if key.permissions not in ("read_write", "read" if reading else "write"):
            what = "read" if reading else "write"
            raise _refused(f"The API key provided does not have {what} permissions.")

    def _plain(self, params: cabc.Mapping[str, str], authorization: str) -> Key | None:
        name, secret = params.get("consumer_key"), params.get("consumer_secret")
        if name is None and authorization.lower().startswith("basic "):
            try:
                decoded = base64.b64decode(authorization[6:]).decode()
            except (binascii.Error, UnicodeDecodeError):
                return None
            name, _colon, secret = decoded.partition(":")
        key = self._keys.get(name or "")
        if key is None:
            return None
        if not hmac.compare_digest(key.consumer_secret, secret or ""):
            raise _refused("Consumer secret is invalid.")
        return key

    def _signed(
        self,
        method: str,
        path: str,
        query: cabc.Sequence[tuple[str, str]],
        params: cabc.Mapping[str, str],
        *,
        https: bool,
    ) -> Key | None:
        missing = [name for name in _REQUIRED if not params.get(name)]
        if len(missing) == len(_REQUIRED):
            return None
        if missing:
            noun = "parameter" if len(missing) == 1 else "parameters"
            raise _refused(f"Missing OAuth {noun} {', '.join(missing)}")
        key = self._keys.get(params["oauth_consumer_key"])
        if key is None:
            raise _refused("Consumer key is invalid.")
        self._check_signature(key, method, self._url(path, https), query, params)
        self._check_nonce(params)
        return key

    def _check_signature(
        self,
        key: Key,
        method: str,
        url: str,
        query: cabc.Sequence[tuple[str, str]],
        params: cabc.Mapping[str, str],
    ) -> None:
        algorithm = _ALGORITHMS.get(params["oauth_signature_method"])
        if algorithm is None:
            raise _refused("Invalid signature - signature method is invalid.")
        pairs = sorted(
            (_quoted(name), _quoted(value)) for name, value in query if name != "oauth_signature"
        )
        text = "&".join(
            (
                method,
                _quoted(url),
                _quoted("&".join(f"{name}={value}" for name, value in pairs)),
            )
        )
        digest = hmac.new(f"{key.consumer_secret}&".encode(), text.encode(), algorithm).digest()
        expected = base64.b64encode(digest).decode()
        if not hmac.compare_digest(expected, params["oauth_signature"]):
            raise _refused("Invalid signature - provided signature does not match.")

    def _url(self, path: str, https: bool) -> str:
        """Return the URL that is signed: the store's own, not the address that the client used."""
        scheme = "https" if https else "http"
        return f"{scheme}://{self._shop.home.partition('://')[2]}{path}"

    def _check_nonce(self, params: cabc.Mapping[str, str]) -> None:
        now, text = self._shop.now(), params["oauth_timestamp"]
        if not text.isdigit() or abs(int(text) - now) > TIMESTAMP_WINDOW:
            raise _refused("Invalid timestamp.")
        used = (params["oauth_consumer_key"], params["oauth_nonce"])
        if used in self._nonces:
            raise _refused("Invalid nonce - nonce has already been used.")
        if len(self._nonces) > 100_000:
            self._nonces = {
                one: at for one, at in self._nonces.items() if at > now - TIMESTAMP_WINDOW
            }
        self._nonces[used] = now


def _header_params(authorization: str) -> list[tuple[str, str]]:
    pairs = (part.strip().partition("=") for part in authorization[6:].split(","))
    return [
        (name, urllib.parse.unquote(value.strip('"')))
        for name, _equals, value in pairs
        if name.startswith("oauth_")
    ]


def unknown_key(method: str, path: str) -> RestError:
    """Return the error for a request without a known key, which counts as anonymous."""
    if path.endswith("/batch"):
        action, problem = "batch", "are not allowed to batch manipulate this resource"
    elif method in ("GET", "HEAD"):
        item = path.rstrip("/").rpartition("/")[2].isdigit()
        action, problem = "view", "cannot view this resource" if item else "cannot list resources"
    elif method == "DELETE":
        action, problem = "delete", "are not allowed to delete this resource"
    elif path.rstrip("/").rpartition("/")[2].isdigit():
        action, problem = "edit", "are not allowed to edit this resource"
    else:
        action, problem = "create", "are not allowed to create resources"
    return RestError(401, f"woocommerce_rest_cannot_{action}", f"Sorry, you {problem}.")


def _refused(message: str) -> RestError:
    return RestError(401, _CODE, message)


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="~")
