"""Imports: CPU time of ``import flask_woo_events`` compared with that of its libraries."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

#: Runs of each program; they alternate, so that a busy machine slows all of them.
RUNS = int(os.environ.get("BENCH_RUNS", "15"))
RUNS_WITHOUT_CACHE = int(os.environ.get("BENCH_RUNS_WITHOUT_CACHE", "5"))

#: The libraries that ``import flask_woo_events`` loads; ``flask woo db`` also loads Alembic.
_LOADED = """\
import flask, flask_sqlalchemy, sqlalchemy.orm, requests, orjson, cryptography.fernet
from sqlalchemy.dialects import mysql, postgresql
from pydantic import BaseModel, BeforeValidator, Field
"""
_APPLICATION = """\
import flask, flask_sqlalchemy, flask_woo_events
app = flask.Flask("host")
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
flask_sqlalchemy.SQLAlchemy(app)
flask_woo_events.WooEvents(app)
"""
_PROGRAMS = {
    "all its libraries": _LOADED + "import alembic.command",
    "libraries it loads": _LOADED,
    "import flask_woo_events": "import flask_woo_events",
    "the same and init_app": _APPLICATION,
}
_MEASURE = "import time\nbegan = time.process_time()\n{}\nprint(time.process_time() - began)"


def main() -> None:
    """Print the CPU time of each program, and its ratios to the two sets of libraries."""
    _compare("with cached bytecode", RUNS, cached=True)
    _compare("without bytecode", RUNS_WITHOUT_CACHE, cached=False)


def _compare(title: str, runs: int, *, cached: bool) -> None:
    print(f"imports {title}, {runs} runs: CPU ms, median (spread), ratios to the first two")
    times: dict[str, list[float]] = {name: [] for name in _PROGRAMS}
    # The first round writes the bytecode and is not counted.
    for counted in [False] * cached + [True] * runs:
        for name, program in _PROGRAMS.items():
            seconds = _run(program, cached=cached)
            times[name] += [1000 * seconds] if counted else []
    first, second, *_rest = times.values()
    for name, found in times.items():
        pairs = [zip(found, base, strict=True) for base in (first, second)]
        medians = [statistics.median(mine / other for mine, other in pair) for pair in pairs]
        ratios = "  ".join(f"{median:.2f}" for median in medians)
        spread = f"({min(found):.0f} to {max(found):.0f})"
        print(f"  {name:24}{statistics.median(found):8.0f} {spread:16}  {ratios}")


def _run(program: str, *, cached: bool) -> float:
    """Run a program in a fresh interpreter, and return its CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ if cached else {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        done = subprocess.run(
            [sys.executable, *([] if cached else ["-B"]), "-c", _MEASURE.format(program)],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
    return float(done.stdout)
