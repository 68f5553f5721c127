"""Inbound webhooks, from the request to an observation."""
