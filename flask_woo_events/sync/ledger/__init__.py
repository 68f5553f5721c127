"""The ledger: the last known state of each object, and the only way to change it."""
