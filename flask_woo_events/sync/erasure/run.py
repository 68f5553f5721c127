"""Erasure run: finds the rows of a person part by part, and has them erased."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import functools
import time
import typing as t

import orjson
import sqlalchemy as sa
from sqlalchemy import orm

from ...db.models import (
    Attempt,
    Delivery,
    Erasure,
    Instance,
    ObjectBody,
    Poller,
    StoredEvent,
    Subscription,
)
from ...instances import privacy
from ...runtime import Runtime
from ...woocommerce import endpoints
from ..ledger import compression
from . import rows as erased_rows
from . import texts as erased_texts
from .rows import ErasedEvents, Person

#: Rows that one part reads, and events that one transaction changes.
AT_ONCE = 500
#: Seconds after which the position is written although nothing was found.
SAVE_AFTER = 2.0
#: What is counted, in the order in which it is shown.
COUNTS = ("objects", "bodies", "events", "waiting", "inFlight", "attempts", "texts")

Work = cabc.Callable[[orm.Session], t.Any]
Position = dict[str, t.Any]


@dataclasses.dataclass(frozen=True, slots=True)
class _Source:
    """One resource of one instance."""

    poller_id: int
    instance_id: int
    hub_name: str

    @property
    def place(self) -> list[int]:
        # Whose orders are the person's is known once the customers are read.
        return [int(self.hub_name != "customers"), self.poller_id]

    @property
    def is_orders(self) -> bool:
        return self.hub_name == "orders"


class ErasureRun:
    """One erasure, or a search that changes nothing.

    What is found is read without a lock, and read again in the transaction that changes it.

    :param number: of the erasure's row; ``None``: every transaction is rolled back.
    :param progress: called with the number of rows that were read.
    """

    def __init__(
        self,
        runtime: Runtime,
        organization_id: int,
        person: Person,
        number: int | None,
        progress: cabc.Callable[[int], object],
    ) -> None:
        self.counts = dict.fromkeys(COUNTS, 0)
        self._runtime = runtime
        self._organization_id = organization_id
        self._person = person
        self._number = number
        self._progress = progress
        self._suppression_id: int | None = None
        #: The person's ids as a customer, by instance.
        self._customers: dict[int, set[int]] = {}
        #: Objects, deliveries and attempts that were counted.
        self._counted: set[tuple[object, ...]] = set()
        self._saved = time.monotonic()

    def resume(
        self, counts: dict[str, int], suppression_id: int, customers: dict[int, set[int]]
    ) -> None:
        """Go on from what was done before."""
        self.counts |= counts
        self._suppression_id, self._customers = suppression_id, customers

    def go(self, position: Position, stopped: cabc.Callable[[], bool]) -> bool:
        """Do all parts from a position on; return false if that was stopped before the end."""
        for reached in self._parts(position):
            if time.monotonic() - self._saved > SAVE_AFTER:
                self._save(reached)
            if stopped():
                self._save(reached)
                return False
        self._save({}, ended=True)
        return True

    def _parts(self, position: Position) -> cabc.Iterator[Position]:
        """Do the parts from a position on, and yield the position after each."""
        stage: str = position.get("stage", "bodies")
        after: t.Any = position.get("after")
        if stage in ("bodies", "events"):
            begun = position.get("source", [0, 0])
            for source in self._sources():
                if source.place < begun:
                    continue
                if source.place > begun:
                    stage, after = "bodies", None
                self._begin(source)
                if stage == "bodies":
                    yield from _at(self._bodies(source, after or ""), stage, source)
                    after = None
                yield from _at(self._events(source, *(after or ("", 0))), "events", source)
            stage, after = "attempts", 0
        if stage == "attempts":
            yield from _at(self._attempts(after), stage)
            after = 0
        yield from _at(self._instances(after), "instances")

    def _sources(self) -> list[_Source]:
        query = (
            sa.select(Poller.id, Poller.instance_id, Poller.configuration)
            .join(Instance, Instance.id == Poller.instance_id)
            .where(Instance.organization_id == self._organization_id)
        )
        with self._runtime.database.read() as session:
            rows = session.execute(query).all()
        found = [
            _Source(row.id, row.instance_id, endpoints.resolve(row.configuration["url"]).hub_name)
            for row in rows
        ]
        return sorted(found, key=lambda one: one.place)

    def _begin(self, source: _Source) -> None:
        """Have all that is read of a resource pass the rules once more before it is recorded."""
        if self._number is None:
            return
        is_older = sa.or_(Poller.erasure_id.is_(None), Poller.erasure_id < self._number)
        mine = sa.update(Poller).where(Poller.id == source.poller_id, is_older)
        self._write(lambda session: session.execute(mine.values(erasure_id=self._number)))

    def _bodies(self, source: _Source, after: str) -> cabc.Iterator[str]:
        """Erase the ledger's bodies of a resource, and the events of the person's objects."""
        table = ObjectBody

        def query(last: t.Any) -> t.Any:
            return (
                sa.select(table.object_id, table.dictionary, table.data)
                .where(table.poller_id == source.poller_id)
                .where(table.object_id > (after if last is None else last.object_id))
                .order_by(table.object_id)
            )

        for rows in self._pages(query):
            person, owned, found = self._of(source), [], []
            for row in rows:
                plain = compression.decompress(row.data, row.dictionary)
                if plain is None or not person.may_be_in(plain):
                    continue
                kept = orjson.loads(plain)
                body = kept[1] if isinstance(kept, list) else kept
                is_owned = person.owns(body, order=source.is_orders)
                if is_owned:
                    owned.append(row.object_id)
                if person.without(body, owned=is_owned) != body:
                    found.append(row.object_id)
            self._note_customers(source, owned)
            changed = set(found)
            self._count("objects", ((source.poller_id, one) for one in owned if one in changed))
            if found:
                self.counts["bodies"] += self._write(self._erase_bodies(source, found))
            self._erase_objects(source, owned)
            yield rows[-1].object_id

    def _erase_bodies(
        self, source: _Source, object_ids: list[str]
    ) -> cabc.Callable[[orm.Session], int]:
        person, order, erase = self._of(source), source.is_orders, erased_rows.erase_bodies
        return lambda session: erase(session, source.poller_id, object_ids, person, order=order)

    def _events(self, source: _Source, object_id: str, number: int) -> cabc.Iterator[list[t.Any]]:
        """Erase the events of a resource; those of one object follow each other."""
        table = StoredEvent

        def query(last: t.Any) -> t.Any:
            named, at = (object_id, number) if last is None else (last.object_id, last.id)
            is_later = sa.or_(
                table.object_id > named, sa.and_(table.object_id == named, table.id > at)
            )
            return (
                sa.select(table.id, table.object_id, table.body, table.changes)
                .where(table.poller_id == source.poller_id, table.object_id >= named, is_later)
                .order_by(table.object_id, table.id)
            )

        for rows in self._pages(query):
            person, owned, mentioned = self._of(source), dict[str, None](), dict[int, str]()
            for row in rows:
                if person.may_be_in(row.body) and person.owns(
                    orjson.loads(row.body), order=source.is_orders
                ):
                    owned[row.object_id] = None
                elif self._is_in(row.body) or self._is_in(row.changes):
                    mentioned[row.id] = row.object_id
            self._note_customers(source, owned)
            self._erase_objects(source, owned)
            left = [one for one, named in mentioned.items() if named not in owned]
            self._erase_events(source, left, frozenset())
            yield [rows[-1].object_id, rows[-1].id]

    def _is_in(self, data: bytes | None) -> bool:
        if data is None or not self._person.may_be_in(data):
            return False
        value = orjson.loads(data)
        return bool(self._person.without(value, owned=False) != value)

    def _erase_objects(self, source: _Source, object_ids: cabc.Iterable[str]) -> None:
        """Erase all events of objects that are the person's."""
        for object_id in object_ids:
            if not self._is_first(source.poller_id, object_id):
                continue
            mine = sa.select(StoredEvent.id).where(
                StoredEvent.poller_id == source.poller_id, StoredEvent.object_id == object_id
            )

            def query(last: t.Any, mine: t.Any = mine) -> t.Any:
                after = 0 if last is None else last.id
                return mine.where(StoredEvent.id > after).order_by(StoredEvent.id)

            changed = 0
            for rows in self._pages(query):
                ids = [row.id for row in rows]
                changed += self._erase_events(source, ids, frozenset({object_id}))
            if changed:
                self._count("objects", [(source.poller_id, object_id)])

    def _erase_events(
        self, source: _Source, event_ids: cabc.Sequence[int], owned: frozenset[str]
    ) -> int:
        """Erase events; return how many were changed."""
        if not event_ids:
            return 0

        def work(session: orm.Session) -> ErasedEvents:
            now, person = self._runtime.clock(), self._of(source)
            return erased_rows.erase_events(
                session, source.instance_id, source.poller_id, event_ids, owned, person, now
            )

        found: ErasedEvents = self._write(work)
        self.counts["events"] += found.events
        self._count("waiting", found.waiting)
        self._count("inFlight", found.in_flight)
        self._count("attempts", found.attempts)
        return found.events

    def _attempts(self, after: int) -> cabc.Iterator[int]:
        """Erase what receivers answered, of all instances."""
        person, erase = self._person, erased_rows.erase_attempts

        def query(last: t.Any) -> t.Any:
            return (
                sa.select(Attempt.id, Attempt.answer, Attempt.reason)
                .join(Delivery, Delivery.id == Attempt.delivery_id)
                .join(Subscription, Subscription.id == Delivery.subscription_id)
                .join(Instance, Instance.id == Subscription.instance_id)
                .where(Instance.organization_id == self._organization_id)
                .where(Attempt.id > (after if last is None else last.id))
                .order_by(Attempt.id)
            )

        for rows in self._pages(query):
            ids = [
                row.id
                for row in rows
                if person.persons.are_in(row.answer) or person.persons.are_in(row.reason)
            ]
            if ids:
                work = functools.partial(erase, attempt_ids=ids, person=person)
                self._count("attempts", self._write(work))
            yield rows[-1].id

    def _instances(self, after: int) -> cabc.Iterator[int]:
        """Erase the texts about the instances, and about those that are being connected."""
        person, mine = self._person, Instance.organization_id == self._organization_id
        query = sa.select(Instance.id).where(mine, Instance.id > after).order_by(Instance.id)
        for (number,) in self._read(query):
            texts = functools.partial(erased_texts.erase_texts, instance_id=number, person=person)
            self.counts["texts"] += self._write(texts)
            yield number
        own = self._organization_id
        rest = functools.partial(erased_texts.erase_connections, organization_id=own, person=person)
        self.counts["texts"] += self._write(rest)

    def _of(self, source: _Source) -> Person:
        ids = self._customers.get(source.instance_id, ()) if source.is_orders else ()
        return dataclasses.replace(self._person, customers=frozenset(ids))

    def _note_customers(self, source: _Source, owned: cabc.Iterable[str]) -> None:
        """Note the ids of the person as a customer."""
        if source.hub_name != "customers":
            return
        ids = {int(one) for one in owned if one.isdecimal()}
        known = self._customers.setdefault(source.instance_id, set())
        if not ids <= known and (number := self._suppression_id) is not None:
            add = privacy.add_customers
            self._write(lambda one: add(one, number, source.instance_id, ids))
        known |= ids

    def _is_first(self, *key: object) -> bool:
        is_first = key not in self._counted
        self._counted.add(key)
        return is_first

    def _count(self, name: str, ids: cabc.Iterable[object]) -> None:
        self.counts[name] += sum(self._is_first(name, one) for one in ids)

    def _pages(self, query: cabc.Callable[[t.Any], t.Any]) -> cabc.Iterator[cabc.Sequence[t.Any]]:
        """Yield the rows of a query in parts.

        :param query: returns the query for what follows a row; ``None``: from the begin on.
        """
        last = None
        while rows := self._read(query(last).limit(AT_ONCE)):
            yield rows
            last = rows[-1]

    def _read(self, query: t.Any) -> cabc.Sequence[t.Any]:
        with self._runtime.database.read() as session:
            rows = session.execute(query).all()
        self._progress(len(rows))
        return rows

    def _write(self, work: Work) -> t.Any:
        def done(session: orm.Session) -> t.Any:
            result = work(session)
            if self._number is None:
                session.rollback()
            return result

        return self._runtime.database.transact(done)

    def _save(self, position: Position, *, ended: bool = False) -> None:
        values: dict[str, t.Any] = {"counts": self.counts, "position": position}
        if ended:
            values["ended_at"] = self._runtime.clock()
        mine = sa.update(Erasure).where(Erasure.id == self._number).values(values)
        if self._number is not None:
            self._write(lambda session: session.execute(mine))
        self._saved = time.monotonic()


def _at(
    parts: cabc.Iterator[t.Any], stage: str, source: _Source | None = None
) -> cabc.Iterator[Position]:
    place = {} if source is None else {"source": source.place}
    for after in parts:
        yield {"stage": stage, "after": after, **place}
