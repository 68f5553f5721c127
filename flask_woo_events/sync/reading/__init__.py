"""Ways to read a store, each yielding observations."""
