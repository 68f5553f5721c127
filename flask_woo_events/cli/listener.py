"""The listener: follows the events, prints and forwards each, and keeps how far it has come."""

from __future__ import annotations

import collections
import collections.abc as cabc
import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import queue
import time

import click
import sqlalchemy as sa

from ..db.database import is_away
from ..delivery import following
from ..delivery.following import Places
from ..delivery.forwarding import Forwarded, Forwarder
from ..errors import ConfigurationError
from ..events.feed_cursor import FeedCursor
from ..events.search import EventEntry
from ..instances import pollers, store_addresses, webhooks
from ..runtime import Runtime
from .output import echo_json, plain

#: Seconds between two queries, and between two polls of a store on this machine.
LOOK_EVERY, POLL_EVERY = 0.25, 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection:
    """Which events are printed and forwarded; empty and ``None`` select all."""

    instance: int | None = None
    resources: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()

    def selects(self, entry: EventEntry) -> bool:
        """Return whether an event is one of them."""
        return (
            self.instance in (None, entry.instance_id)
            and (not self.resources or entry.resource in self.resources)
            and (not self.types or entry.event_type in self.types)
        )

    @property
    def words(self) -> tuple[str, ...]:
        """The options as words, different for each selection."""
        return str(self.instance), *sorted(self.resources), *sorted(self.types)


class PositionFile:
    """Keeps the places of one listener beside the state file of the database.

    :param beside: the state file; ``None``: nothing is kept.
    :param options: listeners with other options keep places of their own.
    """

    def __init__(self, beside: pathlib.Path | None, options: tuple[object, ...]) -> None:
        digest = hashlib.sha256(repr(options).encode()).hexdigest()[:12]
        self._path = beside and beside.with_name(f"{beside.stem}-listen-{digest}.json")

    def load(self) -> Places | int | None:
        """Return what is kept; ``None`` if nothing is, or nothing that can be read.

        :return: a number is the last event that an earlier release had read.
        """
        if self._path is None:
            return None
        try:
            kept = json.loads(self._path.read_bytes())
            if "last" in kept:
                return int(kept["last"])
            return {
                int(one["organization"]): FeedCursor(
                    position=int(one["position"]), life=str(one["life"])
                )
                for one in kept["feeds"]
            }
        except (OSError, KeyError, TypeError, ValueError):
            return None

    def save(self, places: Places) -> None:
        """Keep places.

        :raises ConfigurationError: the file cannot be written.
        """
        if self._path is None:
            return
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            feeds = [
                {"organization": number, "position": one.position, "life": one.life}
                for number, one in places.items()
            ]
            beside.write_text(json.dumps({"feeds": feeds}) + "\n", "utf-8")
            beside.replace(self._path)
        except OSError as exc:
            raise ConfigurationError(
                f"{self._path}, which keeps where to go on, cannot be written: {exc.strerror}; set "
                "WOO_EVENTS_STATE_FOLDER to a folder that can be written"
            ) from exc


