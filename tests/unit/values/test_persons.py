"""Persons in the bodies of objects: how they are found, and what is left without them."""

from __future__ import annotations

import html
import json
import typing as t
import urllib.parse

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_woo_events.errors import InputError
from flask_woo_events.sync.erasure.rows import person_of
from flask_woo_events.sync.ledger import digest
from flask_woo_events.values.crypto import KeyedHash
from flask_woo_events.values.persons import ERASED, Persons, addresses_in, checked_address, erased

ANN = "ann.o'neil+shop@mail.shop.example"
KEYED = KeyedHash(b"k" * 32)
PERSONS = Persons([KEYED.of(ANN)], KEYED)
PERSON = person_of(ANN, KEYED)

#: JSON as stores send it, with the address in some texts, in some encoding.
_HIDDEN = st.sampled_from(
    [
        ANN,
        ANN.upper(),
        f"Ann <{ANN}>, by mail",
        f"https://shop.example/?email={urllib.parse.quote(ANN)}&x=1",
        f"https://shop.example/?u={urllib.parse.quote(urllib.parse.quote(ANN))}",
        json.dumps({"mail": ANN}).replace("@", "\\u0040"),
        json.dumps({"mail": json.dumps(ANN.replace("@", "\u0040"))}),
        html.escape(ANN).replace("@", "&#64;"),
        ANN.replace("@", "&#x40;"),
        f"mailto:{ANN}.",
    ]
)
_TEXTS = st.text(max_size=8) | _HIDDEN
_NAMES = st.sampled_from(
    "id status billing email first_name meta_data key value line_items name total date_created "
    "date_created_gmt average_rating refunds tags note customer_id x".split()
) | st.text(max_size=5)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=20,
)
_BODIES = st.dictionaries(_NAMES, _VALUES, max_size=8)


def _shape(value: t.Any) -> t.Any:
    """Return the structure of JSON: what a schema of types checks."""
    if isinstance(value, dict):
        return sorted(map(repr, map(_shape, value.values())))
    if isinstance(value, list):
        return [_shape(one) for one in value]
    return type(value)


@pytest.mark.parametrize("escape", ["n", "r", "t", "r\\n", "\\n"])
def test_an_escape_before_an_address_is_no_part_of_it(escape: str) -> None:
    """A value of meta data may be JSON, or JSON in JSON, with an address at the begin of a line."""
    told = json.dumps({"note": "x"}).replace("x", f"Call:\\{escape}{ANN}")
    assert PERSONS.are_in(told)
    assert PERSONS.are_in(json.dumps(told))
    assert not PERSONS.are_in(f"n{ANN}")


@given(_BODIES)
def test_nothing_of_the_address_is_left(body: dict[str, t.Any]) -> None:
    """In whatever field and encoding, owned or only named; types and lists stay as they are."""
    for left in (PERSONS.without_addresses(body), PERSONS.erased(body)):
        text = orjson.dumps(left).decode()
        assert not any(one == ANN for one in addresses_in(text))
        assert _shape(left) == _shape(body)
        assert PERSONS.erased(left) == PERSONS.erased(PERSONS.erased(left))
        assert PERSONS.without_addresses(left) == left
    if PERSONS.without_addresses(body) != body:
        # What is not parsed has no address.
        assert PERSON.may_be_in(orjson.dumps(body))


@given(_BODIES)
def test_ledger_knows_an_erased_object_when_it_is_read_again(body: dict[str, t.Any]) -> None:
    """What is erased of a stored body has the digest of what is erased of the store's."""
    stored = orjson.loads(digest.content_of(body).data)
    for without in (PERSONS.erased, PERSONS.without_addresses):
        kept, read = digest.content_of(without(stored)), digest.content_of(without(body))
        assert kept.digest == read.digest
        assert digest.checksums(kept.fields) == digest.checksums(read.fields)


@given(_BODIES)
def test_others_lose_nothing(body: dict[str, t.Any]) -> None:
    """A body is not changed for somebody else."""
    nobody = Persons([KEYED.of("bob@other.example")], KEYED)
    assert nobody.without_addresses(body) == body and not nobody.own(body)


