"""The companion plugin on a real WordPress: PHPUnit's tests, its style and its package."""

from __future__ import annotations

import ast
import gettext
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.plugin import wordpress
from tests.plugin.wordpress import HERE, PLUGIN

pytestmark = pytest.mark.timeout(120)


def _need(missing: list[str]) -> None:
    """Skip a test if a program is not installed, except in CI."""
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"not installed: {', '.join(missing)}; run tests/packages.sh")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def test_on_a_real_wordpress() -> None:
    """PHPUnit's tests pass: activation to uninstalling, every hook, REST, pruning, two writers."""
    _need(wordpress.missing())
    with wordpress.wordpress() as site:
        ran = site.run("phpunit", "--configuration", "phpunit.xml", "--testsuite", "plugin")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "OK (" in ran.stdout, ran.stdout


def test_on_a_network() -> None:
    """PHPUnit's tests of a network pass: each site has its own journal."""
    _need(wordpress.missing())
    with wordpress.wordpress() as single:
        network = wordpress.as_network(single)
        ran = network.run("phpunit", "--configuration", "phpunit.xml", "--testsuite", "network")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "OK (" in ran.stdout, ran.stdout


def test_style() -> None:
    """PHP_CodeSniffer finds no violation of the rules in phpcs.xml."""
    _need([] if shutil.which("phpcs") else ["phpcs"])
    ran = subprocess.run(
        ["phpcs", "-q", f"--standard={HERE / 'phpcs.xml'}", "--extensions=php", PLUGIN],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout


def test_the_zip_is_always_the_same(tmp_path: pathlib.Path) -> None:
    """Two builds have the same bytes and contain only the files that WordPress needs."""
    build = [sys.executable, str(PLUGIN / "build.py")]
    targets = [tmp_path / "a.zip", tmp_path / "b.zip"]
    for target in targets:
        subprocess.run([*build, str(target)], check=True, capture_output=True)
    assert targets[0].read_bytes() == targets[1].read_bytes()
    with zipfile.ZipFile(targets[0]) as archive:
        names = set(archive.namelist())
    assert {name.partition("/")[0] for name in names} == {"flask-woo-events"}
    inside = {name.partition("/")[2] for name in names}
    assert {"flask-woo-events.php", "uninstall.php", "readme.txt"} <= inside
    assert {"includes/class-journal.php", "languages/flask-woo-events-de_DE.mo"} <= inside
    assert {pathlib.Path(name).suffix for name in inside} == {".php", ".txt", ".mo", ".pot"}


def test_versions_agree() -> None:
    """Header, constant, readme and uninstaller contain the same version."""
    header = (PLUGIN / "flask-woo-events.php").read_text()
    version = re.findall(r"^ \* Version: (\S+)$", header, re.MULTILINE)
    assert re.findall(r"FLASK_WOO_EVENTS_VERSION', '([^']+)'", header) == version
    uninstaller = (PLUGIN / "uninstall.php").read_text()
    assert re.findall(r"FLASK_WOO_EVENTS_VERSION', '([^']+)'", uninstaller) == version
    readme = (PLUGIN / "readme.txt").read_text()
    assert re.findall(r"^Stable tag: (\S+)$", readme, re.MULTILINE) == version


def test_translations_are_complete() -> None:
    """Every text of the plugin is in the catalogue and translated to German and Spanish."""
    _need([] if shutil.which("xgettext") else ["gettext"])
    keywords = ["--keyword=__", "--keyword=esc_html__", "--keyword=esc_attr__", "--keyword=_n:1,2"]
    sources = [str(path) for path in (*PLUGIN.glob("*.php"), *PLUGIN.glob("includes/*.php"))]
    found = subprocess.run(
        ["xgettext", "--language=PHP", "--from-code=UTF-8", *keywords, "-o", "-", *sources],
        capture_output=True,
        text=True,
        check=True,
    )
    now = _entries(found.stdout)
    catalogue = _entries((PLUGIN / "languages" / "flask-woo-events.pot").read_text())
    assert set(catalogue) == set(now)
    for path in PLUGIN.glob("languages/*.po"):
        translated = _entries(path.read_text())
        assert set(translated) == set(now), path.name
        for original, text in translated.items():
            assert text, f"{path.name}: {original}"
            assert sorted(re.findall(r"%\d?\$?s", original.split("\0")[-1])) == sorted(
                re.findall(r"%\d?\$?s", text.split("\0")[-1])
            ), original


def test_compiled_catalogues_are_gettexts(tmp_path: pathlib.Path) -> None:
    """The compiled catalogues, read by Python's gettext, have the texts of the sources."""
    target = tmp_path / "plugin.zip"
    subprocess.run(
        [sys.executable, str(PLUGIN / "build.py"), str(target)], check=True, capture_output=True
    )
    for language in ("de_DE", "es_ES"):
        name = f"flask-woo-events-{language}"
        with zipfile.ZipFile(target) as archive:
            compiled = archive.read(f"flask-woo-events/languages/{name}.mo")
        texts = gettext.GNUTranslations(io.BytesIO(compiled))
        for original, text in _entries((PLUGIN / "languages" / f"{name}.po").read_text()).items():
            one, _nul, many = original.partition("\0")
            if many:
                assert texts.ngettext(one, many, 2) == text.split("\0")[1]
            else:
                assert texts.gettext(one) == text


def _entries(text: str) -> dict[str, str]:
    """Return the originals of a catalogue with their translations; NUL joins plural forms."""
    found: dict[str, str] = {}
    for block in re.split(r"\n\s*\n", text):
        parts = re.findall(r'^(msg\w+(?:\[\d\])?) ((?:".*"\n?)+)', block, re.MULTILINE)
        fields = {
            name: "".join(ast.literal_eval(line) for line in lines.splitlines())
            for name, lines in parts
        }
        if not fields.get("msgid"):
            continue
        forms = [fields[name] for name in sorted(fields) if name.startswith("msgstr")]
        original = [fields[name] for name in ("msgid", "msgid_plural") if name in fields]
        found["\0".join(original)] = "\0".join(forms) if all(forms) else ""
    return found
