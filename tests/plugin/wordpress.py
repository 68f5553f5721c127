"""A WordPress for the tests of the companion plugin: Debian's, with its own MariaDB."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import os
import pathlib
import shutil
import subprocess
import tempfile

from tests.servers import mariadb

HERE = pathlib.Path(__file__).parent
PLUGIN = HERE.parent.parent / "wp-plugin-stub"
WORDPRESS = pathlib.Path(os.environ.get("FLASK_WOO_EVENTS_WORDPRESS", "/usr/share/wordpress"))


@dataclasses.dataclass(frozen=True)
class WordPress:
    """An installed WordPress."""

    environ: dict[str, str]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in its environment."""
        return subprocess.run(
            command, env=self.environ, cwd=HERE, capture_output=True, text=True, check=False
        )


def missing() -> list[str]:
    """Return what is not installed."""
    found = {name: shutil.which(name) for name in ("php", "phpunit")}
    lacking = [name for name, path in found.items() if path is None]
    return lacking + [str(WORDPRESS)] * (not (WORDPRESS / "wp-settings.php").exists())


@contextlib.contextmanager
def wordpress() -> cabc.Iterator[WordPress]:
    """Install WordPress with a stand-in for WooCommerce; the plugin is not active."""
    # Not in pytest's folder: another pytest process makes that unreadable for MariaDB's user.
    with tempfile.TemporaryDirectory(prefix="woo-wordpress-") as name:
        with _installed(pathlib.Path(name)) as site:
            yield site


@contextlib.contextmanager
def _installed(folder: pathlib.Path) -> cabc.Iterator[WordPress]:
    plugins = folder / "wp-content" / "plugins"
    plugins.mkdir(parents=True)
    shutil.copytree(HERE / "standin", plugins / "woocommerce")
    # A copy, because one of the tests moves it away and back.
    shutil.copytree(PLUGIN, plugins / "flask-woo-events")
    themes = WORDPRESS / "wp-content" / "themes"
    (folder / "wp-content" / "themes").symlink_to(themes)
    with mariadb(folder / "mariadb"):
        environ = {
            **os.environ,
            "FLASK_WOO_EVENTS_TEST": str(folder),
            "FLASK_WOO_EVENTS_SOCKET": str(folder / "mariadb" / "s"),
            "FLASK_WOO_EVENTS_DATABASE": "woo",
        }
        installed = WordPress(environ).run("php", "-d", "sendmail_path=/bin/true", "install.php")
        assert installed.returncode == 0, installed.stdout + installed.stderr
        yield WordPress(environ)


def as_network(site: WordPress) -> WordPress:
    """Convert a newly installed site to a network."""
    made = site.run("php", "network.php")
    assert made.returncode == 0, made.stdout + made.stderr
    return WordPress({**site.environ, "FLASK_WOO_EVENTS_NETWORK": "1"})