def test_an_order_keeps_what_is_no_person() -> None:
    """Amounts, ids, dates and products; everything else is erased, also of extensions."""
    order = {
        "id": 7, "status": "processing", "total": "9.00", "date_created_gmt": "2026-01-01T00:00:00",
        "customer_id": 3, "order_key": "wc_order_x", "customer_note": "ring twice",
        "customer_ip_address": "10.0.0.1", "transaction_id": "tx_1",
        "billing": {"first_name": "Ann", "email": ANN, "phone": "5", "company": ""},
        "meta_data": [{"id": 1, "key": "_vat", "value": "DE1"}, {"id": 2, "key": "n", "value": 5}],
        "line_items": [{"id": 1, "name": "Mug", "quantity": 2, "meta_data": [
            {"id": 3, "key": "engraving", "value": {"text": "Ann", "bold": True}}]}],
        "refunds": [{"id": 4, "reason": "ill", "total": "-1.00"}],
        "loyalty": {"card": 4711}, "gift": None,
    }  # fmt: skip
    assert PERSONS.own(order)
    left = PERSONS.erased(order)
    assert left == order | {
        "customer_note": ERASED, "customer_ip_address": ERASED, "transaction_id": ERASED,
        "billing": {"first_name": ERASED, "email": ERASED, "phone": ERASED, "company": ""},
        "meta_data": [{"id": 1, "key": "_vat", "value": ERASED}, {"id": 2, "key": "n", "value": 0}],
        "line_items": [{"id": 1, "name": "Mug", "quantity": 2, "meta_data": [
            {"id": 3, "key": "engraving", "value": {"text": ERASED, "bold": True}}]}],
        "refunds": [{"id": 4, "reason": ERASED, "total": "-1.00"}],
        "loyalty": {"card": 0},
    }  # fmt: skip
    assert erased(order) == left


@pytest.mark.parametrize(
    ("body", "owned"),
    [
        ({"email": ANN}, True),
        ({"billing": {"email": f" {ANN.upper()} "}}, True),
        ({"reviewer_email": ANN}, True),
        ({"customer": {"contact": {"eMail": ANN}}}, True),
        ({"note": f"Called {ANN}"}, False),
        ({"meta_data": [{"key": "_billing_email", "value": ANN}]}, False),
        ({"email_restrictions": [ANN]}, False),
        ({"billing": {"email": f"x{ANN}"}}, False),
        ({"billing": {"email": "o'neil+shop@mail.shop.example"}}, False),
    ],
)
def test_objects_that_belong_to_a_person(body: dict[str, t.Any], owned: bool) -> None:
    """Those with the address in an e-mail field; elsewhere only the text with it is erased."""
    assert PERSONS.own(body) is owned


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "ann", "@", "ann@", "@shop.example", "ann@shop", "a@b@", "%@%", "_@_", "*@*.*",
        "ann@shop.example\0", "\0@shop.example", "ann@shop.example\n", "a b@shop.example",
        "ann@shop..example", "'; DROP TABLE woo_event; --@x", '"ann"@shop.example',
        "ann@shop.example, bob@shop.example", "<ann@shop.example>", "ann\u202e@shop.example",
        "ann@\ud800.example", "a" * 300 + "@shop.example", "a@" + "b." * 10**6 + "c",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    """With one sentence that does not repeat it."""
    if text.endswith("\n"):
        assert checked_address(text) == "ann@shop.example"
        return
    with pytest.raises(InputError, match="one e-mail address of at most 254") as found:
        checked_address(text)
    assert len(str(found.value)) < 200


@pytest.mark.parametrize("text", ["%@shop.example", "a_b@shop.example", "JÖRG@Müller.example"])
def test_wildcards_and_letters_mean_themselves(text: str) -> None:
    """``%`` and ``_`` match nothing else, and case does not count."""
    address = checked_address(text)
    persons = Persons([KEYED.of(address)], KEYED)
    assert persons.own({"email": text.swapcase()})
    assert not persons.own({"email": "axb@shop.example"})


def test_long_texts_take_linear_time() -> None:
    """A text of a megabyte without an address, or of signs alone, is searched in a moment."""
    for text in ("a" * 10**6, "@" * 10**5, "a@" * 10**5, "%2540" * 10**5):
        assert not PERSONS.are_in(text)
