"""Random histories in which the store's answers are wrong for a while, and every kind of lie."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

from hypothesis import strategies as st

from flask_woo_events.simulation.store import lies
from tests.model import in_process_store
from tests.model.history_env import ACTS, Act, DuringPoll
from tests.model.lying_env import ELSEWHERE, MODES, PARKED, LyingEnv, Start

VERSIONS = ("5.9", "8.0", "9.4", "11.0")
#: The kinds of objects with a status and a modified date.
_KINDS = ("orders", "products", "coupons")
_GARBLED: tuple[lies.Garbling, ...] = ("repeated", "reversed", "short")
_DATES = (
    lambda now: now - dt.timedelta(days=30),
    lambda now: now,
    lambda now: dt.datetime(2030, 1, 1, tzinfo=dt.UTC),
)

MakeLie = cabc.Callable[[LyingEnv, int], lies.Lie | None]


@dataclasses.dataclass(frozen=True)
class Poll:
    """A poll, and what happens meanwhile."""

    minutes: int
    meanwhile: DuringPoll


@dataclasses.dataclass(frozen=True)
class Episode:
    """A lie, what happens while it lasts, and afterwards."""

    kind: str
    value: int
    #: The request of the next poll with which it begins; 0 is before the poll.
    begins: int
    during: list[t.Any]
    #: The request of the next poll with which it ends; 0 is before the poll.
    ends: int
    afterwards: list[t.Any]


@dataclasses.dataclass(frozen=True)
class History:
    """What happens to one store."""

    start: Start
    before: list[t.Any]
    episodes: list[Episode]


def play(env: LyingEnv, history: History) -> None:
    """Play a history to its end."""
    _take_all(env, history.before)
    for episode in history.episodes:
        lie = LIES[episode.kind](env, episode.value)
        if lie is not None:
            env.begin(episode.kind, lie, episode.begins)
        _take_all(env, episode.during)
        env.end(episode.ends)
        _take_all(env, episode.afterwards)


def _take_all(env: LyingEnv, steps: cabc.Iterable[t.Any]) -> None:
    for step in steps:
        match step:
            case Poll():
                env.poll(step.meanwhile, dt.timedelta(minutes=step.minutes))
            case ("settle", _):
                env.settle()
            case ("change copy", value):
                env.change_copy(value)
            case (str() as name, which, value):
                env.act((name, which, value))
                env.keep_backup()


# The kinds of lies

#: Changes between a backup and the lie that shows it.
_BUSY = (
    "status", "stock", "place order", "profile", "new product", "status", "delete order",
    "use coupon", "category", "new customer", "delete product", "order meta",
)  # fmt: skip


def _busy(env: LyingEnv, value: int) -> None:
    """Keep a backup, change some objects, wait, and poll."""
    env.keep_backup()
    for number in range(value % 9):
        env.pass_time(60, 60)
        env.act((_BUSY[(value + number) % len(_BUSY)], value + number, value + number))
    waited = (0, 700, 7_200)[value % 3]
    env.pass_time(waited, waited)
    env.poll()


def _hole(env: LyingEnv, value: int) -> lies.Lie:
    kind = ("orders", "products", "coupons", "customers")[value % 4]
    rows = env.store.shop.tables[kind].sorted()
    return lies.hole(kind, {row.id for row in rows[value % 3 :: 1 + value % 5]})


def _replica(env: LyingEnv, value: int) -> lies.Lie:
    _busy(env, value)
    env.replica.seconds = (30, 300, 1_200, 7_200)[value % 4]
    return env.replica


def _copy(env: LyingEnv, value: int, home: str | None) -> lies.AnotherShop:
    _busy(env, value)
    return lies.AnotherShop(env.copy(value, home))


def _alternating(env: LyingEnv, value: int) -> lies.Lie:
    _busy(env, value)
    return lies.Alternating(env.copy(value, ELSEWHERE if value % 2 else None))


def _restore(env: LyingEnv, value: int) -> None:
    _busy(env, value)
    env.restore(value)


def _reuse(env: LyingEnv, value: int) -> None:
    """Restore a backup, and create objects that get the ids of others."""
    _busy(env, value % 9 | 6)
    env.restore(0)
    for name in ("new coupon", "place order", "new product", "new customer"):
        env.act((name, value, value + 1))


def _edit_dates(env: LyingEnv, value: int) -> None:
    moment = _DATES[value % 3](env.store.clock.now())
    for kind in _KINDS:
        for row in env.store.shop.tables[kind].sorted()[value % 4 :: 1 + value % 3]:
            env.store.acts.edit_date(kind, row.id, moment)
    env.record()


def _hide(env: LyingEnv, value: int) -> None:
    """Give an object a status of no list, or give a hidden one its status back."""
    kind = _KINDS[value % 3]
    rows = [row for row in env.store.shop.tables[kind] if row.status != "trash"]
    hidden = [row for row in rows if row.status == PARKED]
    if hidden and value % 2:
        env.hide(kind, hidden[0].id, "processing" if kind == "orders" else "publish")
    elif rows:
        env.hide(kind, rows[value % len(rows)].id)


#: A function that makes the lie, or makes a real change that looks like one and returns None.
LIES: dict[str, MakeLie] = {
    "empty": lambda env, value: lies.empty(),
    "half": lambda env, value: lies.half(value % 5),
    "hole": _hole,
    "other shop": lambda env, value: lies.AnotherShop(env.another_shop(value, ELSEWHERE)),
    "other shop, same root": lambda env, value: lies.AnotherShop(
        env.another_shop(value, in_process_store.URL)
    ),
    "copy": lambda env, value: _copy(env, value, ELSEWHERE),
    "copy, same root": lambda env, value: _copy(env, value, None),
    "replica": _replica,
    "alternating": _alternating,
    "garbled lists": lambda env, value: lies.GarbledLists(_GARBLED[value % 3]),
    "cached lists": lambda env, value: lies.CachedLists(3_600, age=bool(value % 2)),
    "restore": _restore,
    "reused ids": _reuse,
    "edited dates": _edit_dates,
    "hidden": _hide,
}


# Strategies

act_strategy: st.SearchStrategy[Act] = st.tuples(
    st.sampled_from(sorted(ACTS)), st.integers(0, 30), st.integers(0, 10_000)
)
_request = st.integers(0, 25)
poll_strategy = st.builds(
    Poll,
    minutes=st.sampled_from((1, 3, 15)),
    meanwhile=st.builds(DuringPoll, acts=st.dictionaries(_request, act_strategy, max_size=2)),
)
_settle = st.just(("settle", 0))
_step = act_strategy | act_strategy | poll_strategy | _settle
_small = st.integers(0, 1_000)
_begin = st.just(0) | _request


def _episode(kinds: cabc.Sequence[str]) -> st.SearchStrategy[Episode]:
    during = st.lists(_step | st.tuples(st.just("change copy"), _small), max_size=4)
    return st.builds(
        lambda kind, value, begins, steps, poll, ends, afterwards: Episode(
            kind, value, begins, [*steps, poll], ends, afterwards
        ),
        st.sampled_from(kinds),
        _small,
        _begin,
        during,
        poll_strategy,
        _begin,
        st.lists(_step, max_size=3),
    )


def histories(
    kinds: cabc.Sequence[str], modes: cabc.Sequence[str] = MODES, most: int = 2
) -> st.SearchStrategy[History]:
    """Return a strategy for histories with lies of these kinds, or of none.

    :param most: the greatest number of lies in one history.
    """
    start = st.builds(
        Start,
        mode=st.sampled_from(modes),
        version=st.sampled_from(VERSIONS),
        nested=st.sampled_from((False, False, True)),
        large=st.sampled_from((False, False, False, True)),
    )
    acts = st.lists(act_strategy, min_size=1, max_size=4)
    episodes = st.lists(_episode(kinds), min_size=1, max_size=most) if kinds else st.just([])
    return st.builds(
        lambda start, acts, poll, more, episodes: History(start, [*acts, poll, *more], episodes),
        start,
        acts,
        poll_strategy,
        acts,
        episodes,
    )
