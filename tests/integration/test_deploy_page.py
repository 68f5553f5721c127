"""What the page on deployment shows is what the programs take that it is for."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import typing as t

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "deploy.md"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCES = _FENCE.findall(PAGE.read_text(encoding="utf-8"))
UNITS = [code for kind, code in FENCES if kind == "ini" and "[Service]" in code]
SITES = [code for kind, code in FENCES if kind == "nginx"]


def _name(code: str) -> str:
    return pathlib.Path(code.splitlines()[0].split()[1]).name


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        if os.environ.get("CI") == "true":
            raise AssertionError(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return found


@pytest.mark.parametrize("unit", UNITS, ids=_name)
def test_units_are_right(unit: str, tmp_path: pathlib.Path) -> None:
    """systemd knows each line, and finds what it starts."""
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("flask", "gunicorn", "celery"):
        (programs / name).symlink_to("/bin/true")
    (tmp_path / "environment").touch()
    text = unit.replace("/srv/shop", str(tmp_path)).replace("User=shop", "User=root")
    text = text.replace("/etc/shop/environment", str(tmp_path / "environment"))
    file = tmp_path / _name(unit)
    file.write_text(text)
    done = subprocess.run(
        [_program("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no", str(file)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert str(file) not in done.stderr, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS, ids=_name)
def test_units_start_what_there_is(unit: str) -> None:
    """Each command knows its options."""
    line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    words = shlex.split(line.partition("=")[2].replace("()", ""))
    module = pathlib.Path(words[0]).name
    if module == "celery":
        words = [word for word in words[1:] if word not in ("-A", "shop.celery_app")]
    else:
        words = words[1:]
    done = subprocess.run(
        [sys.executable, "-m", module, *words, "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "FLASK_APP": "example_app"},
    )
    assert done.returncode == 0, done.stderr
    assert "sage" in done.stdout


def test_there_are_units() -> None:
    """The web server, the worker, and Celery's two."""
    names = {_name(unit) for unit in UNITS}
    assert names == {f"shop-{one}.service" for one in ("web", "woo", "celery", "beat")}


@pytest.mark.parametrize("site", SITES, ids=["one machine", "many machines"])
def test_sites_are_right(site: str, tmp_path: pathlib.Path) -> None:
    """nginx takes each of them."""
    certificate, key = _certificate(tmp_path)
    text = site.replace("/etc/ssl/events.example.com.pem", certificate)
    text = text.replace("/etc/ssl/events.example.com.key", key).replace("listen 443", "listen 8443")
    file = tmp_path / "nginx.conf"
    file.write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/errors;\nevents {{}}\nhttp {{\n"
        f"access_log off; client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p;\n"
        f"fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u;\n"
        f"scgi_temp_path {tmp_path}/s;\n{text}\n}}\n"
    )
    done = subprocess.run(
        [_program("nginx"), "-t", "-c", str(file)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr


def _certificate(folder: pathlib.Path) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "events.example.com")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    files = folder / "c.pem", folder / "k.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(files[0]), str(files[1])


def test_the_formatter_writes_json() -> None:
    """Each record becomes a line with its members."""
    code = next(code for kind, code in FENCES if kind == "python" and "JsonFormatter" in code)
    names: dict[str, t.Any] = {}
    exec(code, names)
    extra = {"action": "poll", "instance": 12}
    record = logging.getLogger("flask_woo_events").makeRecord(
        "flask_woo_events.sync.instance_poll", logging.INFO, __file__, 1, "polled %s", ("orders",),
        None,
        extra=extra,
    )  # fmt: skip
    told = json.loads(names["JsonFormatter"]().format(record))
    assert told.pop("time")
    assert told == {
        "level": "INFO",
        "logger": "flask_woo_events.sync.instance_poll",
        "message": "polled orders",
        **extra,
    }
