"""The companion plugin's journal of changes."""
