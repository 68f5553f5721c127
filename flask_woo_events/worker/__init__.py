"""The loops that poll, process webhooks, deliver and purge."""
