"""Stores with ill manners: nothing is lost, nothing is false, and nothing is switched off."""

from __future__ import annotations

import pathlib

import hypothesis
import pytest

from flask_woo_events.sync import gate
from tests.examples import examples
from tests.model.lying_env import Start, open_shared
from tests.model.odd_histories import ODDITIES, OddEnv, OddHistory, Oddness, histories, play

#: Many histories are random; the few of each change are always the same.
MANY = examples(1) > 1
#: Oddities that cost no event, alone or two at a time.
SURVIVED = tuple(ODDITIES)


@pytest.mark.parametrize(
    "any_url",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)],
    indirect=True,
)
def test_odd_store(tmp_path: pathlib.Path, any_url: str) -> None:
    """Every event arrives once, while one or two oddities last and after them."""
    with open_shared(tmp_path, any_url) as shared:

        @hypothesis.settings(
            max_examples=examples(8) if "sqlite" in any_url else examples(4),
            # A history takes seconds: odd_table plays a failing one again, and shorter ones.
            phases=[hypothesis.Phase.generate],
            deadline=None,
            database=None,
            derandomize=not MANY,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(history=histories(SURVIVED))
        def play_one(history: OddHistory) -> None:
            hypothesis.note(repr(history))
            counts = play(OddEnv(shared, history.start), history)
            assert counts.clean, counts

        play_one()


def test_a_lost_event_is_noticed(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the gate lets no deletion pass, one is lost, while the store is odd and afterwards."""
    with open_shared(tmp_path) as shared:
        env = OddEnv(shared, Start())
        monkeypatch.setattr(gate.Gate, "weigh", lambda _: [])
        odd = Oddness(("missing totals",), 0, 0, [("delete product", 0, 0)], True, [])
        counts = play(env, OddHistory(Start(), [], [odd]))
        assert len(counts.lost) == 2
