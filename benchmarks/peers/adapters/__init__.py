"""One script for each peer, run by the peer's own Python; it prints each row as a line of JSON."""
