"""No version that can be installed has a vulnerability that is listed here.

``make audit`` reads current advisories from a service, on which a test must not depend. This
module compares the package's requirements with the advisories of November 2026.
"""

from __future__ import annotations

import ast
import collections
import importlib.metadata
import pathlib
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import flask_woo_events

ROOT = pathlib.Path(flask_woo_events.__file__).parents[1]
PROJECT = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text(encoding="utf-8"))
#: The first version without vulnerabilities known in November 2026, and the last advisory.
FIRST_FIXED = {
    "certifi": ("2024.7.4", "CVE-2024-39689"),
    "cryptography": ("50.0.0", "CVE-2026-69247"),
    "flask": ("3.1.3", "CVE-2026-27205"),
    "idna": ("3.15", "CVE-2026-45409"),
    "jinja2": ("3.1.6", "CVE-2025-27516"),
    "mako": ("1.3.12", "CVE-2026-44307"),
    "orjson": ("3.11.6", "CVE-2025-67221"),
    "pydantic": ("2.4.0", "CVE-2024-3772"),
    "pymysql": ("1.1.1", "CVE-2024-36039"),
    "requests": ("2.33.0", "CVE-2026-25645"),
    "urllib3": ("2.7.0", "CVE-2026-44432"),
    "werkzeug": ("3.1.6", "CVE-2026-27199"),
}
#: Requirements of the package, including its extras.
REQUIREMENTS = [
    Requirement(text)
    for text in [
        *PROJECT["project"]["dependencies"],
        *(one for extra in PROJECT["project"]["optional-dependencies"].values() for one in extra),
    ]
]


def _lowest(requirement: Requirement) -> Version:
    bounds = [Version(one.version) for one in requirement.specifier if one.operator == ">="]
    assert len(bounds) == 1, f"{requirement} needs one lower bound"
    return bounds[0]


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_lower_bounds_have_no_known_vulnerability(requirement: Requirement) -> None:
    """The oldest version that satisfies a requirement has the fix."""
    first_fixed, advisory = FIRST_FIXED.get(requirement.name.lower(), ("0", ""))
    assert _lowest(requirement) >= Version(first_fixed), advisory


@pytest.mark.parametrize("name", FIRST_FIXED)
def test_installed_versions_have_no_known_vulnerability(name: str) -> None:
    """Installed versions, also of indirect dependencies, have the fix."""
    try:
        installed = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed")
    first_fixed, advisory = FIRST_FIXED[name]
    assert Version(installed) >= Version(first_fixed), advisory


def test_imported_packages_are_required() -> None:
    """Every package that a module imports is a requirement of its own."""
    names: dict[str, set[str]] = collections.defaultdict(set)
    for top, distributions in importlib.metadata.packages_distributions().items():
        for one in distributions:
            names[one.lower()].add(top)
    ours = {requirement.name.lower() for requirement in REQUIREMENTS}
    allowed = {top for name in ours for top in names.get(name.replace("-", "_"), set())}
    allowed |= {top for name in ours for top in names.get(name, set())} | {"flask_woo_events"}
    missing = set()
    for path in pathlib.Path(flask_woo_events.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found = []
            if isinstance(node, ast.Import):
                found = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found = [node.module or ""]
            missing |= {name.partition(".")[0] for name in found}
    assert missing - set(sys.stdlib_module_names) - allowed == set()
