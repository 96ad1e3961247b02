"""Alembic migrations of a node's database; run by `Store.upgrade`, never from a command line of their own."""
