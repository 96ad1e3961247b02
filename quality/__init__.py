"""What is true? Normalising, rules and the gate, matching, survivorship (一数一源), conflicts.

Set operations on tables of a DuckDB connection handed in by the caller: no file is opened and no clock is read here.
"""
