"""The choice of events that a receiver wants."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses

from .field_paths import any_covers, in_utc, top_level


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EventChoice:
    """Which events a receiver gets; what is empty selects all."""

    #: Keys of ``event.poller.configuration``.
    resources: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    #: Fields of which one has to change for an UPDATED, see ``values/field_paths.py``.
    fields: tuple[str, ...] = ()

    @property
    def selects_all(self) -> bool:
        """Every event is wanted."""
        return not (self.resources or self.types or self.fields)

    def wants_resource(self, resource: str) -> bool:
        """Return whether events of a resource may be wanted."""
        return not self.resources or resource in self.resources

    def wants(
        self,
        resource: str,
        event_type: str,
        changed_fields: cabc.Collection[str],
        changed_paths: cabc.Collection[str] | None,
    ) -> bool:
        """Return whether an event is wanted.

        :param changed_fields: for UPDATED: names of the top-level fields that changed.
        :param changed_paths: paths of all that changed; ``None`` if they are not known. Then
            a change anywhere in the top-level field counts, so that nothing is missed.
        """
        if not self.wants_resource(resource) or (self.types and event_type not in self.types):
            return False
        if not self.fields or event_type != "UPDATED":
            return True
        if changed_paths is not None:
            return any_covers(self.fields, changed_paths)
        # Without names of fields, anything may have changed.
        names = set(map(top_level, self.fields))
        names.update(map(in_utc, tuple(names)))
        return not changed_fields or not names.isdisjoint(changed_fields)
