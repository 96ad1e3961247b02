"""What a grammar takes and a given Oracle refuses, as far as text shows it. Not a parser: see grammar.mjs."""

from __future__ import annotations

import re

from tests.oracle.portable import RESERVED

_LITERAL = re.compile(r"'(?:[^']|'')*'")
# (pattern, refused below this version, why)
_RULES: tuple[tuple[str, tuple[int, ...], str], ...] = (
    (r"\bLIMIT\b|\bON\s+CONFLICT\s*(\([^)]*\))?\s*DO\b|\bILIKE\b|::", (99,), "not Oracle's"),
    (r"\bIF\s+(NOT\s+)?EXISTS\b", (23,), "IF EXISTS (ORA-00933)"),
    (r"\b(TRUE|FALSE|BOOLEAN)\b|\bIS\s+[01]\b", (23,), "no booleans"),
    (r"\bFETCH\s+(FIRST|NEXT)\b|\bOFFSET\s+\S+\s+ROWS\b", (12,), "row limits are 12c's"),
    (r"\bIDENTITY\b|\bLATERAL\b|\bSTANDARD_HASH\b|\bJSON_\w+\s*\(", (12,), "12c's"),
    (r"\bVALUES\s*\([^()]*\)\s*,\s*\(", (23,), "several rows of VALUES"),
    (r"\bMATCHED\s+AND\b", (99,), "MERGE takes no condition there"),
    (r"\bEXCEPT\b", (21,), "MINUS"),
    (r"(=|<>|!=)\s*''", (99,), "'' is NULL"),
    (r";\s*$", (99,), "no semicolon through a driver"),
    (r"\)\s+AS\s+\w+\s+(ON|WHERE)\b|\b(FROM|JOIN)\s+\w+\s+AS\b", (99,), "no AS before a table's alias"),
    (r"\bCREATE\s+TEMPORARY\b|\bADD\s+COLUMN\b|\bNOT\s+NULL\s+DEFAULT\b|\bWITH\s+RECURSIVE\b", (99,), "not Oracle's"),
)


def faults(statement: str, version: tuple[int, ...]) -> list[str]:
    """Why this statement cannot run on this version; empty when nothing is known against it."""
    bare = _LITERAL.sub(lambda m: "''" if m.group(0) == "''" else "'x'", statement)
    found = [why for pattern, below, why in _RULES if version < below and re.search(pattern, bare, re.I)]
    longest = 30 if version < (12, 2) else 128
    found += [f"name {n} is too long" for n in re.findall(r"[A-Za-z]\w*", bare) if len(n) > longest]
    found += [f"bind :{b} is reserved" for b in re.findall(r"(?<![:\w]):(\w+)", bare) if b.lower() in RESERVED]
    found += [f"bind :{b}" for b in re.findall(r"(?<![:\w]):(_\w*)", bare)]
    for body in re.findall(r"\bIN\s*\(([^()]*)\)", bare, re.I):
        if body.count(",") >= 1000:
            found.append("an IN list has at most 1,000 members (ORA-01795)")
    return found
