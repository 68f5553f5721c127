"""The state file: what a worker last knew of its database, kept outside of the database."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import threading
import urllib.parse

import sqlalchemy as sa

from .engines import is_in_memory
from .epochs import MOST, DatabaseSigns

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LastKnown:
    """What a worker knew of the database."""

    #: Number and token of the epoch.
    number: int
    token: str
    #: Id and ``eventId`` of a notification; 0 and empty if there was none.
    notification: int = 0
    event_id: str = ""

    def sign(self, found: DatabaseSigns) -> str | None:
        """Return what shows that the database is an older one, or ``None``."""
        epoch = found.epoch
        if self.number > epoch.number:
            return f"it is in epoch {epoch.number}, and a worker knew epoch {self.number}"
        if self.number < epoch.number:
            return None
        if self.token != epoch.token:
            return f"a worker knew another epoch {epoch.number}, with the id {self.token}"
        if not found.reaches:
            return f"it has not assigned the id of notification {self.notification}, which was sent"
        if self.event_id and found.event_id not in (None, self.event_id):
            return f"its notification {self.notification} is another one than was sent"
        return None

    @classmethod
    def of(cls, found: DatabaseSigns) -> LastKnown:
        """Return what is known after a look at the database."""
        return cls(
            number=found.epoch.number,
            token=found.epoch.token,
            notification=found.newest,
            event_id=found.newest_event_id,
        )

    @property
    def order(self) -> tuple[int, int]:
        """A later state has a greater one."""
        return self.number, self.notification


class StateFile:
    """Keeps the last known state of a database in memory, and in a file.

    A file that cannot be read or written is reported once.

    :param path: ``None`` to keep it in memory only.
    """

    def __init__(self, path: pathlib.Path | None) -> None:
        self.path = path
        self._known: LastKnown | None = None
        #: What this process has written, or found written.
        self._written: LastKnown | None = None
        self._is_read = False
        self._warned = False
        self._lock = threading.Lock()

    @property
    def known(self) -> LastKnown | None:
        """The last known state; ``None`` if there is none."""
        with self._lock:
            if not self._is_read:
                self._known, self._is_read = self._read(), True
            return self._known

    def keep(self, state: LastKnown) -> None:
        """Keep a state, unless a later one is kept already."""
        with self._lock:
            if self._known is None or state.order > self._known.order:
                self._known = state
            if self._written != self._known:
                self._write(self._known)

    def _read(self) -> LastKnown | None:
        if self.path is None:
            return None
        try:
            return _parse(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            self._warn("read", exc)
            return None

    def _write(self, state: LastKnown) -> None:
        if self.path is None:
            return
        # Other processes write it, too.
        with contextlib.suppress(OSError, ValueError):
            written = _parse(self.path.read_bytes())
            if written == state or written.order > state.order:
                self._written = state
                return
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps(dataclasses.asdict(state)) + "\n", "utf-8")
            beside.replace(self.path)
            self._written = state
        except OSError as exc:
            self._warn("written", exc)

    def _warn(self, done: str, exc: Exception) -> None:
        if not self._warned:
            self._warned = True
            _log.warning(
                "%s cannot be %s: %s. A restored database is then not noticed: run "
                "flask woo db restored after a restore, or set WOO_EVENTS_STATE_FOLDER",
                self.path, done, exc, extra={"action": "epoch"},
            )  # fmt: skip


def _parse(data: bytes) -> LastKnown:
    """Return the state that a file holds.

    :raises ValueError: it is not one.
    """
    kept = json.loads(data)
    names = {field.name: int if field.type == "int" else str for field in _FIELDS}
    if not isinstance(kept, dict) or kept.keys() != names.keys():
        raise ValueError("it is not a state file")
    if not all(type(kept[name]) is kind for name, kind in names.items()):
        raise ValueError("a value has the wrong type")
    state = LastKnown(**kept)
    if not 0 <= state.number <= MOST or state.notification < 0:
        raise ValueError("a number is out of range")
    return state


_FIELDS = dataclasses.fields(LastKnown)


def path_of(url: sa.URL, folder: str | None, instance_folder: str | None) -> pathlib.Path | None:
    """Return the path of a database's state file, or ``None`` if there is no place for it.

    :param folder: ``WOO_EVENTS_STATE_FOLDER``.
    :param instance_folder: the application's, for databases of servers.
    """
    is_file = url.get_backend_name() == "sqlite"
    if is_file and is_in_memory(url):
        return None
    name = url.database or ""
    file = pathlib.Path(urllib.parse.urlsplit(name).path if name.startswith("file:") else name)
    if is_file and folder is None:
        return file.with_name(f"{file.name}-woo.json")
    if (chosen := folder or instance_folder) is None:
        return None
    place = str(file.absolute()) if is_file else url.set(password=None).render_as_string()
    digest = hashlib.sha256(place.encode()).hexdigest()
    return pathlib.Path(chosen, f"woo-{digest[:12]}.json")
