"""The outbox and the log of events and notifications."""
