"""Deliver notifications: claim, send, retry, record results, replay."""
