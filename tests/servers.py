"""Servers for the tests: databases and brokers in temporary folders, on free ports."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import glob
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import time
import typing as t

import pytest
import sqlalchemy as sa

from tests.ports import reserve_port

#: Time-out for the start of a server, seconds.
START_SECONDS = 60.0


Server = t.TypeVar("Server")


class UnavailableError(Exception):
    """The server is not installed, or this machine does not allow what a test needs."""


def require(create: cabc.Callable[[], Server]) -> Server:
    """Create a server, or skip the test where it is unavailable; in CI that is an error."""
    try:
        return create()
    except UnavailableError as exc:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(exc))


def _owned_by(user: str, folder: pathlib.Path) -> dict[str, str | int]:
    """Give a folder to a user where we are root, as root may not run these servers.

    :return: the arguments for ``subprocess``.
    """
    if os.getuid() != 0:
        return {}
    account = pwd.getpwnam(user)
    # Only more than before: the parent may be a folder of everybody, such as /tmp.
    folder.parent.chmod(folder.parent.stat().st_mode | 0o755)
    os.chown(folder, account.pw_uid, account.pw_gid)
    return {"user": account.pw_uid, "group": account.pw_gid}


def _environment(folder: pathlib.Path) -> dict[str, str]:
    """Return our environment with a folder for temporary files that the server may write to."""
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


class Postgresql:
    """A PostgreSQL server that can be stopped and started again.

    :param options: for ``initdb``.
    :param replica_of: the server that this one replicates until it is promoted.
    :param settings: further server settings, ``name=value``.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *options: str,
        replica_of: Postgresql | None = None,
        settings: cabc.Sequence[str] = (),
    ) -> None:
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
        initdb = found[-1] if found else shutil.which("initdb")
        if initdb is None:
            raise UnavailableError(
                "PostgreSQL is not installed (Debian: apt-get install postgresql)"
            )
        folder.mkdir(exist_ok=True)
        self._folder, self._data = folder, folder / "data"
        self._run_as = _owned_by("postgres", folder)
        self._programs = pathlib.Path(initdb).parent
        self._settings = settings
        self.port = reserve_port()
        self._process: subprocess.Popen[bytes] | None = None
        #: URL of an empty database.
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"
        if replica_of is None:
            self._run(
                "initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8",
                *options,
            )  # fmt: skip
        else:
            source = ("-h", "127.0.0.1", "-p", str(replica_of.port), "-U", "postgres")
            self._run("pg_basebackup", "-D", self._data, *source, "-R", "-c", "fast")

    def _run(self, program: str, *options: str | pathlib.Path) -> None:
        subprocess.run(
            [self._programs / program, *options],
            check=True,
            capture_output=True,
            cwd=self._folder,
            env=_environment(self._folder),
            **self._run_as,  # type: ignore[call-overload]
        )

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        settings = (
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={self._folder}",
            "fsync=off",
            "max_connections=200",
            *self._settings,
        )
        options = [option for setting in settings for option in ("-c", setting)]
        self._process = subprocess.Popen(
            [self._programs / "postgres", "-D", self._data, "-p", str(self.port), *options],
            cwd=self._folder,
            env=_environment(self._folder),
            stderr=subprocess.DEVNULL,
            **self._run_as,  # type: ignore[call-overload]
        )
        _wait_until_it_answers(self.url, self._process)

    def execute(self, statement: str) -> None:
        """Execute a statement outside of a transaction, also while the server is read-only."""
        engine = sa.create_engine(self.url, poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.exec_driver_sql("SET default_transaction_read_only = off")
            connection.exec_driver_sql(statement)

    def reload(self, setting: str) -> None:
        """Change a setting, and return when it is in effect.

        :param setting: ``name = value``.
        """
        name = setting.partition(" = ")[0]
        before = self._show(name)
        self.execute(f"ALTER SYSTEM SET {setting}")
        self.execute("SELECT pg_reload_conf()")
        # The server reads its settings a moment later, and signals every open connection before
        # it accepts a new one.
        while self._show(name) == before:
            time.sleep(0.01)

    def _show(self, name: str) -> str:
        engine = sa.create_engine(self.url, poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            return str(connection.exec_driver_sql(f"SHOW {name}").scalar_one())

    @property
    def alive(self) -> bool:
        """Whether the server still runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self, signal_number: int = signal.SIGINT) -> None:
        """Stop the server and cut its connections."""
        if self._process is not None:
            self._process.send_signal(signal_number)
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def postgresql(folder: pathlib.Path, *, settings: cabc.Sequence[str] = ()) -> cabc.Iterator[str]:
    """Run a PostgreSQL server, and yield the URL of an empty database.

    :param settings: further server settings, ``name=value``.
    """
    server = Postgresql(folder, settings=settings)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


def _version(program: str) -> tuple[int, ...]:
    words = subprocess.run([program, "--version"], check=True, capture_output=True, text=True)
    return tuple(int(one) for one in words.stdout.split()[1].split("."))


class Pgbouncer:
    """A PgBouncer in transaction mode in front of a PostgreSQL server.

    Each transaction may get another session of the server; two of them serve all clients.

    :param target: port of the server.
    """

    def __init__(self, folder: pathlib.Path, target: int) -> None:
        program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
        if program is None:
            raise UnavailableError("PgBouncer is not installed (Debian: apt-get install pgbouncer)")
        folder.mkdir()
        port = reserve_port()
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": "transaction",
            "default_pool_size": 2,
            # Each transaction gets the session that has been idle for longest.
            "server_round_robin": 1,
            "ignore_startup_parameters": "extra_float_digits,options",
        }
        if _version(program) >= (1, 21):
            settings["max_prepared_statements"] = 0
        lines = [f"{name} = {value}" for name, value in settings.items()]
        target_line = f"postgres = host=127.0.0.1 port={target} user=postgres"
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            "\n".join(["[databases]", target_line, "[pgbouncer]", *lines, ""]), "utf-8"
        )
        self._command = [program, "-q", str(configuration)]
        self._folder = folder
        self._run_as = _owned_by("postgres", folder)
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        self._process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            stderr=subprocess.DEVNULL,
            **self._run_as,  # type: ignore[call-overload]
        )
        _wait_until_it_answers(self.url, self._process)

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Redis:
    """A Redis server without persistence that can be killed and started again."""

    def __init__(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise UnavailableError("Redis is not installed (Debian: apt-get install redis-server)")
        self._program, self._port = program, reserve_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        self._process = subprocess.Popen(
            [self._program, "--port", str(self._port), "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                return
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("Redis did not start")
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill the server, which loses its data."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Rabbitmq:
    """A RabbitMQ server on its own ports that can be killed and started again."""

    def __init__(self, folder: pathlib.Path) -> None:
        program = pathlib.Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
        epmd = shutil.which("epmd")
        if not program.exists() or epmd is None:
            raise UnavailableError(
                "RabbitMQ is not installed (Debian: apt-get install rabbitmq-server)"
            )
        folder.mkdir()
        self._program, self._epmd, self._folder = program, epmd, folder
        self._run_as = _owned_by("rabbitmq", folder)
        self._port, distribution_port, epmd_port = (reserve_port() for _ in range(3))
        variables = {
            "NODENAME": "chaos@localhost",
            "NODE_PORT": self._port,
            "NODE_IP_ADDRESS": "127.0.0.1",
            "DIST_PORT": distribution_port,
            "MNESIA_BASE": folder,
            "LOG_BASE": folder,
            "PID_FILE": folder / "pid",
            "ENABLED_PLUGINS_FILE": folder / "plugins",
            "CONF_ENV_FILE": folder / "environment",
            "CONFIG_FILE": folder / "configuration",
        }
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            **{f"RABBITMQ_{name}": str(value) for name, value in variables.items()},
        }
        self._processes: list[subprocess.Popen[bytes]] = []
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}//"

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        # Otherwise the broker starts an epmd that keeps running after it.
        self._processes = [self._run(self._epmd), self._run(str(self._program))]
        end = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                return
            if self._processes[-1].poll() is not None or time.monotonic() > end:
                raise RuntimeError("RabbitMQ did not start")
            time.sleep(0.1)

    def _run(self, program: str) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = subprocess.Popen(
            [program],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **self._run_as,  # type: ignore[call-overload]
        )
        return process

    def kill(self) -> None:
        """Kill the server."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._processes = []


class Mariadb:
    """A MariaDB server that can be stopped and started again."""

    def __init__(self, folder: pathlib.Path) -> None:
        server = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")
        install = shutil.which("mariadb-install-db")
        if server is None or install is None:
            raise UnavailableError(
                "MariaDB is not installed (Debian: apt-get install mariadb-server)"
            )
        folder.mkdir()
        self._folder = folder
        self._run_as = _owned_by("mysql", folder)
        port = reserve_port()
        self._root = f"mysql+pymysql://root@127.0.0.1:{port}"
        #: URL of an empty database. PyMySQL reads all certificates for each connection otherwise,
        #: which takes 20 ms.
        self.url = f"{self._root}/woo?charset=utf8mb4&ssl_disabled=true"
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
            **self._run_as,  # type: ignore[call-overload]
        )
        self._command = [
            server,
            "--no-defaults",
            f"--datadir={data}",
            f"--port={port}",
            "--bind-address=127.0.0.1",
            f"--socket={folder}/s",
            "--innodb-flush-log-at-trx-commit=0",
            f"--pid-file={folder}/pid",
            "--max-connections=200",
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        self._process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            env=_environment(self._folder),
            stderr=subprocess.DEVNULL,
            **self._run_as,  # type: ignore[call-overload]
        )
        _wait_until_it_answers(f"{self._root}/mysql", self._process)
        engine = sa.create_engine(f"{self._root}/mysql", poolclass=sa.pool.NullPool)
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE DATABASE IF NOT EXISTS woo CHARACTER SET utf8mb4"))

    def stop(self) -> None:
        """Stop the server and cut its connections."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def mariadb(folder: pathlib.Path) -> cabc.Iterator[str]:
    """Run a MariaDB server, and yield the URL of an empty database."""
    server = Mariadb(folder)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()
