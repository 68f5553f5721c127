"""Databases that fail and recover: disks, servers, power."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import pathlib
import shutil
import signal
import subprocess
import time
import typing as t

import sqlalchemy as sa

from tests.proxy import Proxy
from tests.servers import Postgresql, UnavailableError


@dataclasses.dataclass(frozen=True)
class FailingDatabase:
    """A database with a failure that begins and ends."""

    #: Of an empty database.
    url: str
    begin: cabc.Callable[[], None]
    end: cabc.Callable[[], None]


def _mount(*words: str | pathlib.Path) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True)
    if done.returncode:
        raise UnavailableError(f"nothing may be mounted here: {done.stderr.strip()}")


def _unmount(path: pathlib.Path) -> None:
    # What is open there is closed first; a process that was just killed may still hold it.
    subprocess.run(["umount", "-l", path], check=True)


@contextlib.contextmanager
def small_disk(folder: pathlib.Path, megabytes: int) -> cabc.Iterator[pathlib.Path]:
    """Mount a disk of this size.

    :raises UnavailableError: mounting is not allowed.
    """
    disk = folder / "disk"
    disk.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "none", disk)
    try:
        yield disk
    finally:
        _unmount(disk)


class _Ballast:
    """A file that fills a disk."""

    def __init__(self, disk: pathlib.Path) -> None:
        self._path = disk / "ballast"

    def fill(self) -> None:
        with contextlib.suppress(OSError), self._path.open("wb", buffering=0) as file:
            for size in (2**20, 2**12):
                with contextlib.suppress(OSError):
                    while file.write(b"\0" * size) == size:
                        pass

    def empty(self) -> None:
        self._path.unlink()


@contextlib.contextmanager
def full_sqlite(folder: pathlib.Path) -> cabc.Iterator[FailingDatabase]:
    """Create a SQLite file on a disk that becomes full."""
    with small_disk(folder, 24) as disk:
        ballast = _Ballast(disk)
        yield FailingDatabase(f"sqlite:///{disk}/chaos.sqlite3", ballast.fill, ballast.empty)


@contextlib.contextmanager
def full_postgresql(
    folder: pathlib.Path, *, log_too: bool = False
) -> cabc.Iterator[FailingDatabase]:
    """Start a PostgreSQL whose disk becomes full.

    :param log_too: its write-ahead log is on the disk, too: without space for that the server ends,
        and its supervisor has to start it again.
    """
    with small_disk(folder, 128) as disk:
        ballast = _Ballast(disk)
        folder.chmod(0o755)  # The server runs as a user of its own.
        words = ["--wal-segsize=1"]
        if not log_too:
            log = folder / "postgresql-log"
            words.append(f"--waldir={log}")
            log.mkdir()
            shutil.chown(log, "postgres", "postgres")
        settings = ("min_wal_size=2MB", "max_wal_size=8MB", "autovacuum=off")
        server = Postgresql(disk / "postgresql", *words, settings=settings)
        server.start()

        def end() -> None:
            ballast.empty()
            time.sleep(1.0)
            if not server.alive:
                server.stop()
                server.start()

        try:
            yield FailingDatabase(server.url, ballast.fill, end)
        finally:
            server.stop(signal.SIGQUIT)


@contextlib.contextmanager
def postgresql(folder: pathlib.Path, how: signal.Signals) -> cabc.Iterator[FailingDatabase]:
    """Start a PostgreSQL that is stopped and started again.

    :param how: ``SIGINT`` stops it as for a restart, ``SIGQUIT`` as a crash does.
    """
    server = Postgresql(folder / "postgresql")
    server.start()
    try:
        yield FailingDatabase(server.url, lambda: server.stop(how), server.start)
    finally:
        server.stop()


@contextlib.contextmanager
def readonly_postgresql(folder: pathlib.Path) -> cabc.Iterator[FailingDatabase]:
    """Start a PostgreSQL that becomes read-only."""
    server = Postgresql(folder / "postgresql")
    server.start()

    def readonly(value: str) -> None:
        server.reload(f"default_transaction_read_only = {value}")

    try:
        yield FailingDatabase(server.url, lambda: readonly("on"), lambda: readonly("off"))
    finally:
        server.stop()


@contextlib.contextmanager
def failing_over(folder: pathlib.Path) -> cabc.Iterator[FailingDatabase]:
    """Start a PostgreSQL that dies, and its synchronous standby, which is promoted.

    All open connections are dead then, and another server answers.
    """
    first = Postgresql(folder / "first")
    first.start()
    second = Postgresql(folder / "second", replica_of=first)
    second.start()
    first.reload("synchronous_standby_names = '*'")

    def end() -> None:
        second.execute("SELECT pg_promote()")
        proxy.target = second.port

    with Proxy(first.port) as proxy:
        url = sa.make_url(first.url).set(port=proxy.port)
        try:
            yield FailingDatabase(
                url.render_as_string(hide_password=False), lambda: first.stop(signal.SIGQUIT), end
            )
        finally:
            first.stop(signal.SIGQUIT)
            second.stop(signal.SIGQUIT)


class Image:
    """A disk whose power can be cut, which loses what was not synchronised.

    A copy of the disk's image, taken while it is mounted, is what a power cut leaves: pages that
    only the operating system holds are not in it.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._image, self._left = folder / "image", folder / "left"
        self.path = folder / "mounted"

    def __enter__(self) -> t.Self:
        self.path.mkdir()
        with self._image.open("wb") as file:
            file.truncate(64 * 2**20)
        mkfs = shutil.which("mkfs.ext4") or shutil.which("mkfs.ext4", path="/usr/sbin:/sbin")
        if mkfs is None:
            raise UnavailableError("nothing may be mounted here: there is no mkfs.ext4")
        subprocess.run([mkfs, "-q", self._image], check=True)
        self._mount()
        return self

    def __exit__(self, *exc_info: object) -> None:
        _unmount(self.path)

    def _mount(self) -> None:
        # The file system's journal is not written at intervals either.
        _mount("-o", "loop,commit=3600", self._image, self.path)

    def cut(self) -> None:
        """Cut the power; closing files after that changes nothing."""
        shutil.copy(self._image, self._left)

    def restore(self) -> None:
        """Switch it on again; no process may have a file open."""
        _unmount(self.path)
        self._left.rename(self._image)
        self._mount()
