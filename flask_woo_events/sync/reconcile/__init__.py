"""The comparison of a consumer's copies with the ledger, and sending what it lacks."""
