"""Follow the companion plugin's journal of changes."""
