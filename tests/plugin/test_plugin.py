"""The companion plugin on a real WordPress: PHPUnit's tests, its style and its package."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

import pytest

from tests.plugin import wordpress
from tests.plugin.wordpress import HERE, PLUGIN

pytestmark = pytest.mark.timeout(120)


def _need(lacking: list[str]) -> None:
    """Skip where something is not installed, except in CI."""
    if lacking and os.environ.get("CI") == "true":
        pytest.fail(f"not installed: {', '.join(lacking)}; run tests/packages.sh")
    if lacking:
        pytest.skip(f"not installed: {', '.join(lacking)}")


def test_on_a_real_wordpress(tmp_path: pathlib.Path) -> None:
    """PHPUnit's tests pass: activation to uninstalling, every hook, REST, pruning, two writers."""
    _need(wordpress.missing())
    with wordpress.wordpress(tmp_path) as site:
        ran = site.run("phpunit", "--configuration", "phpunit.xml")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "OK (" in ran.stdout, ran.stdout


def test_style() -> None:
    """PHP_CodeSniffer finds nothing against the rules of phpcs.xml."""
    _need([] if shutil.which("phpcs") else ["phpcs"])
    ran = subprocess.run(
        ["phpcs", "-q", f"--standard={HERE / 'phpcs.xml'}", "--extensions=php", PLUGIN],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
