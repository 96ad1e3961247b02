"""JSON Schemas of what crosses between the tiers (protocol 3, 7.4, 9.1, 10.2). Data only."""
