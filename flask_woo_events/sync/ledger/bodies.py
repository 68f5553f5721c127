"""Bodies: what the ledger keeps of the content of its objects, to say what changes."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import functools
import typing as t
import zlib

import orjson
import sqlalchemy as sa
from sqlalchemy import orm

from ...db.models import ObjectBody
from ...events import changes
from ...events.changes import Changes
from ...values import hidden_fields
from ...values.field_paths import top_level
from ...woocommerce import endpoints
from ..cursor import Stream
from . import compression, digest
from .digest import Content
from .lookup import Known, in_chunks

Body = cabc.Mapping[str, t.Any]

#: ``Object.body_fields`` of an object whose fields are all kept.
ALL = 0
#: The same of an object that is too large to be kept.
TOO_LARGE = -1
#: Bytes of JSON of the largest object that is kept.
MOST_BYTES = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class KeptFields:
    """The top-level fields whose values are kept of a resource's objects."""

    #: ``None``: all of them.
    names: frozenset[str] | None

    @property
    def mark(self) -> int | None:
        """``Object.body_fields`` of an object that is kept; ``None`` if nothing is kept."""
        if self.names is None:
            return ALL
        return 1 + zlib.crc32(",".join(sorted(self.names)).encode()) if self.names else None

    def json_of(self, body: Body, content: Content) -> bytes:
        """Return what is kept of an object.

        :param content: of the body, by the current function.
        """
        if self.names is None:
            return content.data
        kept = digest.current().kept(body)
        some = {name: kept[name] for name in self.names & kept.keys()}
        return orjson.dumps([sorted(self.names), some], option=orjson.OPT_SORT_KEYS)


def kept_fields(stream: Stream) -> KeptFields:
    """Return what is kept of a resource's objects."""
    if stream.keeps_bodies:
        return KeptFields(None)
    return KeptFields(frozenset(map(top_level, stream.watched)))


def is_known(before: Known) -> bool:
    """Return whether a body belongs to a row's content."""
    has_row = before.body_fields is not None and before.body_fields != TOO_LARGE
    return has_row and before.body_revision == before.revision


def is_kept(before: Known, mark: int | None) -> bool:
    """Return whether of an object is kept what is to be kept; otherwise it is read once more.

    :param mark: of what is to be kept.
    """
    if before.body_fields is None or mark is None:
        return before.body_fields is mark
    return before.body_revision == before.revision and before.body_fields in (mark, TOO_LARGE)


class BodyWriter:
    """The bodies of one batch, written with the rows of its objects."""

    def __init__(self, stream: Stream) -> None:
        self._poller_id = stream.poller_id
        self._kept = kept_fields(stream)
        #: What is to be kept of each object; see ``KeptFields.mark``.
        self.mark = self._kept.mark
        self._dictionary = _dictionary_for(stream.configuration.url)
        self._rows: list[dict[str, t.Any]] = []
        self._replaced: list[str] = []

    def columns(
        self,
        object_id: str,
        body: Body | None,
        content: Content,
        revision: int,
        before: Known | None,
    ) -> dict[str, int | None]:
        """Keep an object's body; return the columns of its row that say so.

        :param body: ``None``: the object is gone, or the database does not take its body.
        :param content: of the body, by the current function.
        :param revision: of the row.
        """
        if before is not None and before.body_fields is not None:
            self._replaced.append(object_id)
        if self.mark is None or content is digest.NOTHING:
            return {"body_revision": None, "body_fields": None}
        data = b"" if body is None else self._kept.json_of(body, content)
        if body is None or len(data) > MOST_BYTES:
            return {"body_revision": revision, "body_fields": TOO_LARGE}
        self._rows.append(
            {
                "poller_id": self._poller_id,
                "object_id": object_id,
                "dictionary": self._dictionary,
                "data": compression.compress(data, self._dictionary),
            }
        )
        return {"body_revision": revision, "body_fields": self.mark}

    def write(self, session: orm.Session) -> None:
        """Write the bodies in place of those before."""
        for ids in in_chunks(self._replaced):
            session.execute(_DELETE, {"its_poller_id": self._poller_id, "object_ids": list(ids)})
        if self._rows:
            session.connection().execute(_INSERT, self._rows)


class Updated(t.NamedTuple):
    """An object that has changed."""

    body: Body
    #: Of the body, by the current function.
    content: Content
    #: The top-level fields that differ.
    fields: frozenset[str]
    #: It belongs to a person who was erased; the body before may still have their data.
    erased: bool = False


def compare(
    session: orm.Session, stream: Stream, updated: cabc.Mapping[str, Updated]
) -> dict[str, Changes]:
    """Return what changed in objects whose body before is known, by id."""
    found: dict[str, Changes] = {}
    for ids in in_chunks(list(updated)):
        rows = session.execute(_SELECT, {"poller_id": stream.poller_id, "object_ids": list(ids)})
        for object_id, dictionary, data in rows:
            plain = compression.decompress(data, dictionary)
            if plain is not None:
                found[object_id] = _between(orjson.loads(plain), updated[object_id], stream)
    # What is only in fields that are not kept, or ignored, is not known.
    return {object_id: one for object_id, one in found.items() if one.values or one.truncated}


def _between(kept: t.Any, updated: Updated, stream: Stream) -> Changes:
    # Cheaper than to find what counts of the body once more.
    after = orjson.loads(updated.content.data)
    if isinstance(kept, list):
        names, before = kept
        after = {name: after[name] for name in after.keys() & set(names)}
    else:
        before = kept
    stored = stream.stored if stream.stored is not None and stream.stored.has_rules else None
    if stored is not None:
        before = stored.before(before, erased=updated.erased)
    fields = updated.fields
    # Fields that the row's function or the present one leaves out are no change; what vanished is
    # named by the body before alone.
    gone = before.keys() - updated.body.keys() - stream.ignored
    found = changes.between(
        {name: value for name, value in before.items() if name in fields or name in gone},
        {name: value for name, value in after.items() if name in fields},
        unordered=digest.UNORDERED_PATHS,
        watched=stream.watched,
    )
    return found if stored is None else _without_hidden(found)


def _without_hidden(found: Changes) -> Changes:
    """Return changes in which the values of hidden fields are as those that are too long."""
    values: dict[str, t.Any] = {}
    for path, value in found.values.items():
        shown = hidden_fields.shown_path(path)
        # Several elements may have no name any more.
        is_hidden = shown != path or hidden_fields.holds(value)
        values[shown] = {} if is_hidden else value
    return dataclasses.replace(found, values=values)


@functools.lru_cache(maxsize=256)
def _dictionary_for(url: str) -> int:
    return compression.number_for(endpoints.resolve(url).hub_name)


# Without the mapper, which costs more than the database does.
_TABLE = t.cast(sa.Table, ObjectBody.__table__)
_INSERT = sa.insert(_TABLE)
_DELETE = sa.delete(_TABLE).where(
    _TABLE.c.poller_id == sa.bindparam("its_poller_id"),
    _TABLE.c.object_id.in_(sa.bindparam("object_ids", expanding=True)),
)
_SELECT = sa.select(_TABLE.c.object_id, _TABLE.c.dictionary, _TABLE.c.data).where(
    _TABLE.c.poller_id == sa.bindparam("poller_id"),
    _TABLE.c.object_id.in_(sa.bindparam("object_ids", expanding=True)),
)
