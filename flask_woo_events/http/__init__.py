"""Outgoing HTTP with limits: time, size, and which addresses may be reached."""
