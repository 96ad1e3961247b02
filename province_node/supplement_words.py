"""Classes and majors that a supplement names by words (班级名称, 专业简称) become the school's own numbers.

Decides by the classes and majors of the school: the word may be the name, the short name or the number itself. Of
classes with one name the row's grade chooses; of majors with one name the row's class. A word that names nothing, or
more than one, refuses the row with a reason. Works on whole columns; the tables of words are the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from hub.catalog import Template
from quality.expressions import FULL_WIDTH, HALF_WIDTH, ident, text

CLASS, MAJOR = "BH", "ZYDM"
# Columns a resolved word fills, by the field the template names.
FILLS = {CLASS: (("BH", "class_no"),), MAJOR: (("ZYBH", "major_no"), ("ZYDM", "major_code"))}
NOT_FOUND, AMBIGUOUS = "E3701", "E3702"
_SAID = {
    (CLASS, NOT_FOUND): "本校没有这个班级；请核对班级名称，或先补录班级信息",
    (CLASS, AMBIGUOUS): "本校有几个班级叫这个名称；请改填班号，或填写年级",
    (MAJOR, NOT_FOUND): "本校没有这个专业；请核对专业名称或简称，或先完成【专业设置】",
    (MAJOR, AMBIGUOUS): "本校有几个专业叫这个名称；请改填本校专业编号",
}


@dataclass(frozen=True)
class Unresolved:
    """A row whose word names no class or major, or several: extract number, sheet row, target, code, reason."""

    extract: int
    row: int
    target: str
    code: str
    reason: str


def word_key(value: str) -> str:
    """SQL of a word as it is compared: half width, without blanks, upper case."""
    narrow = f"translate({value}, {text(FULL_WIDTH + '（）　')}, {text(HALF_WIDTH + '() ')})"
    return f"upper(replace({narrow}, ' ', ''))"


def no_words(con: duckdb.DuckDBPyConnection) -> None:
    """Empty tables of words: `word_class` (school, grade, word, class_no, major_no), `word_major` (school, word, …)."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE word_class "
        "(school VARCHAR, grade VARCHAR, word VARCHAR, class_no VARCHAR, major_no VARCHAR)"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE word_major (school VARCHAR, word VARCHAR, major_no VARCHAR, major_code VARCHAR)"
    )


def add_words(con: duckdb.DuckDBPyConnection, classes: Iterable[str], majors: Iterable[str]) -> None:
    """Takes classes (SELECT of school, BH, BJMC, NJDM, ZYBH) and majors (school, ZYBH, ZYDM, ZYMC, ZYJC)."""
    for rows in classes:
        for word in ("BJMC", "BH"):
            con.execute(
                f"INSERT INTO word_class SELECT school, NJDM, {word_key(word)}, BH, ZYBH FROM ({rows}) "
                f"WHERE {word} IS NOT NULL AND BH IS NOT NULL"
            )
    for rows in majors:
        for word in ("ZYMC", "ZYJC", "ZYBH"):
            con.execute(
                f"INSERT INTO word_major SELECT school, {word_key(word)}, ZYBH, ZYDM FROM ({rows}) "
                f"WHERE {word} IS NOT NULL AND ZYBH IS NOT NULL"
            )


def resolve_words(
    con: duckdb.DuckDBPyConnection, rows: pa.Table, template: Template
) -> tuple[pa.Table, list[Unresolved]]:
    """Rows with the numbers in columns `xs_xj.BH`, `xs_xj.ZYBH`, `xs_xj.ZYDM`, without those whose words fail.

    `rows`: raw text by target, with `_school`, `_ext`, `_row`.
    """
    words = {
        c.parts[2]: c.target
        for c in template.columns
        if c.parts is not None and c.parts[3] in ("name", "short_name") and c.target in rows.column_names
    }
    if not words:
        return rows, []
    con.register("worded", rows)
    con.execute("CREATE OR REPLACE TEMP TABLE named AS SELECT _ext, _row, _school AS school, " + _asked(rows, words))
    con.execute(_CHOSEN)
    faults = _faults(con, words)
    extra = [
        f"n.{source} AS {ident(f'xs_xj.{field}')}"
        for name, fills in FILLS.items()
        if name in words
        for field, source in fills
        if f"xs_xj.{field}" not in rows.column_names
    ]
    kept: pa.Table = con.sql(
        f"SELECT w.*, {', '.join(extra)} FROM worded w JOIN chosen n USING (_ext, _row) "
        "WHERE n.class_fault IS NULL AND n.major_fault IS NULL ORDER BY _ext, _row"
    ).to_arrow_table()
    con.unregister("worded")
    return kept, faults


