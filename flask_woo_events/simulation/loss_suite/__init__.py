"""The loss suite: proves on a store that every change arrives, once, and nothing else does."""
