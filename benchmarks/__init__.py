"""Benchmarks: each prints what it measured and, where there are two sides, their ratio."""
