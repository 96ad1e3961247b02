"""What a grammar takes and a given Oracle refuses, as far as text shows it. Not a parser: see grammar.mjs."""

from __future__ import annotations

import re
from functools import cache

import sqlalchemy as sa
from sqlalchemy.sql import operators, visitors

from hub.catalog import load_catalog
from hub.store.tables import build_tables
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
    (r"^\s*UPDATE\b(?!.*\bSELECT\b).*\bFROM\b", (23,), "UPDATE … FROM"),
    (r"^\s*SELECT\b(?!.*\bFROM\b)", (23,), "SELECT needs FROM dual (ORA-00923)"),
    (r"\bRETURNING\b(?!.*\bINTO\b)", (99,), "RETURNING needs INTO (ORA-00925)"),
    (r"\bCAST\s*\([^()]*\bAS\s+(TEXT|BIGINT|STRING|BOOL)\b", (99,), "no such type (ORA-00902)"),
    (r"\bGROUP\s+BY\b(?:(?!\b(ORDER|HAVING|UNION)\b).)*:\w", (99,), "a bind in GROUP BY (ORA-00979)"),
)  # fmt: skip
# What is followed by a bracket and is no function.
_WORDS = (
    "add all and any as between by case check columns constraint delete distinct else exists from group having in "
    "index insert into is join key like merge minus modify not on or order over partition primary references "
    "select set some table then union unique update using values when where with char nchar number varchar "
    "varchar2 raw timestamp decimal numeric float integer "
)
_FUNCTIONS = (
    "abs avg cast ceil chr coalesce count decode dense_rank extract first_value floor greatest instr lag "
    "last_value lead least length listagg lower lpad ltrim max min mod months_between nullif nvl nvl2 rank "
    "regexp_like replace round row_number rpad rtrim sign stddev substr sum sys_context to_char to_clob to_date "
    "to_number to_timestamp translate trim trunc upper "
)
_KNOWN = frozenset((_WORDS + _FUNCTIONS).split())
_CALL = re.compile(r"(?<![\w$.:])([a-z_]\w*)\s*\(", re.I)
_COMPARED = r"(?:\bWHERE|\bAND|\bOR|\bON|\bWHEN|\()\s*(?:\w+\.)?({names})\s*(?:=|<>|!=|<|>|\bIN\b)"
_SORTED = r"\b(?:ORDER\s+BY|GROUP\s+BY|DISTINCT|min\s*\(|max\s*\()\s*(?:[\w.]+\s*,\s*)*(?:\w+\.)?({names})\b"


def faults(statement: str, version: tuple[int, ...]) -> list[str]:
    """Why this statement cannot run on this version; empty when nothing is known against it."""
    bare = _LITERAL.sub(lambda m: "''" if m.group(0) == "''" else "'x'", statement)
    found = [why for pattern, below, why in _RULES if version < below and re.search(pattern, bare, re.I | re.S)]
    longest = 30 if version < (12, 2) else 128
    found += [f"name {n} is too long" for n in re.findall(r"[A-Za-z]\w*", bare) if len(n) > longest]
    found += [f"bind :{b} is reserved" for b in re.findall(r"(?<![:\w]):(\w+)", bare) if b.lower() in RESERVED]
    found += [f"bind :{b}" for b in re.findall(r"(?<![:\w]):(_\w*)", bare)]
    for body in re.findall(r"\bIN\s*\(([^()]*)\)", bare, re.I):
        if body.count(",") >= 1000:
            found.append("an IN list has at most 1,000 members (ORA-01795)")
    found += [f"the long text {n} is compared or sorted (ORA-00932)" for n in _long_texts(bare)]
    return found + _calls(bare)


def empty_texts(statement: object) -> list[str]:
    """Comparisons of an expression with a bound '': never true on Oracle, whichever way it is asked."""
    if not isinstance(statement, sa.ClauseElement):
        return []
    asked = (operators.eq, operators.ne)
    return [
        f"compared with '', which is NULL: {part.left}"
        for part in visitors.iterate(statement)
        if isinstance(part, sa.BinaryExpression) and part.operator in asked and getattr(part.right, "value", None) == ""
    ]


def _calls(bare: str) -> list[str]:
    """Functions Oracle does not have. In DDL and after INTO a bracket follows names."""
    if re.match(r"\s*(CREATE|ALTER|DROP|COMMENT|GRANT)\b", bare, re.I):
        return []
    named = {n.lower() for n in re.findall(r"\b(?:INTO|WITH|JOIN|FROM|TABLE|,)\s+(\w+)\s*\(", bare, re.I)}
    return [f"no function {n} (ORA-00904)" for n in _CALL.findall(bare) if n.lower() not in _KNOWN | named]


def _long_texts(bare: str) -> list[str]:
    names = "|".join(_clobs())
    return [found for pattern in (_COMPARED, _SORTED) for found in re.findall(pattern.format(names=names), bare, re.I)]


@cache
def _clobs() -> tuple[str, ...]:
    """Names of columns that are CLOBs on Oracle wherever they stand."""
    made = sa.dialects.registry.load("oracle")()
    kinds: dict[str, set[bool]] = {}
    for table in build_tables(load_catalog()).metadata.tables.values():
        for column in table.columns:
            shown = str(column.type.compile(dialect=made))
            kinds.setdefault(column.name, set()).add(shown in ("CLOB", "BLOB"))
    return tuple(sorted(name for name, kind in kinds.items() if kind == {True}))
