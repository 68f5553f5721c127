"""A simulated store, a callback, the demo and the loss suite."""
