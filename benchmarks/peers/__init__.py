"""Comparison with other pollers: the same actions, the same drifts and one judge for all."""
