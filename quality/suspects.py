"""Suspects: students who may be one person under two numbers (WY04; MODEL §6 match key 3), with evidence, never merged.

Decides who is listed (same name, birth date, sex and origin, other documents) and how much the rest of their records
speaks for one person: the weights of Fellegi and Sunter, where agreeing by chance is counted in the very table (two
rows drawn at random) and agreeing of one person is taken as 19 in 20. `quality.suspects_splink` can score the same pairs
instead. Nothing is written: a person decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import duckdb

from quality.expressions import ident, text
from quality.suspects_splink import require_installed, splink_weights

# Entity, columns: what is read of a student.
READ: Final = {
    "xs": ("GRBSM", "XXDM", "XM", "CSRQ", "XBM", "SFZJLXM", "SFZJH", "MZM", "CSDM", "JGDXZQHM", "LXDH"),
    "xs_sx": ("GRBSM", "SYDXZQHM", "HKSZDXZQHM", "JTDH", "JHRLXDH", "BYXX"),
    "xs_xj": ("GRBSM", "RXNY", "ZYDM"),
}
KEY: Final = ("XM", "CSRQ", "XBM", "SYDXZQHM")
# Field, word for the evidence.
COMPARED: Final = (
    ("XXDM", "学校"), ("MZM", "民族"), ("CSDM", "出生地"), ("JGDXZQHM", "籍贯"), ("HKSZDXZQHM", "户口所在地"), ("LXDH", "联系电话"),
    ("JTDH", "家庭电话"), ("JHRLXDH", "监护人电话"), ("BYXX", "毕业学校"), ("RXNY", "入学年月"), ("ZYDM", "专业"),
)  # fmt: skip
ONE_PERSON: Final = 0.95
# A value everybody shares weighs nothing, one that nobody shares is not endless evidence.
_CHANCE: Final = (1e-5, 0.999)


@dataclass(frozen=True)
class Suspect:
    """A pair by record number and school. `score`: bits in favour of one person; `same`, `other`: items compared."""

    pk_a: str
    pk_b: str
    school_a: str
    school_b: str
    score: float
    same: tuple[str, ...]
    other: tuple[str, ...]


OWN_WEIGHTS: Final = "本机 Fellegi-Sunter 权重"
SPLINK: Final = "Splink"


def suspects(
    read: Callable[[str, Sequence[str]], Iterable[Any]], *, memory_mb: int = 512, splink: bool = False
) -> tuple[Suspect, ...]:
    """All pairs, the weightiest first. `read(entity, columns)` gives Arrow blocks of golden rows with `pk`.

    `splink`: score by Splink instead of our own weights; `UsageError` E3452 where it is not installed.
    """
    if splink:
        require_installed()
    con = duckdb.connect(config={"memory_limit": f"{memory_mb}MB", "threads": 1})
    try:
        for entity, columns in READ.items():
            _load(con, entity, read(entity, columns))
        _pairs(con)
        found = _weighed(con)
        return _by_splink(con, found) if splink and found else found
    finally:
        con.close()


def _load(con: duckdb.DuckDBPyConnection, entity: str, blocks: Iterable[Any]) -> None:
    names = ", ".join(f"{ident(c)} VARCHAR" for c in READ[entity])
    con.execute(f"CREATE TABLE {entity} (pk VARCHAR, {names})")
    for block in blocks:
        con.register("block", block)
        columns = ", ".join(f"{ident(c)}::VARCHAR" for c in READ[entity])
        con.execute(f"INSERT INTO {entity} SELECT pk, {columns} FROM block")
        con.unregister("block")


def _pairs(con: duckdb.DuckDBPyConnection) -> None:
    rest = ", ".join(f"{t}.{ident(c)}" for t, e in (("b", "xs_sx"), ("c", "xs_xj")) for c in READ[e] if c != "GRBSM")
    con.execute(
        f"CREATE TABLE person AS SELECT a.*, {rest} FROM xs a LEFT JOIN xs_sx b ON b.GRBSM = a.GRBSM "
        "LEFT JOIN xs_xj c ON c.GRBSM = a.GRBSM"
    )
    key = " AND ".join(f"a.{k} = b.{k}" for k in KEY)
    con.execute(
        f"CREATE TABLE pair AS SELECT a.pk AS pk_a, b.pk AS pk_b FROM person a JOIN person b ON {key} AND a.pk < b.pk "
        "WHERE a.SFZJLXM IS DISTINCT FROM b.SFZJLXM OR a.SFZJH IS DISTINCT FROM b.SFZJH"
    )


def _weighed(con: duckdb.DuckDBPyConnection) -> tuple[Suspect, ...]:
    low, high = _CHANCE
    weight, same, other = [], [], []
    for field, word in COMPARED:
        row = con.execute(
            f"SELECT sum(n * n) / nullif(sum(n) * sum(n), 0) FROM (SELECT count(*)::DOUBLE AS n FROM person "
            f"WHERE {field} IS NOT NULL GROUP BY {field})"
        ).fetchone()
        chance = min(max(float(row[0]) if row and row[0] else high, low), high)
        agree, differ = f"a.{field} = b.{field}", f"a.{field} <> b.{field}"
        weight.append(
            f"CASE WHEN {agree} THEN log2({ONE_PERSON} / {chance}) "
            f"WHEN {differ} THEN log2({1 - ONE_PERSON} / {1 - chance}) ELSE 0 END"
        )
        same.append(f"CASE WHEN {agree} THEN {text(word)} END")
        other.append(f"CASE WHEN {differ} THEN {text(word)} END")
    rows = con.execute(
        f"SELECT pk_a, pk_b, a.XXDM, b.XXDM, round({' + '.join(weight)}, 1) AS score, "
        f"list_filter([{', '.join(same)}], lambda x: x IS NOT NULL), "
        f"list_filter([{', '.join(other)}], lambda x: x IS NOT NULL) "
        "FROM pair JOIN person a ON a.pk = pk_a JOIN person b ON b.pk = pk_b ORDER BY score DESC, pk_a, pk_b"
    ).fetchall()
    return tuple(Suspect(a, b, c, d, float(s), tuple(x), tuple(y)) for a, b, c, d, s, x, y in rows)


def _by_splink(con: duckdb.DuckDBPyConnection, found: Sequence[Suspect]) -> tuple[Suspect, ...]:
    weights = splink_weights(con, KEY, [field for field, _ in COMPARED], ONE_PERSON)
    scored = (replace(s, score=round(weights[s.pk_a, s.pk_b], 1)) for s in found)
    return tuple(sorted(scored, key=lambda s: (-s.score, s.pk_a, s.pk_b)))
