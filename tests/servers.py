"""Database servers for the tests: real ones, in temporary folders, on sockets of their own."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import glob
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import time

import sqlalchemy as sa

#: How long a server may take to answer, seconds.
START_SECONDS = 60.0


class Missing(Exception):
    """The server is not installed on this machine."""


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _owned_by(user: str, folder: pathlib.Path) -> dict[str, str | int]:
    """Run as this user where we are root: neither server likes to be run by root."""
    if os.getuid() != 0:
        return {}
    entry = pwd.getpwnam(user)
    folder.parent.chmod(0o755)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid}


def _environment(folder: pathlib.Path) -> dict[str, str]:
    """Ours, with a folder for temporary files that the server may write to."""
    return {**os.environ, "TMPDIR": str(folder)}


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            with engine.connect():
                return
        except sa.exc.OperationalError:
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.1)


@contextlib.contextmanager
def postgresql(folder: pathlib.Path) -> cabc.Iterator[str]:
    """A PostgreSQL server; yields the URL of an empty database."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    initdb = found[-1] if found else shutil.which("initdb")
    if initdb is None:
        raise Missing("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    folder.mkdir()
    who = _owned_by("postgres", folder)
    port = _free_port()
    data = folder / "data"
    subprocess.run(
        [initdb, "-D", data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8"],
        check=True,
        capture_output=True,
        cwd=folder,
        env=_environment(folder),
        **who,  # type: ignore[call-overload]
    )
    process = subprocess.Popen(
        [
            pathlib.Path(initdb).with_name("postgres"),
            "-D",
            data,
            "-p",
            str(port),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            f"unix_socket_directories={folder}",
            "-c",
            "fsync=off",
            "-c",
            "max_connections=200",
        ],
        cwd=folder,
        env=_environment(folder),
        stderr=subprocess.DEVNULL,
        **who,  # type: ignore[call-overload]
    )
    url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    try:
        _wait_until_it_answers(url, process)
        yield url
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def mariadb(folder: pathlib.Path) -> cabc.Iterator[str]:
    """A MariaDB server; yields the URL of an empty database."""
    server = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")
    install = shutil.which("mariadb-install-db")
    if server is None or install is None:
        raise Missing("MariaDB is not installed (Debian: apt-get install mariadb-server)")
    folder.mkdir()
    who = _owned_by("mysql", folder)
    port = _free_port()
    data = folder / "data"
    subprocess.run(
        [
            install,
            "--no-defaults",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ],
        check=True,
        capture_output=True,
        cwd=folder,
        env=_environment(folder),
        **who,  # type: ignore[call-overload]
    )
    process = subprocess.Popen(
        [
            server,
            "--no-defaults",
            f"--datadir={data}",
            f"--port={port}",
            "--bind-address=127.0.0.1",
            f"--socket={folder}/s",
            "--innodb-flush-log-at-trx-commit=0",
            f"--pid-file={folder}/pid",
            "--max-connections=200",
        ],
        cwd=folder,
        env=_environment(folder),
        stderr=subprocess.DEVNULL,
        **who,  # type: ignore[call-overload]
    )
    root = f"mysql+pymysql://root@127.0.0.1:{port}"
    try:
        _wait_until_it_answers(f"{root}/mysql", process)
        engine = sa.create_engine(f"{root}/mysql", poolclass=sa.pool.NullPool)
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE DATABASE woo CHARACTER SET utf8mb4"))
        yield f"{root}/woo?charset=utf8mb4"
    finally:
        process.terminate()
        process.wait()
