"""Stores whose answers are wrong for a while: nothing is lost, and nothing stays false."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt

import hypothesis
import pytest
from hypothesis import strategies as st

from flask_woo_events.simulation.store import lies
from flask_woo_events.simulation.store.routes import Routes
from flask_woo_events.sync import gate
from tests.examples import examples
from tests.model import in_process_store
from tests.model.lying_env import LyingEnv, Shared, Start, open_shared
from tests.model.lying_histories import LIES, History, histories, play

#: Many histories are random; the few of each change are always the same.
MANY = examples(1) > 1


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> cabc.Iterator[Shared]:
    with open_shared(tmp_path_factory.mktemp("lies")) as opened:
        yield opened


def _check(shared: Shared, history: History) -> None:
    hypothesis.note(repr(history))
    env = LyingEnv(shared, history.start)
    play(env, history)
    counts = env.finish()
    assert counts.clean, counts


@pytest.mark.parametrize("kind", LIES)
@hypothesis.settings(
    max_examples=examples(2),
    deadline=None,
    derandomize=not MANY,
    suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(data=st.data())
def test_one_kind_of_lie(shared: Shared, kind: str, data: st.DataObject) -> None:
    """Every lie is corrected, and those that can be recognised cause no false event."""
    _check(shared, data.draw(histories([kind])))


@hypothesis.settings(
    max_examples=examples(3),
    deadline=None,
    derandomize=not MANY,
    suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(history=histories(list(LIES), most=4))
def test_many_kinds_of_lies(shared: Shared, history: History) -> None:
    """Lies of several kinds follow each other, among changes of the store."""
    _check(shared, history)


@hypothesis.settings(
    max_examples=examples(2),
    deadline=None,
    derandomize=not MANY,
    suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(history=histories([]))
def test_without_lies(shared: Shared, history: History) -> None:
    """The receiver agrees with a store that never lies."""
    _check(shared, history)


def test_a_lost_event_is_noticed(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the gate lets no deletion pass, one is lost."""
    env = LyingEnv(shared, Start())
    monkeypatch.setattr(gate.Gate, "weigh", lambda _: [])
    env.act(("delete product", 0, 0))
    assert len(env.finish().lost) == 1


class _OneTrueAnswer(lies.AnotherShop):
    """Another shop answers all requests but one."""

    true = 0

    def routes(self, live: Routes, asked: lies.Asked) -> Routes:
        return live if asked.number == self.true else super().routes(live, asked)


def test_one_true_answer_proves_no_others(shared: Shared) -> None:
    """What another shop shows after the known store has proved itself is not recorded."""
    env = LyingEnv(shared, Start())
    # It has other orders, and products and customers of the same names.
    lie = _OneTrueAnswer(env.another_shop(2, in_process_store.URL))
    for lie.true in range(1, 12):
        env.begin("other shop, same root", lie, 0)
        env.poll(interval=dt.timedelta(minutes=1))
        env.end()
        env.poll(interval=dt.timedelta(hours=1))
        assert not env.counts.false, lie.true
    assert env.finish().clean
