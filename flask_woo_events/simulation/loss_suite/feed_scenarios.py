"""Feeds: readers without a callback, of everything and of five choices.

What each of them reads has to be what the callback got and the choice selects: every event, in
order; once, but for a reader that ends before it has saved its cursor.
"""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import typing as t

import orjson

from ...delivery import feed
from ...instances.subscription_requests import SubscriptionRequest
from ...values.validation import validated
from .harness import Crash, Environment
from .scenario import scenario
from .subscription_scenarios import (
    Arrival,
    Happened,
    Subscriber,
    compare,
    events_of,
    five_receivers,
    happened_in,
    plain_objects,
    some_changes,
)

#: Events of one answer: few, so that most polls need several.
_LIMIT = 3


@dataclasses.dataclass
class Reader:
    """A program that reads the feed of the instance, or of a subscription."""

    env: Environment
    subscription_id: int | None = None
    wants: cabc.Callable[[Happened], bool] = lambda _: True
    cursor: str = feed.NOW
    #: Ids of the events, which it handles once.
    handled: set[str] = dataclasses.field(default_factory=set)
    events: list[Arrival] = dataclasses.field(default_factory=list)
    repeated: int = 0

    def read(self, *, forgets: bool = False) -> None:
        """Read all that is there, and handle what is new.

        :param forgets: end before the first cursor is saved, and begin again.
        """
        chosen, form = self.env.feed_of(self.subscription_id)
        more = True
        while more:
            page = feed.read(self.env.runtime, chosen, self.cursor, _LIMIT, form)
            assert not page.truncated, "events were deleted before they were read"
            self._handle(page.events)
            more = page.more or forgets
            if not forgets:
                self.cursor = page.cursor
            forgets = False

    def _handle(self, bodies: cabc.Iterable[bytes]) -> None:
        for body in map(orjson.loads, bodies):
            name = body["id"] if "specversion" in body else body["message"]["eventId"]
            self.repeated += name in self.handled
            if name not in self.handled:
                self.handled.add(name)
                self.events += events_of(body)


def _choice(one: Subscriber) -> dict[str, t.Any]:
    """Return what a receiver chooses, without how it is sent to."""
    names = ("resources", "eventTypes", "fields", "format")
    return {name: value for name, value in one.members.items() if name in names}


@contextlib.contextmanager
def _reading(env: Environment, *, choices: bool = False) -> cabc.Iterator[list[Reader]]:
    """Yield a reader of everything, and five with a choice; compare at the end of the block."""
    readers = [Reader(env)]
    for one in five_receivers() if choices else ():
        number = env.subscribe(validated(SubscriptionRequest, {"feed": True, **_choice(one)}))
        readers.append(Reader(env, number, one.wants))
    for reader in readers:
        reader.read()
    known, began = plain_objects(env), len(env.receiver.received)
    yield readers
    happened = list(happened_in(env.receiver.received[began:], known))
    for number, reader in enumerate(readers, start=1):
        reader.read()
        compare(f"the reader of feed {number}", reader.wants, reader.events, happened)


@scenario(
    "six feeds, their readers sleep now and then",
    "The feed of the store, and those of five choices in other formats.",
    changes=16,
)
def _readers_sleep(env: Environment) -> None:
    with _reading(env, choices=True) as readers:
        for number in range(3):
            env.do(lambda: some_changes(env))
            env.poll()
            for reader in readers[number::2]:
                reader.read()


@scenario(
    "feed, its reader ends before it saves the cursor",
    "At each poll it handles an answer, and begins again with the cursor before it.",
    changes=16,
)
def _reader_ends(env: Environment) -> None:
    with _reading(env) as [reader]:
        for _ in range(3):
            env.do(lambda: some_changes(env))
            env.poll()
            reader.read(forgets=True)
        assert reader.repeated >= 3, "nothing was repeated"


@scenario(
    "feed, the process that answers ends at its commits",
    "Before and after the commit of a request; the reader sends it again.",
    changes=16,
)
def _process_ends(env: Environment) -> None:
    crashes = 0
    with _reading(env) as [reader]:
        for after in (False, True, False, True):
            env.do(lambda: some_changes(env))
            env.poll()
            env.crash_at(0, after=after)
            try:
                reader.read()
            except Crash:
                crashes += 1
            # The next one ends at no commit.
            env.crash_at(1_000_000)
    assert crashes == 4, "no process ended"
