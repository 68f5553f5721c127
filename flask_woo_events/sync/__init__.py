"""Learning what changed in a store: polls, webhooks, the journal, and the ledger they write."""
