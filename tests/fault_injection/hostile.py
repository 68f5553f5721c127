"""An installation whose store lies, and whose store and callback fail in every way."""

from __future__ import annotations

import collections
import collections.abc as cabc
import contextlib
import datetime as dt
import pathlib
import random
import threading
import time
import types
import typing as t
import urllib.parse

from flask_woo_events.db.models import Instance
from flask_woo_events.simulation.callback_receiver import Answer, Received
from flask_woo_events.simulation.loss_suite.judge import ObjectKey, events_in
from flask_woo_events.simulation.store import SimulatedStore, lies
from flask_woo_events.simulation.store.faults import Kind
from flask_woo_events.simulation.store.store_side import Backup
from tests.model.lying_env import ALWAYS_NOTICED, ELSEWHERE, NOTICED_IF_SHORT, SHORT
from tests.model.receiver import Receiver

from .front import Front
from .installation import Installation
from .moved_clock import CLOCK_FILE, MovedClock

#: An interval of polls, seconds.
INTERVAL = 900.0
#: True polls after which the receiver must have the state of the store.
ENOUGH_POLLS = 12
#: Answers of a store without their content.
_BAD_ANSWERS: tuple[Kind, ...] = ("reset", "html", "truncated", "empty200", "lying_json")
#: How a callback answers that is not well.
MOODS = ("refuses", "refuses some", "is busy", "drops requests", "drops answers", "answers late")


class Callback:
    """Answers the notifications of an installation, and keeps what it accepts."""

    def __init__(self) -> None:
        self.mood: str = "is well"
        #: Set while nothing is answered late.
        self.prompt = threading.Event()
        self.prompt.set()
        #: What it processed, in that order.
        self.accepted: list[Received] = []
        #: When an answer of 200 did not arrive in time; seconds, monotonic.
        self.lost_answers: list[float] = []
        self._lock = threading.Lock()

    def __call__(self, received: Received) -> Answer:
        match self.mood:
            case "refuses":
                return 500
            case "refuses some" if self._refused(received):
                return 500
            case "is busy":
                return 429, 60
            case "drops requests":
                raise ConnectionResetError
            case "drops answers":
                self._accept(received, lost=True)
                raise ConnectionResetError
            case "answers late":
                self._accept(received, lost=True)
                self.prompt.wait(60)
                return 200
        self._accept(received)
        return 200

    def _refused(self, received: Received) -> bool:
        return any(int(one["objectId"]) % 3 == 0 for one in received.events)

    def _accept(self, received: Received, *, lost: bool = False) -> None:
        with self._lock:
            self.accepted.append(received)
            if lost:
                self.lost_answers.append(time.monotonic())


