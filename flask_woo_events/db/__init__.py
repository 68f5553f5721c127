"""Tables, sessions, leases, migrations and the database clock."""
