"""A page of the tests, with one private value."""
