"""Random histories of stores with ill manners: plugins, proxies and hosts that spoil answers."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

import sqlalchemy as sa
from hypothesis import strategies as st

from flask_woo_events.db.models import Poller
from flask_woo_events.db.states import PollerState
from flask_woo_events.simulation.loss_suite.judge import ObjectKey
from flask_woo_events.simulation.store import manners
from flask_woo_events.simulation.store.lies import Lie
from flask_woo_events.sync.ledger.digest import digest_of
from flask_woo_events.sync.report import PollReport
from tests.model.history_env import INTERVAL, DuringPoll
from tests.model.lying_env import ENOUGH_POLLS, MODES, LyingEnv, Shared, Start
from tests.model.lying_histories import VERSIONS, Poll, act_strategy, poll_strategy
from tests.model.receiver import Counts

#: Resources of which one object cannot be read, and the simulator's names of them.
_READ = (("orders", "orders"), ("products", "products"), ("discounts", "coupons"),
         ("customers", "customers"))  # fmt: skip
_ORDERS = (("date", "desc"), ("title", "asc"), ("date", "asc"), ("id", "desc"))
_BAD_TOTALS: tuple[t.Any, ...] = (None, [], {"error": "x"}, [{"name": "Pending"}])
#: Texts that some database, or JSON, cannot hold.
_TEXTS = ("\N{GRINNING FACE} \N{SNOWMAN}", "a\x00b", "\ufffe\uffff", "\\u0000 '; --", "x" * 300_000)


class OddEnv(LyingEnv):
    """A store with ill manners, its instance, and the receiver of its events."""

    def __init__(self, shared: Shared, start: Start) -> None:
        #: Objects that cannot be read: what becomes of them may be unknown.
        self.unreadable: set[ObjectKey] = set()
        #: Whether the store may show what was so long ago.
        self.stale = False
        #: Whether fields differ at each read, which is learned from a few events.
        self.unstable = False
        #: Whether answers say that a query failed, so that nothing in them is missing for certain.
        self.query_failed = False
        super().__init__(shared, start)

    def content_of(self, body: dict[str, t.Any]) -> bytes:
        """Return the digest of an object without the fields that differ at each read."""
        names = manners.UnstableFields.NAMES
        return digest_of({name: value for name, value in body.items() if name not in names})

    @property
    def unlisted(self) -> set[ObjectKey]:
        """The objects whose state the receiver need not know."""
        return super().unlisted | self.unreadable

    def poll(
        self, meanwhile: DuringPoll | None = None, interval: dt.timedelta = INTERVAL
    ) -> list[PollReport]:
        """Process the webhooks, and poll after an interval."""
        if self.stale:
            self.receiver.begin_poll(forget=False)
        reports = super().poll(meanwhile, interval)
        if self.unstable:
            self.receiver.repeated.clear()
        return reports

    def begin_oddities(self, names: cabc.Sequence[str], value: int, after: int) -> None:
        """Give the store these oddities, now or within the next poll after some requests."""
        # The last ones alter what is no JSON any more, or no answer of the store.
        ordered = sorted(names, key=lambda name: _LAST.index(name) if name in _LAST else -1)
        lies = [ODDITIES[name](self, value) for name in ordered]
        self.begin(" and ".join(names), manners.Together(*lies), after)

    def recover(self) -> None:
        """End all oddities."""
        self.end()
        self.unreadable.clear()
        self.query_failed = False

    def disabled(self) -> list[str]:
        """Return the resources that are not polled any more."""
        with self._runtime.database.read() as session:
            query = sa.select(Poller.resource).where(
                Poller.instance_id == self.instance_id, Poller.state == PollerState.DISABLED
            )
            return list(session.scalars(query))

    def finish(self) -> Counts:
        """Let all oddities end, and return what was wrong; an oddity excuses no false event."""
        self.recover()
        if self.unstable:
            # Each object has changed once more: it is without these fields now.
            for _ in range(ENOUGH_POLLS):
                self.poll()
        counts = super().finish()
        counts.errors += [f"{resource}: disabled" for resource in self.disabled()]
        counts.forbidden += counts.false
        return counts

    def converge_oddly(self) -> None:
        """Poll while the oddities last, and count what is lost nevertheless."""
        reports: list[PollReport] = []
        for _ in range(_LEARNING_POLLS if self.unstable else _ODD_POLLS):
            reports = self.poll()
            good = not self._lost_while_odd() and not any(one.error for one in reports)
            if good and not self.unstable:
                break
        self._sent.clear()
        self.poll()
        # Fields that differ are learned from two objects or more.
        several = collections.Counter(resource for resource, _ in self.truth())
        sent = {key for key in self._sent if not self.unstable or several[key[0]] > 1}
        if sent - self.unlisted:
            self.counts.repeated.append("an event without a change while odd")
        self.counts.lost += [f"{' '.join(key)} while odd" for key in self._lost_while_odd()]
        self.counts.errors += [
            f"{one.resource} while odd: {one.error}" for one in reports if one.error
        ]

    def _lost_while_odd(self) -> list[ObjectKey]:
        differing, truth = self._differing(), self.truth()
        # Such answers prove no absence.
        doubtful = self.query_failed or self.stale
        return [key for key in differing if key in truth or not doubtful]


#: Polls after which everything was compared while a store is odd.
_ODD_POLLS = 20
#: Polls after which fields that differ are learned, also where all is read once in five polls.
_LEARNING_POLLS = 36


@dataclasses.dataclass(frozen=True)
class Oddness:
    """Oddities of a store, and what happens while they last."""

    names: tuple[str, ...]
    value: int
    #: The request of the next poll with which they begin; 0 is before the poll.
    begins: int
    during: list[t.Any]
    #: Whether they last until every event must have arrived.
    lasts: bool
    afterwards: list[t.Any]


@dataclasses.dataclass(frozen=True)
class OddHistory:
    """What happens to one store."""

    start: Start
    before: list[t.Any]
    oddness: list[Oddness]


def play(env: OddEnv, history: OddHistory) -> Counts:
    """Play a history to its end, and return what was wrong."""
    _take(env, history.before)
    for one in history.oddness:
        env.begin_oddities(one.names, one.value, one.begins)
        _take(env, one.during)
        if one.lasts and PASSING.isdisjoint(one.names):
            env.converge_oddly()
        env.recover()
        _take(env, one.afterwards)
    return env.finish()


def _take(env: OddEnv, steps: cabc.Iterable[t.Any]) -> None:
    for step in steps:
        match step:
            case Poll():
                env.poll(step.meanwhile, dt.timedelta(minutes=step.minutes))
            case ("settle", _):
                env.settle()
            case ("odd text", value):
                _write_odd_text(env, value)
            case ("draft", value):
                _draft(env, value)
            case (str() as name, which, value):
                env.act((name, which, value))


def _write_odd_text(env: OddEnv, value: int) -> None:
    kind, field = (("orders", "customer_note"), ("products", "description"),
                   ("customers", "last_name"))[value % 3]  # fmt: skip
    rows = [row for row in env.store.shop.tables[kind].sorted() if row.status != "trash"]
    if rows:
        text = _TEXTS[value // 3 % len(_TEXTS)]
        env.store.acts.late_commit(kind, rows[value % len(rows)].id, 0, **{field: text})
        env.record()


def _draft(env: OddEnv, value: int) -> None:
    """Open the block checkout, place what is in it, or let it be cleaned up."""
    orders, checkout = env.store.shop.tables["orders"], env.store.checkout
    drafts = [row.id for row in orders if row.status == "checkout-draft"]
    products = [row.id for row in env.store.shop.tables["products"] if row.status == "publish"]
    if env.store.shop.version.major < 7:
        return  # Its checkout has no drafts.
    if drafts and value % 2:
        checkout.place(drafts[0])
    elif products:
        checkout.draft([products[value % len(products)]])
    env.record()


# The oddities

MakeOddity = cabc.Callable[[OddEnv, int], Lie]


def _unreadable(env: OddEnv, value: int) -> Lie:
    resource, kind = _READ[value % 4]
    rows = env.store.shop.tables[kind].sorted()
    ids = {row.id for row in rows[value % max(len(rows), 1) :][:1]}
    env.unreadable |= {(resource, str(number)) for number in ids}
    return manners.UnreadableRows(kind, ids, light=value % 3 == 0, alone=value % 5 == 0)


def _cached(env: OddEnv, value: int) -> Lie:
    env.stale = True
    header = ("X-Cache", "X-LiteSpeed-Cache", "CF-Cache-Status", "")[value % 4]
    return manners.CachedAnswers((300, 1_200, 3_600)[value % 3], header)


def _unstable(env: OddEnv, _value: int) -> Lie:
    env.unstable = True
    return manners.UnstableFields()


def _text_around(env: OddEnv, value: int) -> Lie:
    texts, endings = manners.TextAround.BEFORE, manners.TextAround.AFTER
    before = texts[value % len(texts)] if value % 3 else b""
    env.query_failed |= b"wpdberror" in before
    return manners.TextAround(before, endings[value % len(endings)] if value % 3 != 1 else b"")


#: Functions that give a store an oddity, by its name.
ODDITIES: dict[str, MakeOddity] = {
    "unreadable row": _unreadable,
    "small pages": lambda _env, value: manners.FailsAbove(2 + value % 3, light=value % 2 == 0),
    "slow pages": lambda _env, value: manners.FailsAbove(2 + value % 3, slow=True),
    "capped pages": lambda _env, value: manners.CappedPages(2 + value % 3),
    "refused pages": lambda _env, value: manners.RefusedPages((2, 4, 50)[value % 3]),
    "failing totals": lambda _env, value: manners.FailingTotals(_BAD_TOTALS[value % 4]),
    "refused status": lambda _env, _value: manners.RefusedStatus(),
    "errors as 200": lambda _env, _value: manners.ErrorsAs200(),
    "missing totals": lambda _env, _value: manners.MissingTotals(),
    "text around": _text_around,
    "firewall": lambda _env, value: manners.Firewall((403, 200)[value % 2]),
    "forced order": lambda _env, value: manners.ForcedOrder(*_ORDERS[value % 4]),
    "cached answers": _cached,
    "late include": lambda _env, value: manners.LateInclude((60, 1_200, 7_200)[value % 3]),
    "unstable fields": _unstable,
}
#: Oddities during which nothing can be known; they end by themselves.
PASSING = {"firewall", "slow pages"}
#: Oddities of what is around a store, in the order in which an answer meets them.
_LAST = ("errors as 200", "text around", "firewall")

# Strategies

_small = st.integers(0, 1_000)
_request = st.integers(0, 25)


_odd_step = st.tuples(st.sampled_from(("odd text", "draft", "draft", "settle")), _small)
_step = act_strategy | act_strategy | poll_strategy | _odd_step


def histories(
    names: cabc.Sequence[str] = tuple(ODDITIES),
    modes: cabc.Sequence[str] = MODES,
    *,
    most: int = 2,
) -> st.SearchStrategy[OddHistory]:
    """Return a strategy for histories with one or more of these oddities at a time.

    :param most: the greatest number of oddities at the same time.
    """
    oddness = st.builds(
        lambda odd, value, begins, steps, a_poll, lasts, afterwards: Oddness(
            tuple(odd), value, begins, [*steps, a_poll], lasts, afterwards
        ),
        st.lists(st.sampled_from(names), min_size=1, max_size=min(most, len(names)), unique=True),
        _small,
        st.just(0) | _request,
        st.lists(_step, min_size=1, max_size=5),
        poll_strategy,
        st.booleans(),
        st.lists(_step, max_size=3),
    )
    start = st.builds(
        Start,
        mode=st.sampled_from(modes),
        version=st.sampled_from(VERSIONS),
        nested=st.sampled_from((False, False, True)),
        large=st.sampled_from((False, False, True)),
    )
    return st.builds(
        OddHistory,
        start,
        st.lists(_step, max_size=3),
        st.lists(oddness, min_size=1, max_size=2),
    )
