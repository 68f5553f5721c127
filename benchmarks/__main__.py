"""Run the benchmarks: ``python -m benchmarks [NAME ...]``."""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "imports", "polling", "deletions", "reconcile", "intake", "deliveries", "console", "fairness",
    "hostile", "workers",
)  # fmt: skip

for name in sys.argv[1:] or NAMES:
    importlib.import_module(f"benchmarks.{name}").main()
