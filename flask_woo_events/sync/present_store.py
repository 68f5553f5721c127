"""The present store: its version and time zone, which decide how it shows its objects."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import typing as t

from ..db.database import Database
from ..db.leases import InstanceLease, LeaseRenewer
from ..db.models import Instance
from ..errors import StoreError
from ..woocommerce.client import StoreClient
from ..woocommerce.connection_check import read_system, read_zone
from .ledger.representation import StoreState


class PresentStore:
    """What one store last reported about itself, read again when its objects look different.

    Version and zone are each read at most once in the object's life, which is a poll session.

    :param renewer: renews the lease with each write; who has lost it writes nothing.
    :param facts: ``Instance.store_facts``.
    """

    def __init__(
        self,
        database: Database,
        client: StoreClient,
        lease: InstanceLease,
        renewer: LeaseRenewer,
        facts: cabc.Mapping[str, t.Any],
    ) -> None:
        self.state = StoreState(
            version=str(facts.get("version") or ""), zone=str(facts.get("timezone") or "")
        )
        self._database = database
        self._client = client
        self._lease = lease
        self._renewer = renewer
        self._asked: set[str] = set()
        self._rows = facts.get("rows")

    def check_version(self, date: dt.datetime) -> None:
        """Read the version: objects have other fields than before.

        :param date: the first date, by the store's clock, that may show a new version.
        """
        if "version" in self._asked:
            return
        self._asked.add("version")
        found = read_system(self._client)
        version = found.get("version")
        if not version:
            return
        with self._locked() as instance:
            facts = dict(instance.store_facts)
            before = facts.get("version")
            if before != version:
                facts |= found
                facts |= {"upgraded": date.isoformat()} if before else {}
                instance.store_facts = facts
        upgraded = facts.get("upgraded")
        self.state = dataclasses.replace(
            self.state,
            version=str(version),
            upgraded_at=dt.datetime.fromisoformat(upgraded) if upgraded else None,
        )

    def check_zone(self) -> None:
        """Read the time zone: objects have other local dates than before."""
        if "zone" in self._asked:
            return
        self._asked.add("zone")
        try:
            zone = read_zone(self._client.index().data)
        except StoreError:
            return
        if zone and zone != self.state.zone:
            with self._locked() as instance:
                instance.store_facts = {**instance.store_facts, "timezone": zone}
            self.state = dataclasses.replace(self.state, zone=zone)

    def save_row_limit(self) -> None:
        """Keep the rows that the store can show in one answer, if another number was learned."""
        learned = self._client.row_limit.to_json()
        if learned == self._rows:
            return
        with self._locked() as instance:
            facts = {name: fact for name, fact in instance.store_facts.items() if name != "rows"}
            instance.store_facts = facts | ({} if learned is None else {"rows": learned})
        self._rows = learned

    @contextlib.contextmanager
    def _locked(self) -> cabc.Iterator[Instance]:
        """Yield the instance's row in a transaction; another store may be connected by now."""
        with self._database.write() as session:
            self._lease.renew(session, self._renewer.until)
            yield session.get_one(Instance, self._lease.instance_id)
