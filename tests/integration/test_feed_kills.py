"""A reader of the feed that is killed; ``make feed-kills`` kills a hundred of them."""

from __future__ import annotations

import pathlib

import pytest

from tests.conftest import BACKENDS
from tests.fault_injection import feed_kills

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("any_url", BACKENDS[:2], indirect=True)
def test_reader_that_is_killed_misses_nothing(any_url: str, tmp_path: pathlib.Path) -> None:
    """Each event is handled, in order, and repeated only if its answer was not handled whole.

    On PostgreSQL, events with lower ids are committed after others that were read.
    """
    result = feed_kills.run(any_url, tmp_path, events=400, kills=4, seed=3)
    assert result.wrong == [], result
    assert result.events == 400
