"""Migrations of our tables, an Alembic environment of its own."""
