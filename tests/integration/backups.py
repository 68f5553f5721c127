"""Backups of a database of each kind, made and restored by the tools that operators use."""

from __future__ import annotations

import pathlib
import shutil
import sqlite3
import subprocess

import sqlalchemy as sa

from tests.servers import UnavailableError


def back_up(url: str, file: pathlib.Path) -> None:
    """Write a backup of a database to a file."""
    target = sa.make_url(url)
    if target.get_backend_name() == "sqlite":
        with sqlite3.connect(_path(target)) as source, sqlite3.connect(file) as copy:
            source.backup(copy)
        source.close()
        copy.close()
    elif target.get_backend_name() == "postgresql":
        _run("pg_dump", "--format=custom", f"--file={file}", _libpq(target))
    else:
        _run("mariadb-dump", *_mariadb(target), f"--result-file={file}")


def restore(url: str, file: pathlib.Path) -> None:
    """Replace a database, which no process uses, by a backup."""
    target = sa.make_url(url)
    if target.get_backend_name() == "sqlite":
        path = _path(target)
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        shutil.copy(file, path)
    elif target.get_backend_name() == "postgresql":
        _run("pg_restore", "--clean", f"--dbname={_libpq(target)}", str(file))
    else:
        _run("mariadb", *_mariadb(target), stdin=file)


def _path(url: sa.URL) -> pathlib.Path:
    return pathlib.Path(str(url.database))


def _libpq(url: sa.URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _mariadb(url: sa.URL) -> list[str]:
    return [
        "--no-defaults", f"--host={url.host}", f"--port={url.port}", f"--user={url.username}",
        str(url.database),
    ]  # fmt: skip


def _run(program: str, *options: str, stdin: pathlib.Path | None = None) -> None:
    found = shutil.which(program)
    if found is None:
        raise UnavailableError(f"{program} is not installed")
    data = None if stdin is None else stdin.read_bytes()
    done = subprocess.run([found, *options], input=data, capture_output=True)
    assert done.returncode == 0, done.stderr
