"""An explorer on a database of each kind, with its story told."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import logging

from flask_woo_events.db import upgrade
from tests.interleavings.databases import Tables
from tests.interleavings.environment import Environment
from tests.interleavings.explore import Explorer
from tests.interleavings.scheduler import Scheduler


@contextlib.contextmanager
def explorer(url: str) -> cabc.Iterator[Explorer]:
    """Create our tables in an empty database, and yield an explorer."""
    tables = Tables(url)
    logger = logging.getLogger("flask_woo_events")
    before = logger.disabled, logger.level
    # Refused deliveries and lost leases are part of it.
    logger.setLevel(logging.CRITICAL)
    try:
        upgrade.upgrade(tables.connect().engine)
        yield Explorer(Environment(tables, Scheduler()))
    finally:
        logger.setLevel(before[1])
        tables.dispose()
