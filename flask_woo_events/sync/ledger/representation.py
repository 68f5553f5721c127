"""Representation: differences that are no change of the object, only of how it is shown."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import re
import typing as t

from ...errors import DatePatternError
from ...values.time_zones import parse_zone
from . import digest
from .digest import Content
from .lookup import Known
from .observation import Observation

#: How long an upgrade of WooCommerce explains fields of rows that do not hold the store's version.
UPGRADE_EXPLAINS = dt.timedelta(days=7)
#: A date as WooCommerce's REST API shows it. Those in ``meta_data`` have a space, and never move.
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")

Body = cabc.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True, slots=True)
class StoreState:
    """What of a store decides how it shows its objects; empty if unknown."""

    #: The version of WooCommerce.
    version: str = ""
    #: The site's time zone: a name, or an offset such as ``+05:30``.
    zone: str = ""
    #: When the store was first seen with its present version, by the store's clock, if that is
    #: not its first.
    upgraded_at: dt.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class FieldDifferences:
    """How the fields of a representation differ from a row of the ledger."""

    #: Checksums of the names that only one of them has.
    one_sided: frozenset[int] = frozenset()
    #: Checksums of the values that differ, as the ledger has them, by field.
    changed: cabc.Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Suspects:
    """What of the store would explain how some objects differ, if it has changed."""

    version: bool = False
    zone: bool = False


def is_current(before: Known, store: StoreState) -> bool:
    """Return whether a row was written with the current function, in the store's present state."""
    return (
        before.digest_version == digest.CURRENT
        and before.described
        and store.version in ("", before.store_version)
        and store.zone in ("", before.store_zone)
    )


def is_outdated(before: Known, store: StoreState) -> bool:
    """Return whether a row is to be rewritten; a row of a newer release is not."""
    return function_of(before) is not None and not is_current(before, store)


def described(store: StoreState, revision: int) -> dict[str, t.Any]:
    """Return the columns of a row that say how its content was read."""
    return {
        "digest_version": digest.CURRENT,
        "store_version": store.version,
        "store_zone": store.zone,
        "described_revision": revision,
    }


def described_again(store: StoreState, before: Known) -> dict[str, t.Any]:
    """Return these columns for a row whose content is the same; what is unknown now is kept."""
    if before.described:
        store = dataclasses.replace(
            store,
            version=store.version or before.store_version,
            zone=store.zone or before.store_zone,
        )
    return described(store, before.revision)


def function_of(before: Known) -> digest.DigestFunction | None:
    """Return the function that a row was written with; ``None`` if only a newer release has it."""
    return digest.FUNCTIONS.get(before.digest_version if before.described else digest.FIRST)


def agrees(before: Known, body: Body, ignored: cabc.Set[str] = frozenset()) -> bool:
    """Return whether a live row has the content of a representation.

    :param ignored: fields that may differ.
    """
    function = function_of(before)
    if function is not None:
        if before.digest == function.digest(body):
            return True
        return bool(ignored) and _differs_only_in(ignored, before, function.content(body))
    # What the newer function counts is unknown, so only fields that are in both are compared.
    old, new = digest.checksums(before.fields), digest.checksums(digest.content_of(body).fields)
    both = old.keys() & new.keys()
    return bool(both) and all(old[name] == new[name] for name in both)


def as_before(before: Known, seen: Observation, body: Body) -> Body:
    """Return a body as it would have been stored when a row was written.

    Other fields were hidden then, or a person was not erased yet. If nothing explains all of the
    difference, the rules with the smallest one count.
    """
    function = function_of(before)
    if seen.as_before is tuple or function is None or before.digest == function.digest(body):
        return body
    others = list(seen.as_before())
    for other in others:
        if before.digest == function.digest(other):
            return other
    old = digest.checksums(before.fields).items()
    return min(
        (body, *others),
        key=lambda one: len(old ^ digest.checksums(function.content(one).fields).items()),
    )


def as_written(before: Known, seen: Observation, body: Body, content: Content) -> Content:
    """Return the content of a body by the rules and the function that a row was written with.

    :param content: of the body, by the present ones.
    """
    known = as_before(before, seen, body)
    return comparable(before, known, content if known is body else digest.content_of(known))


def _differs_only_in(ignored: cabc.Set[str], before: Known, content: Content) -> bool:
    """Return whether some fields alone explain that a row disagrees.

    The row keeps their last values: a field that is no longer ignored is a change if it differs.
    """
    old, new = digest.checksums(before.fields), digest.checksums(content.fields)
    differing = {name for name, _ in old.items() ^ new.items()}
    return bool(differing) and differing <= set(map(digest.checksum_of_name, ignored))


def comparable(before: Known, body: Body, content: Content) -> Content:
    """Return the content of a representation by the function that a row was written with.

    :param content: by the current function.
    """
    function = function_of(before)
    if function is None or function is digest.current():
        return content
    return function.content(body)


