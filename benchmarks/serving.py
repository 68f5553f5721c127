"""Servers of the benchmarks: gunicorn, alone or behind nginx, and a callback."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

from tests.ports import reserve_port

_NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 2;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  client_max_body_size 8m; client_header_timeout 10s; client_body_timeout 10s;
  upstream app {{ server 127.0.0.1:{inner}; keepalive 32; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096; keepalive_requests 1000000;
    location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


@contextlib.contextmanager
def gunicorn(
    app: str, uri: str, key: str, *options: str, nginx: bool = False
) -> cabc.Iterator[int]:
    """Serve an application of ``intake_apps`` with two processes; yield the port.

    :param uri: of the database.
    :param key: for ``WOO_EVENTS_ENCRYPTION_KEYS``.
    :param options: of gunicorn, in place of 16 threads.
    """
    port, scratch = (
        reserve_port(),
        pathlib.Path(os.environ.get("TMPDIR", "/tmp")) / f"b{os.getpid()}",
    )
    environment = {
        **os.environ,
        "FLASK_SQLALCHEMY_DATABASE_URI": uri,
        "FLASK_WOO_EVENTS_ENCRYPTION_KEYS": key,
    }
    command = [
        sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "2",
        "--log-level", "error", "--backlog", "4096", *(options or ("--threads", "16")),
        f"benchmarks.intake_apps:{app}()",
    ]  # fmt: skip
    with contextlib.ExitStack() as stack:
        stack.enter_context(_process(command, environment, port))
        if nginx:
            scratch.mkdir(exist_ok=True)
            stack.callback(shutil.rmtree, scratch, ignore_errors=True)
            outer = reserve_port()
            conf = scratch / "nginx.conf"
            conf.write_text(_NGINX.format(folder=scratch, inner=port, port=outer))
            stack.enter_context(_process(["nginx", "-c", str(conf)], environment, outer))
            port = outer
        yield port


_SINK = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} backlog=4096; keepalive_requests 100000000;
    location / {{ default_type application/json; return 200 "{{}}"; }}
  }}
}}
"""


@contextlib.contextmanager
def sink() -> cabc.Iterator[str]:
    """Serve a fast callback that accepts every request; yield its URL."""
    port, scratch = (
        reserve_port(),
        pathlib.Path(os.environ.get("TMPDIR", "/tmp")) / f"s{os.getpid()}",
    )
    scratch.mkdir(exist_ok=True)
    conf = scratch / "nginx.conf"
    conf.write_text(_SINK.format(folder=scratch, port=port))
    try:
        with _process(["nginx", "-c", str(conf)], {**os.environ}, port):
            yield f"http://127.0.0.1:{port}/events"
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _process(command: list[str], environment: dict[str, str], port: int) -> cabc.Iterator[None]:
    process = subprocess.Popen(command, env=environment)
    try:
        wait_for(port, process)
        yield
    finally:
        process.terminate()
        process.wait()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server accepts connections."""
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError("the server did not start")
