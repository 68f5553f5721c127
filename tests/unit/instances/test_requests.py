"""The validation of instance requests and of poller configurations."""

from __future__ import annotations

import pytest

from flask_woo_events.errors import InputError
from flask_woo_events.instances import polled_resources, requests
from flask_woo_events.instances.polled_resources import PollerBlock, PollerConfiguration
from flask_woo_events.values import validation
from flask_woo_events.values.validation import validated

FORMAT = "yyyy-MM-dd'T'HH:mm:ss"


def _block(**keys: object) -> PollerConfiguration:
    block = validated(PollerBlock, {"url": "/hubs/ecommerce/orders", **keys})
    return block.configuration("orders")


@pytest.mark.parity(13, 14)
def test_block_of_the_documentation() -> None:
    """The block in the Cloud Elements documentation is accepted, with its stray quote."""
    dates = {
        "updatedDateField": "date_modified",
        "updatedDateFormat": FORMAT + "'",
        "createdDateField": "date_created",
        "createdDateFormat": FORMAT + "'",
    }
    parsed = _block(idField="id", datesConfiguration=dates)
    assert (parsed.updated_field, parsed.created_field) == ("date_modified", "date_created")
    assert (parsed.updated_format, parsed.updated_zone) == (FORMAT + "'", "UTC")


@pytest.mark.parity(13, 15)
@pytest.mark.parametrize("dates", [{}, None])
def test_block_without_dates(dates: object) -> None:
    """An empty dates configuration names no field."""
    parsed = _block(datesConfiguration=dates)
    assert (parsed.updated_field, parsed.created_field, parsed.updated_zone) == (None, None, "UTC")


@pytest.mark.parity(20)
def test_block_with_all_parameters() -> None:
    """Every documented parameter is accepted, numbers and booleans also as text."""
    parsed = _block(
        url="/wp-json/wc/v3/orders",
        idField="user.id",
        filterByUpdatedDate="false",
        filterByCurrentDate=True,
        createdCheckTolerance="60",
        pageSize=20,
        pollDelay=60,
        datesConfiguration={"updatedDateTimezone": "EST", "createdDateTimezone": "-8:00"},
    )
    assert parsed == PollerConfiguration(
        resource="orders",
        url="/wp-json/wc/v3/orders",
        id_field="user.id",
        filter_by_updated_date=False,
        filter_by_current_date=True,
        created_check_tolerance=60,
        page_size=20,
        poll_delay=60,
        updated_zone="EST",
        created_zone="-8:00",
    )


@pytest.mark.parity(12)
@pytest.mark.parametrize(
    "name", ["orders", "products", "discounts", "customers", "orders-comments"]
)
def test_id_of_hub_resources(name: str) -> None:
    """A hub resource must use ``id``; the error names the path that may use another field."""
    with pytest.raises(InputError, match="/wp-json/wc/v3/.*completely") as caught:
        validated(PollerBlock, {"url": f"/hubs/ecommerce/{name}", "idField": "number"})
    assert caught.value.field == "idField"


@pytest.mark.parity(18)
@pytest.mark.parametrize("name", ["filterByUpdatedDate", "filterByUpdateDate"])
def test_both_spellings_of_the_filter(name: str) -> None:
    """Both spellings of the Cloud Elements documentation are accepted."""
    assert not _block(**{name: False}).filter_by_updated_date


@pytest.mark.parity(20)
def test_tolerance_in_the_dates_configuration() -> None:
    """The tolerance can be in the block or in its dates configuration; the block's wins."""
    assert _block(datesConfiguration={"createdCheckTolerance": 10}).created_check_tolerance == 10
    nested = {"createdCheckTolerance": 10}
    assert _block(createdCheckTolerance=0, datesConfiguration=nested).created_check_tolerance == 0


@pytest.mark.parity(16)
def test_zone_of_the_block() -> None:
    """A zone of the block applies unless its dates configuration has one."""
    assert _block(updatedDateTimezone="MST").updated_zone == "MST"
    dates = {"updatedDateTimezone": "EST"}
    assert _block(updatedDateTimezone="MST", datesConfiguration=dates).updated_zone == "EST"


def test_null_page_size_is_the_default() -> None:
    """A page size of null selects the default."""
    assert _block(pageSize=None).page_size is None


