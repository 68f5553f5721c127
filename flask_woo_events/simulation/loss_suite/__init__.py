"""The loss suite: checks that every change of a store arrives exactly once."""
