"""Single values: dates, time zones, validation, encryption, names of the service."""
