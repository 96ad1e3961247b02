"""The province's code location: one round a day as assets, checks and schedules."""
