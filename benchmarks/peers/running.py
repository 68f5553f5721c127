"""The run of one peer: the actions with a sync after each, then each drift in a new store."""

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
from .actions import CHANGES, Scene, actions
from .drifts import DRIFTS, SIZES, Drift
from .externals import PEERS, External, Unavailable
from .judge import Judge, Knowledge, ReportedRow, Score
from .shop import Shop

#: Objects of the store in which the actions are performed.
SHOP = {"orders": 60, "products": 30, "coupons": 8, "customers": 20}
#: Syncs after the last action and after each drift, for changes that are reported late.
EXTRA_SYNCS = 3

OURS = "flask_woo_events"


class Syncing(t.Protocol):
    """A peer that is connected to a store."""

    def sync(self) -> list[ReportedRow]:
        """Sync once and return the reports."""
        ...


@dataclasses.dataclass(frozen=True)
class Result:
    """The figures of a peer, or the reason why it was not run."""

    name: str
    title: str
    version: str
    reason: str = ""
    score: Score | None = None
    #: Requests of the syncs after the first one, with the actions between them.
    requests: int = 0
    syncs: int = 0
    #: By drift, the orders of which the peer has the wrong state at the end.
    lost: dict[str, list[int]] = dataclasses.field(default_factory=dict)


class Pace:
    """The time between actions and syncs.

    For a peer that takes its cursor from the rows alone, a sync follows every 15 minutes of the
    store's clock, which starts two days in the past. For a peer that reads the computer's clock,
    the store uses the computer's clock, and each action is more than a second old when the sync
    begins, so that no peer loses a row only because actions follow each other quickly here.
    """

    def __init__(self, *, wall_clock: bool) -> None:
        self._wall_clock = wall_clock
        start = None if wall_clock else dt.datetime.now(dt.UTC) - dt.timedelta(days=2)
        self.clock = SimClock(start)

    def wait(self) -> None:
        """Pass the time between an action and its sync."""
        if self._wall_clock:
            time.sleep(1.2)
        else:
            self.clock.advance(300)

    def rest(self) -> None:
        """Pass the time between a sync and the next action."""
        if not self._wall_clock:
            self.clock.advance(600)


@dataclasses.dataclass
class Connection:
    """A store and the peer that reads it."""

    shop: Shop
    peer: Syncing
    pace: Pace

    def sync(self) -> list[ReportedRow]:
        """Pass time, let the peer sync once, and return its reports."""
        self.pace.wait()
        rows = self.peer.sync()
        self.pace.rest()
        return rows


@contextlib.contextmanager
def _connected(peer: External | None, sizes: dict[str, int]) -> cabc.Iterator[Connection]:
    """Yield a new store that the peer has read once; without a peer, ours."""
    pace = Pace(wall_clock=peer is not None and peer.wall_clock)
    connect = ours.connect if peer is None else peer.connect
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        shop = Shop(pace.clock, **sizes)
        with (
            shop.serve(folder) as (url, certificate),
            connect(shop, url, certificate, folder) as running,
        ):
            connection = Connection(shop, running, pace)
            rows = connection.sync()
            if peer is not None and not any(row.key[0] == "orders" for row in rows):
                # The rows it loses after this would not be its own failure.
                raise Unavailable("its first sync gave no orders")
            yield connection


def run(name: str, scale: int = 1) -> Result:
    """Run one peer by its name.

    :param scale: multiplies the size of the store in which the actions are performed.
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
    score, requests, syncs = _play_actions(peer, scale)
    lost = {name: _play_drift(peer, drift) for name, drift in DRIFTS.items()}
    return dataclasses.replace(result, score=score, requests=requests, syncs=syncs, lost=lost)


def _play_actions(peer: External | None, scale: int) -> tuple[Score, int, int]:
    with _connected(peer, {kind: count * scale for kind, count in SHOP.items()}) as connection:
        scene = Scene(connection.shop.store)
        scene.prepare()
        connection.sync()
        judge, before = Judge(connection.shop.objects()), connection.shop.requests
        played = actions()
        for name, action in played:
            action(scene)
            judge.record_action(name, connection.shop.objects())
            judge.record_sync(connection.sync())
        for _ in range(EXTRA_SYNCS):
            judge.record_sync(connection.sync())
        score = judge.close()
        if score.changes != CHANGES:
            raise AssertionError(f"the actions made {score.changes} changes, not {CHANGES}")
        return score, connection.shop.requests - before, len(played) + EXTRA_SYNCS


def _play_drift(peer: External | None, drift: Drift) -> list[int]:
    with _connected(peer, SIZES) as connection:
        shop = connection.shop
        knowledge = Knowledge(shop.objects())

        def sync() -> None:
            knowledge.update(connection.sync(), shop.objects())

        drift(shop, sync)
        for _ in range(1 + EXTRA_SYNCS):
            sync()
        return [number for _resource, number in knowledge.lost(shop.objects(), "orders")]
