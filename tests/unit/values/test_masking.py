"""Secrets are masked in whatever encoding a text repeats them."""

from __future__ import annotations

import base64
import collections.abc as cabc
import html
import json
import re
import urllib.parse

import hypothesis
import hypothesis.strategies as st
import pytest

from flask_woo_events.values.masking import SecretMask, secrets_of_basic, secrets_of_headers

KEY, SECRET = "ck_0f1e2d3c4b5a69788796a5b4c3d2e1f0", "cs_00112233445566778899aabbccddeeff"
PAIR = f"{KEY}:{SECRET}"


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ENCODINGS: dict[str, cabc.Callable[[str], str]] = {
    "as it is": str,
    "query": lambda text: f"a=1&consumer_secret={urllib.parse.quote_plus(text)}&b=2",
    "percent": lambda text: urllib.parse.quote(text, safe=""),
    "percent, each byte": lambda text: "".join(f"%{one:02x}" for one in text.encode()),
    "percent, twice": lambda text: urllib.parse.quote(urllib.parse.quote(text, safe=""), safe=""),
    "JSON": json.dumps,
    "JSON, unescaped": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON in JSON": lambda text: json.dumps({"body": json.dumps({"header": text})}),
    "JSON of PHP": lambda text: json.dumps(text).replace("/", r"\/"),
    "HTML": html.escape,
    "HTML, each character": lambda text: "".join(f"&#{ord(one)};" for one in text),
    "Base64": _base64,
    "Base64 without padding": lambda text: _base64(text).rstrip("="),
    "Base64 of URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "Base64 in a query": lambda text: urllib.parse.quote(_base64(text), safe=""),
    "Base64 in lines": lambda text: base64.encodebytes(text.encode()).decode(),
    "Base64 in JSON of PHP": lambda text: json.dumps(_base64(text)).replace("/", r"\/"),
    "Base64 of a request, 1": lambda text: _base64(f"A: {text}\r\nHost: shop"),
    "Base64 of a request, 2": lambda text: _base64(f"Ab: {text}\r\nHost: shop"),
    "Base64 of a request, 3": lambda text: _base64(f"Abc: {text}\r\nHost: shop"),
    "signature key of OAuth": lambda text: f"signed with {urllib.parse.quote(text, safe='')}&",
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("secret", [KEY, PAIR, 'pass "word" /+& é\\ x', "abcd"])
def test_encodings(secret: str, encoding: str) -> None:
    """Nothing is left that would give the secret back, and the text around stays."""
    encoded = ENCODINGS[encoding](secret)
    shown = SecretMask([secret]).hide(f"Not allowed: <{encoded}>, ask us")
    assert shown.startswith("Not allowed: <") and shown.endswith(">, ask us")
    assert "********" in shown
    inner = shown.removeprefix("Not allowed: <").removesuffix(">, ask us")
    # What may be left of Base64 are characters that other bytes share.
    for part in re.split(r"\*+", inner):
        assert not part or part not in encoded or len(part) < 30, (inner, encoded)
    for form in (secret, _base64(secret), urllib.parse.quote(secret, safe="")):
        assert form not in inner


@pytest.mark.parametrize("length", range(12, len(PAIR)))
def test_secrets_that_are_cut_off(length: int) -> None:
    """The first part of a long secret is masked, too, also in Base64."""
    mask = SecretMask([KEY, SECRET, PAIR])
    for text in (KEY[:length], SECRET[:length]):
        assert mask.hide(f"key {text} is wrong") == "key ******** is wrong"
    assert mask.hide(f"Basic {_base64(PAIR[:length])}") in ("Basic ********", "Basic ********=")


def test_secrets_with_the_same_beginning() -> None:
    """A key with quotes and ``key:secret``: each is hidden to its end."""
    key = "ck_0123456789a'quoted"
    mask = SecretMask({key, f"{key}:cs_secret"})
    assert mask.hide(f"bad {key} and {key}:cs_secret end") == "bad ******** and ******** end"


def test_short_secrets() -> None:
    """A short secret is masked as a word, since its characters are in every text."""
    mask = SecretMask(["x1", *secrets_of_basic("me", "ab")])
    assert mask.hide("about x12, max1") == "about x12, max1"
    assert mask.hide('a "x1", %22x1%22, \\u0022ab\\u0022') == (
        'a "********", %22********%22, \\u0022********\\u0022'
    )
    assert mask.hide(_base64("me:ab")).startswith("********")
    assert mask.hide("me:ab") == "********"


def test_secrets_of_headers() -> None:
    """The password of a Basic header is a secret by itself."""
    found = secrets_of_headers({"Authorization": f"Basic {_base64('site:of the site')}"})
    assert {"of the site", "site:of the site", _base64("site:of the site")} <= found
    assert "site" not in found
    assert secrets_of_headers({"X-Key": "k", "Authorization": "Basic ?"}) == {"k", "Basic ?", "?"}


def test_no_secret() -> None:
    """Without secrets a text stays as it is, and the representation shows none."""
    assert SecretMask(["", ""]).hide("any text") == "any text"
    assert KEY not in repr(SecretMask([KEY]))


@hypothesis.given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=4, max_size=60),
    st.sampled_from(sorted(ENCODINGS)),
    st.text(max_size=20),
)
@hypothesis.settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_any_secret(secret: str, encoding: str, around: str) -> None:
    """Whatever its characters are, a secret does not stay in the text."""
    encoded = ENCODINGS[encoding](secret)
    shown = SecretMask([secret]).hide(f"{around} {encoded} {around}")
    assert encoded not in shown.replace("********", "\0") or encoded in around