def differences(before: Known, body: Body, content: Content) -> FieldDifferences | None:
    """Compare the fields of a representation with those of a live row that disagrees.

    :param content: of the representation, by the row's function.
    :return: ``None`` if they have no field in common, or if no field explains the disagreement.
    """
    old, new = digest.checksums(before.fields), digest.checksums(content.fields)
    differing = {name for name, _ in old.items() ^ new.items()}
    if not differing or old.keys().isdisjoint(new):
        return None
    if function_of(before) is not digest.current():
        differing -= _not_counted(body)
    changed = differing & old.keys() & new.keys()
    return FieldDifferences(
        frozenset(differing - changed),
        {name: old[key] for name in body if (key := digest.checksum_of_name(name)) in changed},
    )


def _not_counted(body: Body) -> set[int]:
    """Return the checksums of the names that the current function leaves out."""
    function = digest.current()
    names = function.volatile | (body.keys() - function.kept(body).keys())
    return {digest.checksum_of_name(name) for name in names}


def explains(
    store: StoreState, before: Known, body: Body, content: Content, seen_at: dt.datetime
) -> bool:
    """Return whether a live row and an object differ only by how the object is shown.

    Reasons are the store's new version, its new time zone, and a new function of ours. An object
    that was read in the present version has no such excuse: a field that appears in it is a change.

    :param content: by the current function.
    :param seen_at: when it was read, by the store's clock.
    """
    upgraded = _was_upgraded(store, before, seen_at)
    moved = before.described and bool(store.zone) and store.zone != before.store_zone
    if not upgraded and not moved and function_of(before) is digest.current():
        return False
    found = differences(before, body, comparable(before, body, content))
    if found is None or (found.one_sided and not upgraded):
        return False
    return not found.changed or (moved and _has_moved(store, before, found.changed, body))


def _was_upgraded(store: StoreState, before: Known, seen_at: dt.datetime) -> bool:
    if before.described and before.store_version:
        return store.version not in ("", before.store_version)
    at = store.upgraded_at
    return at is not None and before.seen_at < at and seen_at - at < UPGRADE_EXPLAINS


def _has_moved(
    store: StoreState, before: Known, changed: cabc.Mapping[str, int], body: Body
) -> bool:
    """Return whether fields differ by local dates alone that show the same time in a new zone."""
    try:
        old, new = parse_zone(before.store_zone), parse_zone(store.zone)
    except DatePatternError:
        return False

    function = function_of(before) or digest.current()

    def as_before(name: str, fold: int) -> t.Any:
        shown = _with_dates(body[name], lambda text: _converted(text, new, old, fold))
        return function.kept({name: shown}).get(name)

    # An hour that daylight saving time repeats has two meanings.
    return all(
        any(digest.checksum_of_value(as_before(name, fold)) == known for fold in (0, 1))
        for name, known in changed.items()
    )


def suspects(before: cabc.Mapping[str, Known], seen: cabc.Iterable[Observation]) -> Suspects:
    """Return what would explain how objects differ from their rows, if it changed."""
    version = zone = False
    for one in seen:
        if version and zone:
            break
        row = before.get(one.object_id)
        if row is None or not row.live or one.body is None or _was_modified(row, one, one.body):
            continue
        found = differences(row, one.body, comparable(row, one.body, digest.content_of(one.body)))
        if found is not None and _hold_dates(found.changed, one.body):
            version, zone = version or bool(found.one_sided), zone or bool(found.changed)
    return Suspects(version, zone)


def _was_modified(before: Known, seen: Observation, body: Body) -> bool:
    """Return whether a date in UTC shows that the object changed."""
    return before.modified_at != seen.modified_at and bool(body.get("date_modified_gmt"))


def _hold_dates(names: cabc.Iterable[str], body: Body) -> bool:
    """Return whether all of these fields hold local dates, as after a change of the zone."""
    return all(
        not name.endswith("_gmt") and _with_dates(body[name], lambda _: "") != body[name]
        for name in names
    )


def shows_zone(store: StoreState, bodies: cabc.Iterable[Body]) -> bool | None:
    """Return whether a date that is shown twice, local and in UTC, fits the store's known zone.

    :return: ``None`` if no date is shown twice, or the zone is unknown.
    """
    try:
        zone = parse_zone(store.zone)
    except DatePatternError:
        return None
    for body in bodies:
        shown, utc = body.get("date_modified"), body.get("date_modified_gmt")
        if _is_date(shown) and _is_date(utc):
            return _converted(str(utc), dt.UTC, zone) == shown
    return None


def _is_date(value: object) -> bool:
    return isinstance(value, str) and _DATE.fullmatch(value) is not None


def _converted(text: str, zone: dt.tzinfo, to: dt.tzinfo, fold: int = 0) -> str:
    """Return a local date of one zone in another, and what is no date as it is."""
    try:
        date = dt.datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)
        return date.astimezone(to).replace(tzinfo=None).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        return text


def _with_dates(value: t.Any, change: cabc.Callable[[str], str]) -> t.Any:
    """Return a value with each local date in it changed; those named ``*_gmt`` are not local."""
    if isinstance(value, str):
        return change(value) if _is_date(value) else value
    if isinstance(value, dict):
        return {
            name: one if name.endswith("_gmt") else _with_dates(one, change)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [_with_dates(one, change) for one in value]
    return value