class Listener:
    """Prints the events after some places, and forwards them.

    :param forwarder: ``None`` to print only.
    """

    def __init__(
        self,
        runtime: Runtime,
        selection: Selection,
        places: Places,
        file: PositionFile,
        forwarder: Forwarder | None,
        *,
        as_json: bool,
    ) -> None:
        self._runtime = runtime
        self._selection = selection
        self._places = places
        self._file = file
        self._forwarder = forwarder
        self._as_json = as_json
        #: The first of the events that wait to be forwarded, each with the places before it.
        self._waiting: collections.deque[tuple[int, Places]] = collections.deque()
        self._kept: Places | None = None
        self._is_away = False
        self._are_ready: bool | None = None
        self._hurried_at = 0.0
        #: Lines that were typed.
        self.typed: queue.SimpleQueue[str] = queue.SimpleQueue()

    def run(self, stopped: cabc.Callable[[], bool], *, hurry: bool = False) -> None:
        """Listen until stopped; an unreachable database is waited for.

        :param hurry: stores on this machine are due every two seconds.
        """
        while not stopped():
            try:
                if hurry:
                    self._hurry()
                more = self._step()
                self._is_away = False
            except sa.exc.SQLAlchemyError as exc:
                if not is_away(exc):
                    raise
                if not self._is_away:
                    click.echo("The database does not answer; trying again.", err=True)
                self._is_away, more = True, False
            if not more:
                time.sleep(LOOK_EVERY)

    def _step(self) -> bool:
        """Handle what is new; return whether there may be more."""
        more = False
        for found in following.read(self._runtime, self._places, self._selection.instance):
            if chosen := [one for one in found.entries if self._selection.selects(one)]:
                self._handle(chosen)
            self._places, more = found.places, True
            self._keep()
        if self._forwarder is not None:
            for done in self._forwarder.run():
                for number in done.event_ids:
                    self._print_status(number, _said(done))
        self._keep()
        with contextlib.suppress(queue.Empty):
            while True:
                self._resend(self.typed.get_nowait())
        return more

    def _handle(self, entries: list[EventEntry]) -> None:
        """Print events of one notification, each with what became of its forward."""
        status = ""
        if self._forwarder is not None:
            waiting = self._forwarder.waiting
            if entries[0].id not in waiting:
                # Otherwise the database failed after it was added.
                self._forwarder.add([one.id for one in entries])
                self._waiting.append((entries[0].id, self._places))
            # The attempt of others is printed by itself, the one of these with them.
            done = None if waiting else next(self._forwarder.run(), None)
            status = "waits for the events before it" if done is None else _said(done)
        for one in entries:
            self._print(one, status)

    def _print(self, entry: EventEntry, status: str) -> None:
        if self._as_json:
            shown = {
                "number": entry.id, "recorded": entry.created_at, "instance": entry.instance_id,
                "type": entry.event_type, "resource": entry.resource, "id": entry.object_id,
                "version": entry.version, "changedFields": entry.changed_fields,
            }  # fmt: skip
            echo_json(shown | ({"forward": status} if self._forwarder is not None else {}))
            return
        fields = ", ".join(entry.changed_fields)
        line = (
            f"{entry.created_at.astimezone():%H:%M:%S}  #{entry.id}  {entry.event_type}  "
            f"{entry.resource} {entry.object_id}" + (f"  {fields}" if fields else "")
        )
        click.echo(plain(f"{line}  -> {status}" if status else line))

    def _print_status(self, number: int, status: str) -> None:
        if self._as_json:
            echo_json({"number": number, "forward": status})
        else:
            click.echo(plain(f"          #{number}  -> {status}"))

    def _resend(self, line: str) -> None:
        """Send an event whose number was typed."""
        number = line.removeprefix("#")
        if not number.isdecimal() or not 0 < int(number) < 2**63:
            click.echo("Type the number of an event to send it again.", err=True)
        elif self._forwarder is None:
            click.echo("Start with --forward-to URL to send events again.", err=True)
        else:
            outcome = self._forwarder.send([int(number)])
            self._print_status(int(number), f"{outcome.reason} (sent again)")

    def _keep(self) -> None:
        """Keep the places before the first event that was not forwarded yet."""
        waiting = frozenset() if self._forwarder is None else self._forwarder.waiting
        while self._waiting and self._waiting[0][0] not in waiting:
            self._waiting.popleft()
        kept = self._waiting[0][1] if self._waiting else self._places
        if kept != self._kept:
            self._file.save(kept)
            self._kept = kept

    def _hurry(self) -> None:
        """Make local stores due, and say when the baselines are complete."""
        if time.monotonic() - self._hurried_at < POLL_EVERY:
            return
        self._hurried_at = time.monotonic()
        database, now = self._runtime.database, self._runtime.clock()
        with database.read() as session:
            found = store_addresses.of_instances(session)
            ready = bool(found) and not pollers.are_beginning(session)
        if ready and not self._are_ready:
            click.echo("Ready: changes of the stores are printed from now on.", err=True)
        elif not ready and self._are_ready is None:
            what = "The present state of the stores is recorded first."
            click.echo(what if found else "No store is connected: flask woo connect URL", err=True)
        self._are_ready = ready
        if local := [one.instance_id for one in found if one.is_local]:
            with database.write() as session:
                webhooks.poll_named(session, local, now)


def _said(done: Forwarded) -> str:
    """Return the result of an attempt as words."""
    reason, attempt = done.outcome.reason, done.attempt
    if done.again_in is not None:
        return f"{reason}; tried again in {done.again_in:g} s"
    if not done.outcome.delivered:
        return f"{reason}; type {done.event_ids[0]} and Enter to send it again"
    return reason if attempt == 1 else f"{reason} (attempt {attempt})"
