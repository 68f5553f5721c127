"""One script for each peer, run by the peer's own Python: one sync, one JSON line a row."""
