"""Values at the edge of calendars, numbers and types: nothing that a store says ends a step."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import logging

import hypothesis
import pytest
import sqlalchemy as sa
from hypothesis import strategies as st

from flask_woo_events.api.hub import pages
from flask_woo_events.api.hub.pages import PageQuery
from flask_woo_events.db.models import Base
from flask_woo_events.errors import WooEventsError
from flask_woo_events.settings import Settings
from flask_woo_events.simulation.loss_suite.harness import CrashableDatabase
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.sync.report import PollReport
from flask_woo_events.values.crypto import Cipher
from flask_woo_events.woocommerce import endpoints
from flask_woo_events.woocommerce.ceql import read_where
from flask_woo_events.woocommerce.client import StoreClient
from flask_woo_events.woocommerce.connection_check import check_store
from flask_woo_events.woocommerce.list_filters import ABILITIES
from flask_woo_events.woocommerce.webhooks import Registrar
from tests.examples import examples
from tests.model import in_process_store
from tests.model.edge_lie import Edge, EdgeLie, edges, everywhere
from tests.model.history_env import ACTS, HistoryEnv

_TEST = hypothesis.settings(
    deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck),
    derandomize=examples(1) == 1, phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)  # fmt: skip


class Errors(logging.Handler):
    """Collects errors that were logged, and exceptions."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what is more than a warning."""
        if record.levelno >= logging.ERROR or record.exc_info:
            self.found.append(logging.Formatter().format(record))


@contextlib.contextmanager
def no_errors() -> cabc.Iterator[None]:
    """Check that no error is logged in the block."""
    log, errors = logging.getLogger("flask_woo_events"), Errors()
    log.addHandler(errors)
    try:
        yield
    finally:
        log.removeHandler(errors)
    assert errors.found == []


class EdgeEnv(HistoryEnv):
    """A store with a few objects, whose events nobody judges: they may be wrong."""

    def __init__(self, shared: tuple[Settings, CrashableDatabase], *, journal: bool) -> None:
        super().__init__(*shared, "11.0", journal=journal, counts=(2, 2, 1, 1))

    def _fold(self) -> None:
        pass

    def errors(self, polls: int = 1) -> list[str]:
        """Poll, and return the errors of the last poll."""
        reports: list[PollReport] = []
        for _ in range(polls):
            reports = self.poll()
        return [one.error for one in reports if one.error]


@pytest.fixture
def shared(any_url: str) -> cabc.Iterator[tuple[Settings, CrashableDatabase]]:
    """Return settings and an empty database."""
    engine = sa.create_engine(any_url)
    database = CrashableDatabase(engine)
    Base.metadata.create_all(database.engine)
    settings = Settings(
        encryption_keys=(Cipher.generate_key(),), poll_failures_allowed=1000, compare_hours=1
    )
    yield settings, database
    database.dispose()
    engine.dispose()


@pytest.mark.parametrize(
    ("any_url", "only"),
    [
        ("sqlite", ""),
        ("sqlite", "wc-flask-woo-events"),
        pytest.param("postgresql", "", marks=pytest.mark.postgresql),
    ],
    indirect=["any_url"],
)
def test_poll(shared: tuple[Settings, CrashableDatabase], only: str) -> None:
    """A poll ends as usual: with the reason of a resource at most. The next ones read the rest."""

    @hypothesis.settings(_TEST, max_examples=examples(3))
    @hypothesis.given(
        wrong=edges(6 if only else 30), act=st.sampled_from(sorted(ACTS)), value=st.integers(0, 99)
    )
    @hypothesis.example(everywhere("variations", "1", 30), "status", 0)
    @hypothesis.example(everywhere("id", str(2**63), 30), "stock", 0)
    @hypothesis.example(everywhere(0, '{"a": 1}', 30), "stock", 1)
    def play(wrong: dict[int, Edge], act: str, value: int) -> None:
        env = EdgeEnv(shared, journal=bool(only) or value % 2 == 0)
        env._do(act, value, value)
        with no_errors():
            env.store.lies.begin(EdgeLie(wrong, only))
            env.errors()
            env.store.lies.end()
            assert env.errors(2) == []

    play()


class StoreCalls:
    """A store, and calls other than those of a poll."""

    def __init__(self) -> None:
        self.store = SimulatedStore("11.0", consumer_key="ck_test", consumer_secret="cs_test")
        self.store.populate(orders=3, products=2, coupons=1, customers=2)
        self.store.move(in_process_store.URL)
        session = in_process_store.session(self.store, lambda _: None)
        self.client = StoreClient(in_process_store.URL, "ck_test", "cs_test", session=session)

    def check(self) -> None:
        """Check a new connection."""
        names = ("orders", "products", "customers", "variations", "orders-comments")
        check_store(self.client, [endpoints.resolve(f"/hubs/ecommerce/{name}") for name in names])

    def reconcile(self) -> None:
        """Register webhooks, and remove them."""
        registrar = Registrar(
            self.client, f"{in_process_store.URL}/hook", "secret", is_ours=lambda _: True,
            name="ours", reached=lambda: True,
        )  # fmt: skip
        registrar.reconcile(["order.created", "order.updated", "customer.updated"], {1})
        registrar.check(["order.created"])
        registrar.remove()

    def read(self, name: str, where: str = "") -> None:
        """Read a list through the hub."""
        conditions = read_where(where) if where else ()
        query = PageQuery(where=conditions, fields=("id", "name"), count=True, page_size=3)
        collection = endpoints.resolve(f"/hubs/ecommerce/{name}")
        pages.read(self.client, collection, ABILITIES[collection.hub_name], query)


CALLS: dict[str, cabc.Callable[[StoreCalls], None]] = {
    "check": StoreCalls.check,
    "webhooks": StoreCalls.reconcile,
    "orders": lambda calls: calls.read("orders"),
    "whole": lambda calls: calls.read("products-attributes"),
    "dated": lambda calls: calls.read("customers", "created_date > '9999-12-31T23:59:59-14:00'"),
}


@pytest.mark.parametrize("call", CALLS)
@hypothesis.settings(_TEST, max_examples=examples(8))
@hypothesis.given(wrong=edges(6))
def test_other_calls(call: str, wrong: dict[int, Edge]) -> None:
    """They succeed, or fail with an error of ours that a route answers with 400 or 502."""
    calls = StoreCalls()
    calls.store.lies.begin(EdgeLie(wrong))
    with no_errors(), contextlib.suppress(WooEventsError):
        CALLS[call](calls)
