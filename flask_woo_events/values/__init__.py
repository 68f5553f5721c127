"""Single values: dates, time zones, validation, encryption, Cloud Elements names."""
