"""Other ways to follow a store, run beside ours: the same acts, the same drifts, one judge."""
