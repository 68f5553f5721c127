"""Random histories of a store: the events, applied in order, give the store's state."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import hypothesis
import pytest
from hypothesis import strategies as st

from flask_woo_events.db import upgrade
from flask_woo_events.settings import Settings
from flask_woo_events.simulation.loss_suite.harness import CrashableDatabase
from flask_woo_events.simulation.store.faults import Kind
from flask_woo_events.sync import gate
from tests.examples import examples
from tests.integration.host_app import dispose, make_app, runtime_of
from tests.model.history_env import ACTS, DuringPoll, HistoryEnv

#: Many histories are random; the few of each change are always the same, others on each version.
MANY = examples(1) > 1
#: Histories in all; ``make soak`` plays 2,048.
HISTORIES = examples(128) if MANY else 64
VERSIONS = ("5.9", "8.0", "9.4", "11.0")
#: Tests of one version, which processes share.
PARTS = 2 if MANY else 1
#: Polls after which everything was compared once, with 5 rows per page.
ENOUGH_POLLS = 12
FAULTS: tuple[Kind, ...] = (
    "reset", "status", "html", "truncated", "lying_json", "empty200", "duplicate_ids",
    "wrong_total", "empty_list", "endless_pages", "wrong_content_type",
)  # fmt: skip

_act = st.tuples(st.sampled_from(sorted(ACTS)), st.integers(0, 30), st.integers(0, 10_000))
_request = st.integers(0, 25)
_poll = st.builds(
    DuringPoll,
    acts=st.dictionaries(_request, _act, max_size=3),
    crash_at_commit=st.none() | st.integers(0, 8),
    crash_after=st.booleans(),
)
_fault = st.tuples(st.just("fault"), st.sampled_from(FAULTS), _request, st.integers(1, 3))
_time = st.tuples(st.just("time"), st.sampled_from((0, 1, 5, 11, 700, 7000, 90_000)))
_clock = st.tuples(st.just("clock"), st.sampled_from((-86_400, -3600, -30, 30, 3600, 86_400)))
_steps = st.lists(_act | _act | _act | _poll | _poll | _time | _fault | _clock, max_size=14)


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory,
) -> cabc.Iterator[tuple[Settings, CrashableDatabase]]:
    app = make_app(tmp_path_factory.mktemp("histories"), WOO_EVENTS_POLL_PAGE_SIZE=5)
    runtime = runtime_of(app)
    upgrade.upgrade(runtime.database.engine)
    database = CrashableDatabase(runtime.database.engine)
    yield runtime.settings, database
    database.dispose()
    dispose(app)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("part", range(PARTS))
def test_histories(shared: tuple[Settings, CrashableDatabase], version: str, part: int) -> None:
    """No event is lost or invented, whatever happens and whenever the process crashes."""

    @hypothesis.settings(
        max_examples=HISTORIES // len(VERSIONS) // PARTS,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(steps=_steps)
    @hypothesis.example(steps=[("refund", 0, 0)])
    @hypothesis.example(
        steps=[("trash product", 0, 0), ("delete product", 26, 0), ("trash product", 5, 0)]
    )
    def play(steps: list[t.Any]) -> None:
        hypothesis.note(f"steps: {steps!r}")
        env = HistoryEnv(*shared, version)
        for step in steps:
            _take(env, step)
        env.store.faults.clear()
        env.converge(ENOUGH_POLLS)

    if not MANY:
        play = hypothesis.seed(version)(play)
    play()


def test_a_lost_event_is_noticed(
    shared: tuple[Settings, CrashableDatabase], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the gate lets no deletion pass, the judge reports the lost one."""
    env = HistoryEnv(*shared, "11.0")
    monkeypatch.setattr(gate.Gate, "weigh", lambda _: [])
    env.act(("delete product", 0, 0))
    with pytest.raises(AssertionError, match=r"lost=\('products"):
        env.converge(ENOUGH_POLLS)


def _take(env: HistoryEnv, step: t.Any) -> None:
    match step:
        case DuringPoll():
            env.poll(step)
        case ("time", seconds):
            env.pass_time(seconds, seconds)
        case ("clock", seconds):
            env.pass_time(0, seconds)
        case ("fault", kind, request, times):
            env.fault(kind, request, times)
        case (str() as name, which, value):
            env.act((name, which, value))
