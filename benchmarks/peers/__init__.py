"""Other projects that follow a store, compared with this one: same acts, same drifts, one judge."""