class HostileInstallation(Installation):
    """One store that is connected and has a baseline, among faults and lies.

    Its store and its callback are behind processes of their own, which can be killed and hang. Its
    clocks are moved, so that no test waits for a time.
    """

    def __init__(
        self,
        url: str,
        folder: pathlib.Path,
        *,
        seed: int = 0,
        settings: cabc.Mapping[str, str] = types.MappingProxyType({}),
    ) -> None:
        self.moved = MovedClock(folder / "clock")
        self.moved.advance(0.0)
        self._clock_file = folder / "clock"
        super().__init__(url, folder, seed=seed, settings=settings)
        own = self.database.clock
        self.database.clock = t.cast(
            "t.Any", lambda: own() + dt.timedelta(seconds=self.moved.ahead)
        )
        vars(self.database.clock)["follow"] = lambda _connection: None
        self.callback = Callback()
        self.receiver.answer = self.callback
        self.fronts: list[Front] = []
        self.fold = Receiver({})
        #: What the receiver refused: older versions, and other notifications of the same id.
        self.order: list[str] = []
        #: Events that were false when they arrived, and those that no lie of this kind may cause.
        self.false: list[str] = []
        self.forbidden: list[str] = []
        #: When something happened that may repeat a notification; seconds, monotonic.
        self.disturbances: list[float] = []
        #: Notifications that came again although they were accepted while everything was well.
        self.accepted_again: list[str] = []
        #: Everything is well: there is no fault, and no worker of before.
        self.well = False
        self.events = 0
        self.kinds: set[str] = set()
        self.lied_for = 0.0
        #: Lies and other faults so far.
        self.lies = self.faults = 0
        self._backups: collections.deque[Backup] = collections.deque(maxlen=4)
        self._seen: dict[ObjectKey, set[int]] = collections.defaultdict(set)
        self._versions_by_id: dict[str, set[tuple[ObjectKey, int]]] = {}
        self._answered = 0
        self._accepted_well: set[str] = set()
        self._copy: lies.AnotherShop | None = None
        #: Set while the store answers.
        self._answering = threading.Event()
        self._answering.set()

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for the processes of the application."""
        return {**super().environment, CLOCK_FILE: str(self._clock_file)}

    @contextlib.contextmanager
    def running(self) -> cabc.Iterator[t.Self]:
        """Serve the store and the callback, connect them, and record the baseline."""
        try:
            with super().running():
                self.fold = Receiver(self.truth())
                self.replica = lies.Replica(self.store.routes, 0)
                self._backups.append(self.store.acts.snapshot(journal=True))
                yield self
        finally:
            self.release()
            for front in self.fronts:
                front.kill()

    def _connect(self, store: str, callback: str) -> None:
        for url in (store, callback):
            self.fronts.append(Front(urllib.parse.urlsplit(url).port or 0))
        self.store.move(self.fronts[0].url)
        super()._connect(self.fronts[0].url, f"{self.fronts[1].url}/events")

    # The store

    def change_store(self) -> None:
        """Make a random change in the store, and sometimes another one in its copy."""
        super().change_store()
        self.fold.record(self.truth())
        self.replica.record()
        self._backups.append(self.store.acts.snapshot(journal=True))
        if self._copy is not None and self.chance.random() < 0.5:
            orders = self.store.lies.current.routes(
                self.store.routes, lies.Asked("GET", "", {})
            ).shop.tables["orders"]
            if rows := orders.sorted():
                with contextlib.suppress(KeyError):
                    self._copy.acts.status(self.chance.choice(rows).id, "failed")

    def begin_lie(self, kind: str) -> None:
        """Begin a lie now, or after some requests."""
        lie = LIES[kind](self, self.chance)
        self._copy = lie if kind.startswith("copy") else None  # type: ignore[assignment]
        self.kinds.add(kind)
        self.lies += 1
        self.store.lies.begin(lie, after=self.chance.choice((0, 0, 1, 3, 9)))

    def end_lie(self) -> None:
        """Let the store tell the truth."""
        self._copy = None
        self.store.lies.end()

    def copy(self, home: str | None) -> lies.AnotherShop:
        """Return a copy of the store as of one of the last changes."""
        backup = self.chance.choice(self._backups)
        return lies.AnotherShop(lies.copy_of(self.store.routes, home, backup))

    def another_shop(self, home: str) -> lies.AnotherShop:
        """Return another shop, larger or smaller, whose ids overlap."""
        other = SimulatedStore("9.4", consumer_key="-", consumer_secret="-", clock=self.store.clock)
        size = self.chance.choice((2, 8, 30))
        other.populate(orders=size, products=size, coupons=3, customers=size, seed=size)
        other.move(home)
        return lies.AnotherShop(other.routes)

    @property
    def claims(self) -> int:
        """How often the instance was claimed."""
        with self.database.read() as session:
            return session.get_one(Instance, self.instance_id).lease_fence

    # Time and faults

    def advance(self, seconds: float) -> None:
        """Move the clocks of the application and of the store."""
        self.moved.advance(seconds)
        self.store.clock.advance(seconds)

    def disturb(self) -> None:
        """Record that something happens that may repeat a notification."""
        self.disturbances.append(time.monotonic())

    def break_store(self) -> None:
        """Begin a random fault of the store: a false status, a bad answer, or none."""
        self.faults += 1
        chance, times = self.chance, self.chance.choice((1, 3, 10, 40))
        match chance.randrange(4):
            case 0:
                code = chance.choice((401, 403, 404, 408, 429, 500, 502, 503))
                self.store.faults.add("status", times=times, code=code)
            case 1:
                self.store.faults.add(chance.choice(_BAD_ANSWERS), times=times)
            case 2:
                self._answering.clear()
                self.store.faults.add("timeout", times=times, until=self._answering)
            case _:
                self._break_front(self.fronts[0])

    def break_callback(self) -> None:
        """Let the callback fail in a random way."""
        self.faults += 1
        self.disturb()
        if self.chance.random() < 0.4:
            self._break_front(self.fronts[1])
            return
        self.callback.mood = self.chance.choice(MOODS)
        if self.callback.mood == "answers late":
            self.callback.prompt.clear()

    def _break_front(self, front: Front) -> None:
        if self.chance.random() < 0.5:
            front.hang()
        else:
            front.kill()

    def release(self) -> None:
        """End all faults, but not the lie."""
        self.disturb()
        self.store.faults.clear()
        self._answering.set()
        self.callback.mood = "is well"
        self.callback.prompt.set()
        for front in self.fronts:
            front.start()

    # The receiver

    def collect(self) -> None:
        """Apply what the callback accepted since the last call; ignore repeats, by version."""
        accepted = self.callback.accepted
        for one in accepted[self._answered :]:
            self._answered += 1
            message = one.json["message"]
            number = message["eventId"]
            if number in self._accepted_well:
                self.accepted_again.append(number)
            if self.well:
                self._accepted_well.add(number)
            self.received_counts[number] += 1
            self.received_at[number].append(one.at)
            versions = [event["version"] for event in message["events"]]
            held = set[tuple[ObjectKey, int]]()
            for (key, kind, content), version in zip(events_in(message), versions, strict=True):
                held.add((key, version))
                self._apply(key, kind, content, version)
            before = self._versions_by_id.setdefault(number, held)
            if not held <= before:
                self.order.append(f"{number}: the same id, more events")
            self._versions_by_id[number] = held

    def _apply(self, key: ObjectKey, kind: str, content: bytes | None, version: int) -> None:
        seen = self._seen[key]
        if version in seen:
            return
        self.events += 1
        if seen and version < max(seen):
            self.order.append(f"{' '.join(key)}: version {version} after {max(seen)}")
        seen.add(version)
        false = self.fold.receive(key, kind, content, version)
        if false is None:
            return
        text = f"{false} ({', '.join(sorted(self.kinds)) or 'no lie'})"
        self.false.append(text)
        if self._noticed and (kind == "DELETED" or "half" not in self.kinds):
            self.forbidden.append(text)

    @property
    def _noticed(self) -> bool:
        """The lies since the last agreement may cause no false event."""
        short = self.lied_for < SHORT.total_seconds()
        return self.kinds <= (ALWAYS_NOTICED | NOTICED_IF_SHORT if short else ALWAYS_NOTICED)

    @property
    def agreed(self) -> bool:
        """The receiver has the state of the store, and no delivery is unsettled."""
        self.collect()
        return not self.fold.differing(self.truth()) and self.delivered

    def come_back(self) -> None:
        """End all faults and lies; no worker runs, and no request is under way any more."""
        self.end_lie()
        for front in self.fronts:
            front.kill()
            front.start()
        self.collect()
        self.well = True

    def poll_once(self) -> None:
        """Poll and deliver after an interval."""
        self.advance(INTERVAL)
        self.hurry()
        self.spawner.start("poll", "--once").wait()

    def forget(self) -> None:
        """Begin again with the present state of the store, after the receiver agreed with it."""
        self.well = False
        self.kinds.clear()
        self.lied_for = 0.0
        for _ in range(2):
            self.fold.begin_poll()
        self.fold.known = dict(self.truth())
        self.fold.wrong.clear()
        self.fold.record(self.truth())


Make = cabc.Callable[[HostileInstallation, random.Random], lies.Lie]


def _hole(installation: HostileInstallation, chance: random.Random) -> lies.Lie:
    kind = chance.choice(("orders", "products", "coupons", "customers"))
    rows = installation.store.shop.tables[kind].sorted()
    return lies.hole(kind, {row.id for row in rows if chance.random() < 0.4})


def _replica(installation: HostileInstallation, chance: random.Random) -> lies.Lie:
    installation.replica.seconds = chance.choice((1, 30, 300, 1_200))
    return installation.replica


_GARBLED: tuple[lies.Garbling, ...] = ("repeated", "reversed", "short")
#: The kinds of lies, as in ``tests/model/lying_histories.py``.
LIES: dict[str, Make] = {
    "empty": lambda _, chance: lies.empty(),
    "half": lambda _, chance: lies.half(chance.randrange(5)),
    "hole": _hole,
    "other shop": lambda installation, _: installation.another_shop(ELSEWHERE),
    "other shop, same root": lambda installation, _: installation.another_shop(
        installation.store.shop.home
    ),
    "copy": lambda installation, _: installation.copy(ELSEWHERE),
    "copy, same root": lambda installation, _: installation.copy(None),
    "replica": _replica,
    "alternating": lambda installation, chance: lies.Alternating(
        installation.copy(chance.choice((ELSEWHERE, None)))._routes
    ),
    "garbled lists": lambda _, chance: lies.GarbledLists(chance.choice(_GARBLED)),
    "cached lists": lambda _, chance: lies.CachedLists(3_600, age=chance.random() < 0.5),
}
