"""The run of one peer: the acts with a sync after each, then each drift in a fresh store."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import pathlib
import tempfile
import time
import typing as t

from flask_woo_events.simulation.store import SimClock

from . import ours
from .acts import CHANGES, Scene, acts
from .drifts import DRIFTS, SIZES, Drift
from .externals import PEERS, External, Unavailable
from .judge import Judge, Knowledge, ReportedRow, Score
from .shop import Shop

#: Objects of the store in which the acts happen.
SHOP = {"orders": 60, "products": 30, "coupons": 8, "customers": 20}
#: Syncs after the last act and after each drift, in which late changes still count.
AFTERWARDS = 3

OURS = "flask_woo_events"


class Syncing(t.Protocol):
    """A peer that is connected to a store."""

    def sync(self) -> list[ReportedRow]:
        """Sync once; return the output."""
        ...


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of a peer, or why it was not run."""

    name: str
    title: str
    version: str
    reason: str = ""
    score: Score | None = None
    #: Requests of the syncs after the first one, with the acts between them.
    requests: int = 0
    syncs: int = 0
    #: The orders that are wrong at the peer after each drift.
    lost: dict[str, list[int]] = dataclasses.field(default_factory=dict)


class Pace:
    """How time passes between an act and a sync.

    Where a peer takes its cursor from the rows alone, a sync comes every quarter of an hour of the
    store's clock, which begins two days back. Where it asks the computer's clock, the store's
    clock is the computer's, and each act is more than a second old when the sync begins: nobody
    loses a row only because the acts follow each other quickly here.
    """

    def __init__(self, *, wall_clock: bool) -> None:
        self._wall_clock = wall_clock
        start = None if wall_clock else dt.datetime.now(dt.UTC) - dt.timedelta(days=2)
        self.clock = SimClock(start)

    def wait(self) -> None:
        """Let the time between an act and its sync pass."""
        if self._wall_clock:
            time.sleep(1.2)
        else:
            self.clock.advance(300)

    def rest(self) -> None:
        """Let the time between a sync and the next act pass."""
        if not self._wall_clock:
            self.clock.advance(600)


@dataclasses.dataclass
class StoreToCallback:
    """A shop and a peer that follows it."""

    shop: Shop
    peer: Syncing
    pace: Pace

    def sync(self) -> list[ReportedRow]:
        """Let the peer sync once, with the time that passes."""
        self.pace.wait()
        rows = self.peer.sync()
        self.pace.rest()
        return rows


@contextlib.contextmanager
def _line(peer: External | None, sizes: dict[str, int]) -> cabc.Iterator[StoreToCallback]:
    """Start a fresh shop that the peer (this project, without one) has read once."""
    pace = Pace(wall_clock=peer is not None and peer.wall_clock)
    connect = ours.connect if peer is None else peer.connect
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        shop = Shop(pace.clock, **sizes)
        with (
            shop.serve(folder) as (url, certificate),
            connect(shop, url, certificate, folder) as running,
        ):
            line = StoreToCallback(shop, running, pace)
            rows = line.sync()
            if peer is not None and not any(one.key[0] == "orders" for one in rows):
                # What it loses after this would be a mistake of the comparison.
                raise Unavailable("its first sync gave no orders")
            yield line


def run(name: str, scale: int = 1) -> Result:
    """Run one peer by its name.

    :param scale: the acts happen in a shop so many times as large.
    """
    if name == OURS:
        return _measure(Result(OURS, OURS, ours.version()), None, scale)
    peer = next(one for one in PEERS if one.name == name)
    result = Result(peer.name, peer.title, peer.version)
    try:
        peer.prepare()
        return _measure(result, peer, scale)
    except Unavailable as exc:
        return dataclasses.replace(result, reason=str(exc))


def _measure(result: Result, peer: External | None, scale: int) -> Result:
    score, requests, syncs = _play_acts(peer, scale)
    lost = {name: _play_drift(peer, drift) for name, drift in DRIFTS.items()}
    return dataclasses.replace(result, score=score, requests=requests, syncs=syncs, lost=lost)


def _play_acts(peer: External | None, scale: int) -> tuple[Score, int, int]:
    with _line(peer, {kind: count * scale for kind, count in SHOP.items()}) as line:
        scene, judge = Scene(line.shop.store), Judge(line.shop.world())
        before = line.shop.requests
        played = acts()
        for name, act in played:
            act(scene)
            judge.see(name, line.shop.world())
            judge.receive(line.sync())
        for _ in range(AFTERWARDS):
            judge.receive(line.sync())
        score = judge.close()
        if score.changes != CHANGES:
            raise AssertionError(f"the acts made {score.changes} changes, not {CHANGES}")
        return score, line.shop.requests - before, len(played) + AFTERWARDS


def _play_drift(peer: External | None, drift: Drift) -> list[int]:
    with _line(peer, SIZES) as line:
        knowledge = Knowledge(line.shop.world())

        def sync() -> None:
            knowledge.receive(line.sync(), line.shop.world())

        drift(line.shop, sync)
        for _ in range(1 + AFTERWARDS):
            sync()
        return [number for _resource, number in knowledge.lost(line.shop.world(), "orders")]
