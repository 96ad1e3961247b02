"""The authority registry in a node's database: versions, which one is in force, which one a row was settled under."""
