"""A simulated store, a callback receiver, the demo and the loss suite."""
