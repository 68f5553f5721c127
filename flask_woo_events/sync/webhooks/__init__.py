"""Inbound webhooks, from the request to the objects that they name."""
