"""The description of the HTTP API that ``/openapi.json`` serves."""
