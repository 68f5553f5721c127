"""Run the benchmarks: ``python -m benchmarks [NAME ...]``."""

from __future__ import annotations

import importlib
import sys

NAMES = ("polling", "deletions", "intake", "deliveries", "console", "fairness", "workers")

for name in sys.argv[1:] or NAMES:
    importlib.import_module(f"benchmarks.{name}").main()
