"""What a store reports about itself."""

from __future__ import annotations

import typing as t

import pytest

from flask_woo_events.values.time_zones import parse_zone
from flask_woo_events.woocommerce.connection_check import read_zone


@pytest.mark.parametrize(
    ("index", "zone"),
    [
        ({"timezone_string": "Europe/Berlin", "gmt_offset": "1"}, "Europe/Berlin"),
        ({"timezone_string": "", "gmt_offset": "5.75"}, "+05:45"),
        ({"timezone_string": "", "gmt_offset": -3.5}, "-03:30"),
        ({"timezone_string": None, "gmt_offset": 0}, "+00:00"),
        ({"timezone_string": "", "gmt_offset": ""}, ""),
        ({"timezone_string": "", "gmt_offset": "Infinity"}, ""),
        ({"timezone_string": ""}, ""),
        ({"gmt_offset": None}, ""),
        ({"timezone_string": "x" * 100}, "x" * 64),
    ],
)
def test_time_zone_of_a_site(index: dict[str, t.Any], zone: str) -> None:
    """A site has a zone with a name, or one of WordPress's fixed offsets."""
    assert read_zone(index) == zone
    if zone and not zone.startswith("x"):
        assert parse_zone(zone) is not None