def _asked(rows: pa.Table, words: dict[str, str | None]) -> str:
    def word(name: str) -> str:
        target = words.get(name)
        return f"nullif({word_key(ident(target))}, '')" if target else "NULL::VARCHAR"

    grades = [f"nullif(trim({ident(c)}), '')" for c in ("xs_xj.NJDM",) if c in rows.column_names]
    grades += [f"nullif(substr(trim({ident(c)}), 1, 4), '')" for c in ("xs_xj.RXNY",) if c in rows.column_names]
    grade = f"coalesce({', '.join(grades)}, '')" if grades else "''"
    return f"{word(CLASS)} AS class_word, {word(MAJOR)} AS major_word, {grade} AS grade FROM worded"


# Of several classes the grade chooses, of several majors the class.
_CHOSEN = """
CREATE OR REPLACE TEMP TABLE chosen AS
WITH class_found AS (
    SELECT n._ext, n._row, list(DISTINCT c.class_no) AS every,
    list(DISTINCT c.class_no) FILTER (WHERE c.grade = n.grade) AS same
    FROM named n JOIN word_class c ON c.school = n.school AND c.word = n.class_word GROUP BY ALL
), class_chosen AS (
    SELECT n.*, CASE WHEN len(same) = 1 THEN same[1]
    WHEN coalesce(len(same), 0) = 0 AND len(every) = 1 THEN every[1] END AS class_no,
    every IS NOT NULL AS class_known FROM named n LEFT JOIN class_found USING (_ext, _row)
), major_found AS (
    SELECT n._ext, n._row, list(DISTINCT m.major_no) AS every,
    list(DISTINCT m.major_no) FILTER (WHERE m.major_no IN (SELECT k.major_no FROM word_class k
        WHERE k.school = n.school AND k.class_no = n.class_no)) AS same
    FROM class_chosen n JOIN word_major m ON m.school = n.school AND m.word = n.major_word GROUP BY ALL
), major_chosen AS (
    SELECT n.*, CASE WHEN len(every) = 1 THEN every[1] WHEN len(same) = 1 THEN same[1] END AS major_no,
    every IS NOT NULL AS major_known FROM class_chosen n LEFT JOIN major_found USING (_ext, _row)
)
SELECT n.*,
(SELECT max(m.major_code) FROM word_major m WHERE m.school = n.school AND m.major_no = n.major_no) AS major_code,
CASE WHEN class_word IS NULL OR class_no IS NOT NULL THEN NULL
WHEN class_known THEN 'E3702' ELSE 'E3701' END AS class_fault,
CASE WHEN major_word IS NULL OR major_no IS NOT NULL THEN NULL
WHEN major_known THEN 'E3702' ELSE 'E3701' END AS major_fault
FROM major_chosen n
"""


def _faults(con: duckdb.DuckDBPyConnection, words: dict[str, str | None]) -> list[Unresolved]:
    found = con.execute(
        "SELECT _ext, _row, class_fault, major_fault FROM chosen "
        "WHERE class_fault IS NOT NULL OR major_fault IS NOT NULL ORDER BY _ext, _row"
    ).fetchall()
    return [
        Unresolved(int(ext), int(row), str(words[name]), code, _SAID[name, code])
        for ext, row, *codes in found
        for name, code in zip((CLASS, MAJOR), codes, strict=True)
        if code is not None
    ]
