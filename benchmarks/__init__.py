"""Benchmarks: each prints its measurements, and ratios where it compares two programs."""
