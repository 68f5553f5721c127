"""The way of an event, from what a source saw of a store to a callback."""
