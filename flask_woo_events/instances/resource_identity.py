"""The identity of a polled resource: what its configuration resolves to, however it is written."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

from ..db.models import Poller
from ..values.validation import folded
from ..woocommerce import endpoints
from ..woocommerce.listing import REPRESENTATION, read_filters
from .polled_resources import PollerConfiguration

#: The paths of the hub's collections are below this path.
_ROOT = "/wp-json/wc/v3/"
#: Any date, so that equal macros are equal.
_ANY_DATE = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
#: Parameters that do not decide which objects are listed.
_NO_FILTER = REPRESENTATION | {
    "_fields", "_skip_cache", "nextPage", "offset", "order", "orderby", "page", "pageSize",
    "per_page",
}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class ResourceIdentity:
    """What a resource is: two with one collection and one id field share a ledger."""

    #: The key without case, which is the ``objectType`` of its events.
    key: str
    #: The collection's path below the REST API.
    collection: str
    id_field: str
    #: What decides which objects are listed: the route, the parameters, and whether it is a feed.
    membership: tuple[object, ...]

    @classmethod
    def of(cls, configuration: PollerConfiguration) -> ResourceIdentity:
        """Return the identity of a resource's configuration."""
        path = endpoints.resolve(configuration.url).path
        filters = read_filters(configuration.url, last_poll=_ANY_DATE, now=_ANY_DATE)
        params = {
            (name, tuple(sorted(value.split(","))))
            for name, value in filters.params.items()
            if name not in _NO_FILTER
        }
        return cls(
            folded(configuration.resource),
            path.removeprefix(_ROOT),
            configuration.id_field,
            (path, frozenset(params), filters.feed),
        )

    def shares_ledger(self, other: ResourceIdentity) -> bool:
        """Return whether both list objects of one collection, by the same ids."""
        return (self.collection, self.id_field) == (other.collection, other.id_field)


def identity_of(poller: Poller) -> ResourceIdentity:
    """Return the identity of a poller's resource, also of one that is not selected."""
    return ResourceIdentity.of(PollerConfiguration.model_validate(poller.configuration))


def match(
    pollers: cabc.Sequence[Poller], wanted: cabc.Sequence[PollerConfiguration]
) -> dict[str, Poller]:
    """Find the poller that each wanted resource continues; a new resource has none.

    A resource continues with its filter before it continues with its key: then nothing that
    happened since the last poll is lost when a key is renamed and another takes its name.

    :return: pollers by the resource's key.
    """
    # Selected pollers have read the store last.
    left = sorted(pollers, key=lambda poller: (not poller.selected, poller.id))
    known = {poller.id: identity_of(poller) for poller in left}
    found: dict[str, Poller] = {}
    for fits in (_is_same, _is_renamed, _is_filtered, _is_both, _is_back):
        for configuration in wanted:
            if configuration.resource in found:
                continue
            identity = ResourceIdentity.of(configuration)
            for poller in left:
                before = known[poller.id]
                if identity.shares_ledger(before) and fits(identity, before, poller.selected):
                    found[configuration.resource] = poller
                    left.remove(poller)
                    break
    return found


def _is_same(after: ResourceIdentity, before: ResourceIdentity, _selected: bool) -> bool:
    return after == before


def _is_renamed(after: ResourceIdentity, before: ResourceIdentity, selected: bool) -> bool:
    return selected and after.membership == before.membership


def _is_filtered(after: ResourceIdentity, before: ResourceIdentity, _selected: bool) -> bool:
    return after.key == before.key


def _is_both(_after: ResourceIdentity, _before: ResourceIdentity, selected: bool) -> bool:
    return selected


def _is_back(after: ResourceIdentity, before: ResourceIdentity, _selected: bool) -> bool:
    return after.membership == before.membership
