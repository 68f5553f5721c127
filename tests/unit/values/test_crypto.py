"""Encryption of stored secrets, tokens, and signatures that follow public definitions."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
import zoneinfo

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from flask_woo_events.errors import ConfigurationError, SecretError
from flask_woo_events.values.crypto import (
    Cipher,
    hash_token,
    new_token,
    same,
    sign_body,
    standard_headers,
    verify_body,
    verify_woocommerce,
)

OLD, NEW = Cipher.generate_key(), Cipher.generate_key()
NOW = dt.datetime.now(dt.UTC)


@given(st.text())
def test_cipher_round_trip(text: str) -> None:
    """A decrypted token is the text again, and the token does not contain the text."""
    cipher = Cipher([OLD])
    token = cipher.encrypt(text)
    assert cipher.decrypt(token) == text
    assert len(text) < 4 or text not in token


def test_newest_key_encrypts() -> None:
    """The last key of the list encrypts."""
    token = Cipher([OLD, NEW]).encrypt("cs_1")
    assert Cipher([NEW]).decrypt(token) == "cs_1"


def test_older_keys_decrypt() -> None:
    """A secret can be decrypted while its key is in the list."""
    assert Cipher([OLD, NEW]).decrypt(Cipher([OLD]).encrypt("cs_1")) == "cs_1"


def test_rotate_moves_to_the_newest_key() -> None:
    """After a rotation the old key is not needed."""
    rotated = Cipher([OLD, NEW]).rotate(Cipher([OLD]).encrypt("cs_1"))
    assert Cipher([NEW]).decrypt(rotated) == "cs_1"


@pytest.mark.parametrize(
    "token",
    ["", "x", "gAAAAA", "é", "\udc80", pytest.param(Cipher([NEW]).encrypt("a"), id="another-key")],
)
def test_unreadable_secret_names_the_setting(token: str) -> None:
    """The error of a secret without its key names the setting and the command."""
    for call in (Cipher([OLD]).decrypt, Cipher([OLD]).rotate):
        with pytest.raises(SecretError, match="WOO_EVENTS_ENCRYPTION_KEYS.*flask woo keys"):
            call(token)


@pytest.mark.parametrize("keys", [[], [""], ["short"], ["é"], [OLD, OLD[:-2]]])
def test_bad_key_names_the_setting(keys: list[str]) -> None:
    """An invalid key is a configuration error, which does not quote the key."""
    with pytest.raises(ConfigurationError, match="WOO_EVENTS_ENCRYPTION_KEYS") as caught:
        Cipher(keys)
    assert not any(key and key in str(caught.value) for key in keys)


def test_cipher_does_not_show_its_keys() -> None:
    """The repr contains no key."""
    assert OLD not in repr(Cipher([OLD]))


def test_tokens_are_long_and_different() -> None:
    """A token has 256 random bits, and its hash is SHA-256."""
    first, second = new_token(), new_token()
    assert first != second and len(base64.urlsafe_b64decode(first + "=")) == 32
    assert hash_token(first) == hashlib.sha256(first.encode()).hexdigest()


@given(st.text(), st.text())
def test_same(left: str, right: str) -> None:
    """Any two texts are compared as by ``==``."""
    assert same(left, left) and same(left, right) == (left == right)


@pytest.mark.parity(47)
def test_sign_body_golden_vector() -> None:
    """The signature equals the example of the Cloud Elements documentation."""
    signature = sign_body(b"<INSERT_EVENT_NOTIFICATION_RESPONSE_BODY>", "MySecretEventSignatureKey")
    assert signature == "sha256=jHdbRx5EZAsOfTwAPJOGkNUzQMVVdu5VJlxcsk+G6jQ="


def test_verify_body_with_any_key() -> None:
    """A signature with any key of a list, or with a single key, is accepted."""
    header = sign_body(b"{}", "old")
    assert verify_body(b"{}", ["old", "new"], header)
    assert verify_body(b"{}", "old", header)
    assert not verify_body(b"{}", ["new"], header)
    assert not verify_body(b"{} ", ["old"], header)


def test_empty_key_verifies_nothing() -> None:
    """A signature with an empty secret is refused, so it cannot be forged."""
    assert not verify_body(b"{}", "", sign_body(b"{}", ""))
    assert not verify_woocommerce(b"{}", [""], base64.b64encode(
        hmac.digest(b"", b"{}", "sha256")).decode())  # fmt: skip


@given(st.none() | st.text())
def test_invalid_signature_never_raises(header: str | None) -> None:
    """Any other text in the header is an invalid signature, not an exception."""
    assert not verify_body(b"{}", ["key"], header)
    assert not verify_woocommerce(b"{}", ["key"], header)


@pytest.mark.parity(46)
@pytest.mark.parametrize("body", [b"{}", b'{"id":1}', "é".encode()])
@pytest.mark.parametrize("key", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "My key, as it is: é"])
def test_standard_headers_satisfy_the_library(body: bytes, key: str) -> None:
    """The Standard Webhooks library accepts our signatures."""
    library_key = key if key.startswith("whsec_") else base64.b64encode(key.encode()).decode()
    now = dt.datetime.now(dt.UTC)  # The library refuses timestamps older than five minutes.
    headers = standard_headers("msg_1", now, body, [key])
    webhook = standardwebhooks.Webhook(library_key)
    if body.startswith(b"{"):
        assert webhook.verify(body, headers) == json.loads(body)
    expected = webhook.sign("msg_1", now, body.decode())
    assert headers["webhook-signature"] == expected


def test_standard_headers_sign_with_all_keys_newest_first() -> None:
    """During a key rotation, receivers with either key can verify the signature."""
    old, new = (standard_headers("m", NOW, b"", [key]) for key in ("old", "new"))
    both = standard_headers("m", NOW, b"", ["old", "new"])
    assert both["webhook-signature"] == (f"{new['webhook-signature']} {old['webhook-signature']}")


def test_standard_headers_do_not_depend_on_the_zone() -> None:
    """The time zone of a timestamp makes no difference, and a naive one is refused."""
    tokyo = NOW.astimezone(zoneinfo.ZoneInfo("Asia/Tokyo"))
    assert standard_headers("m", tokyo, b"", ["k"]) == standard_headers("m", NOW, b"", ["k"])
    with pytest.raises(ValueError, match="time zone"):
        standard_headers("m", NOW.replace(tzinfo=None), b"", ["k"])


def test_whsec_without_base64_is_a_plain_key() -> None:
    """A key with the prefix ``whsec_`` but no Base64 signs as plain text."""
    headers = standard_headers("m", NOW, b"", ["whsec_not base64!"])
    signed = f"m.{headers['webhook-timestamp']}.".encode()
    digest = hmac.digest(b"whsec_not base64!", signed, "sha256")
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("s3cr3t-key-0123456789", "s3cr3t-key-0123456789"),
        ("a&amp;b", "a&b"),
        ("a&amp;lt;b", "a&lt;b"),
        ("&lt;&gt;&quot;&#039;&#39;&#x27;&#X0026;&#0060;", "<>\"'''&<"),
        ("a&b", "a&b"),
        ("&apos;&copy;&nbsp;&#65;", "&apos;&copy;&nbsp;&#65;"),
        (" é%41\\ ", " é%41\\ "),
    ],
)
def test_verify_woocommerce_unescapes_as_wordpress_does(secret: str, key: str) -> None:
    """The key is the secret after wp_specialchars_decode, which decodes five characters."""
    body = b'{"id":10}'
    header = base64.b64encode(hmac.digest(key.encode(), body, "sha256")).decode()
    assert verify_woocommerce(body, ["other", secret], header)
    assert not verify_woocommerce(body + b" ", secret, header)
