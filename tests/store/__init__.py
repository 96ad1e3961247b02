"""The store contract: every database must pass the same tests."""