def test_unknown_parameters_are_ignored() -> None:
    """Unknown parameters are ignored, as clients of Cloud Elements send undocumented ones."""
    assert _block(somethingElse=1) == _block()


def test_default_configuration_is_valid() -> None:
    """The default pollers pass the validation."""
    parsed = polled_resources.parse_poller_configuration(polled_resources.default_configuration())
    assert [one.resource for one in parsed] == ["customers", "discounts", "orders", "products"]


@pytest.mark.parity(10)
def test_any_name_of_a_resource() -> None:
    """A resource can have any name; its url selects the collection."""
    parsed = polled_resources.parse_poller_configuration(
        {"contacts": {"url": "/hubs/ecommerce/customers"}}
    )
    assert [(one.resource, one.url) for one in parsed] == [
        ("contacts", "/hubs/ecommerce/customers")
    ]


@pytest.mark.parity(23)
def test_legacy_lines() -> None:
    """A legacy line of nine fields is converted to one resource."""
    line = f"things|/hubs/crm/orders?where=date_modified>=${{date}}||updated|{FORMAT}|EST|created||"
    assert polled_resources.parse_legacy_urls(line) == {
        "things": {
            "url": "/hubs/crm/orders?where=date_modified>=${date}",
            "datesConfiguration": {
                "updatedDateField": "updated",
                "updatedDateFormat": FORMAT,
                "updatedDateTimezone": "EST",
                "createdDateField": "created",
            },
        }
    }


@pytest.mark.parity(23)
@pytest.mark.parametrize(
    "text", ["orders|customers", "orders\ncustomers\n", " orders | customers "]
)
def test_legacy_names(text: str) -> None:
    """Names alone select the default pollers."""
    defaults = polled_resources.default_configuration()
    assert polled_resources.parse_legacy_urls(text) == {
        "orders": defaults["orders"],
        "customers": defaults["customers"],
    }


@pytest.mark.parity(50)
@pytest.mark.parametrize(
    ("value", "headers"),
    [
        ("", {}),
        ("X-A: one", {"X-A": "one"}),
        ("X-A: one\r\nX-B:two:three\n", {"X-A": "one", "X-B": "two:three"}),
        ("X-A: one, X-B: two; X-C: three", {"X-A": "one", "X-B": "two", "X-C": "three"}),
        ('{"X-A": "one, two; three"}', {"X-A": "one, two; three"}),
        ({"X-A": 7}, {"X-A": "7"}),
    ],
)
def test_callback_headers(value: object, headers: dict[str, str]) -> None:
    """Headers are accepted as lines, as a list with separators, or as an object."""
    assert requests.parse_headers(value) == headers


@pytest.mark.parity(50)
@pytest.mark.parametrize("name", ["Host", "content-length", "Webhook-Signature"])
def test_reserved_headers(name: str) -> None:
    """Headers that HTTP or the extension sets are refused."""
    with pytest.raises(InputError, match="which the extension sets"):
        requests.parse_headers({name: "x"})


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (False, "false"), (15, "15"), (None, ""), ("x", "x"), ({"a": 1}, '{"a":1}')],
)
def test_values_are_kept_as_text(value: object, text: str) -> None:
    """Configuration values are stored and returned as text, whatever their JSON type."""
    assert requests.stored_text(value) == text


@pytest.mark.parametrize(
    ("text", "sanitized"),
    [
        ("<a href='x'>x</a>", "x"),
        ("a < b", "a < b"),
        ("  a \n b ", "a b"),
        ("<script>alert(1)</script>", "alert(1)"),
        ("<<b>script>x", "script>x"),
    ],
)
def test_sanitized(text: str, sanitized: str) -> None:
    """Markup is removed from names, also when it is nested in markup."""
    assert validation.sanitized(text) == sanitized


def test_names_that_some_databases_treat_as_equal() -> None:
    """Names that differ only in case, accents or width are equal."""
    assert validation.folded("Café ") == validation.folded("CAFE")
    assert validation.folded("ｏrders") == validation.folded("Orders")
    assert validation.folded("orders") != validation.folded("order")


def test_error_names_the_field_and_not_the_value() -> None:
    """A validation error names the field, and does not quote the value."""
    with pytest.raises(InputError) as caught:
        validated(PollerBlock, {"url": "/orders", "pollDelay": "hidden"}, ("configuration", "x"))
    assert caught.value.field == "configuration.x.pollDelay"
    assert "hidden" not in str(caught.value)
