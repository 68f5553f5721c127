"""The peers that are other projects: their installation, one sync, and its reports."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys

from .judge import ReportedRow
from .shop import CONSUMER_KEY, CONSUMER_SECRET, Shop

#: The folder in which the peers are installed; its own .gitignore hides it.
HOME = pathlib.Path(__file__).parents[2] / ".peers"
_ADAPTERS = pathlib.Path(__file__).parent / "adapters"
#: Time limit of one sync, seconds.
_SYNC_TIMEOUT = 300
#: All peers take their authorities from certifi; not all of them read the environment.
_TRUST = "import certifi\ncertifi.where = lambda: {!r}\n"


class Unavailable(Exception):
    """The peer cannot be run here; the message gives the reason."""


@dataclasses.dataclass(frozen=True)
class External:
    """One peer.

    :param name: the value of ``--peer``, and the name of the adapter.
    :param title: the title in the table.
    :param requirement: the requirement that pip installs, with its version.
    :param wall_clock: the peer reads up to the computer's time, so the store must use the
        computer's clock.
    :param reason: the reason why it cannot be run at all.
    """

    name: str
    title: str
    requirement: str
    wall_clock: bool = False
    reason: str = ""

    @property
    def version(self) -> str:
        """The version that is installed."""
        return self.requirement.partition("==")[2]

    @property
    def _python(self) -> pathlib.Path:
        return HOME / self.name / "bin" / "python"

    def prepare(self) -> None:
        """Install the peer into its own virtual environment unless it is installed already.

        :raises Unavailable: the peer cannot be installed.
        """
        if self.reason:
            raise Unavailable(self.reason)
        HOME.mkdir(exist_ok=True)
        (HOME / ".gitignore").write_text("*\n")
        mark = HOME / self.name / "installed"
        if mark.exists() and mark.read_text() == self.requirement:
            return
        _run("cannot be set up", sys.executable, "-m", "venv", str(HOME / self.name))
        _run("pip cannot install it", str(self._python), "-m", "pip", "install", self.requirement)
        mark.write_text(self.requirement)

    @contextlib.contextmanager
    def connect(
        self, shop: Shop, url: str, certificate: pathlib.Path, folder: pathlib.Path
    ) -> cabc.Iterator[Running]:
        """Yield the peer with a fresh state for this store."""
        state, trust = folder / "state", folder / "trust"
        state.mkdir()
        trust.mkdir()
        (trust / "sitecustomize.py").write_text(_TRUST.format(str(certificate)))
        yield Running(self, self._python, url, state, trust)


@dataclasses.dataclass(frozen=True)
class Running:
    """A peer that keeps its state between syncs."""

    peer: External
    python: pathlib.Path
    url: str
    state: pathlib.Path
    #: A folder for PYTHONPATH that makes the peer trust the store's certificate.
    trust: pathlib.Path

    def sync(self) -> list[ReportedRow]:
        """Run the adapter once."""
        task = {
            "url": self.url,
            "key": CONSUMER_KEY,
            "secret": CONSUMER_SECRET,
            "state": str(self.state),
        }
        done = subprocess.run(
            [str(self.python), str(_ADAPTERS / f"{self.peer.name}.py"), json.dumps(task)],
            capture_output=True,
            text=True,
            timeout=_SYNC_TIMEOUT,
            env=self._environment(),
            cwd=self.state,
        )
        if done.returncode:
            raise Unavailable(f"the sync ended with {done.returncode}: {_end_of(done.stderr)}")
        return [_row(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def _environment(self) -> dict[str, str]:
        # The peer must not see the variables of this process.
        return {
            "HOME": str(self.state),
            "LANG": "C.UTF-8",
            "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}",
            "TZ": "UTC",
            # Requests on loopback must not go through a proxy.
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": str(self.trust),
        }


def _row(line: str) -> ReportedRow:
    row = json.loads(line)
    body = None if row.get("deleted") else row["body"]
    return ReportedRow((str(row["resource"]), int(row["id"])), body)


def _run(what: str, *command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"{what}: {_end_of(done.stderr)}")


def _end_of(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # Notices of pip about itself follow its errors.
    lines = [line for line in lines if line.startswith("ERROR")] or lines
    return lines[-1][:200] if lines else "no output"


#: Every peer, in the order of the table.
PEERS = (
    External(
        "airbyte",
        "Airbyte source-woocommerce",
        "airbyte-source-woocommerce==0.4.12",
        wall_clock=True,
    ),
    External(
        "airbyte_manifest",
        "Airbyte source-woocommerce, manifest only",
        "airbyte-source-woocommerce==0.5.41",
        reason="published as a container image only; 0.4.12 is the last on the package index",
    ),
    External("dlt_rest", "dlt rest_api", "dlt==1.31.0"),
    External("cron", "cron script on `woocommerce`", "woocommerce==3.0.0"),
    External("tap", "tap-woocommerce (Singer)", "tap-woocommerce==0.1.2"),
    External(
        "tap_hotglue",
        "tap-woocommerce (hotglue)",
        "tap-woocommerce==0.0.46",
        reason="not on the package index, and it asks for Python before 3.11",
    ),
)
