"""Disputes for the demo (`make serve`): schools whose supplements say otherwise than the platform says wrongly.

Decides in which fields the student platform holds an unknown code, and adds rows to the schools' own sheets that say it
right: good rows that disagree where no owner is valid, which a person decides (ruling 21). Sample data only, before
the first round.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from openpyxl import Workbook, load_workbook

from connectors.sample.facts import Facts, load_facts

# Field, its header in the school's sheet, the right label and code, and the code the platform is made to hold.
FIELDS: Final = (
    ("JKZKM", "健康状况", "健康或良好", "1", "7"),
    ("MZM", "民族", "汉族", "01", "99"),
    ("HYZKM", "婚姻状况", "未婚", "10", "7"),
)
_TABLES: Final = {"xs": "XS_JBXX", "xs_sx": "XS_JBSX", "xs_xj": "XS_XJXX"}
_TEMPLATE: Final = "student_v2017"
_NAME: Final = "学生补录_{}.xlsx"


def dispute(sources: Path, province: str, *, schools: int, students: int) -> int:
    """Spoils the field for `students` students in each of `schools` schools and writes their sheets; how many in all.

    `sources`: a folder `hub sample` made, with `s1.db` and `templates/`.
    """
    facts, done = load_facts(province), 0
    with sqlite3.connect(sources / "s1.db") as con:
        con.row_factory = sqlite3.Row
        for at, school in enumerate(_schools(con, schools)):
            field, header, label, right, unknown = FIELDS[at % len(FIELDS)]
            rows = _students(con, school, students, (field, right))
            _write(sources / "templates" / _NAME.format(school), facts, con, rows, (header, label))
            keys = [(unknown, r["xs"]["GRBSM"]) for r in rows]
            con.executemany(f"UPDATE XS_JBXX SET {field} = ? WHERE GRBSM = ?", keys)
            done += len(rows)
    return done


def _schools(con: sqlite3.Connection, many: int) -> list[str]:
    """The schools with most students."""
    found = con.execute("SELECT XXDM FROM XS_XJXX WHERE BH IS NOT NULL GROUP BY XXDM ORDER BY count(*) DESC, XXDM")
    return [str(r[0]) for r in found.fetchmany(many)]


def _students(
    con: sqlite3.Connection, school: str, many: int, holds: tuple[str, str]
) -> list[dict[str, Mapping[str, Any]]]:
    """Ordinary students of a school, spread over it, with their rows by entity."""
    keys = con.execute(
        "SELECT j.GRBSM FROM XS_XJXX j JOIN XS_JBXX b ON b.GRBSM = j.GRBSM JOIN XS_JBSX s ON s.GRBSM = j.GRBSM "
        f"WHERE j.XXDM = ? AND j.BH IS NOT NULL AND j.SJZT IS NOT NULL AND b.{holds[0]} = ? "
        "GROUP BY j.GRBSM HAVING count(*) = 1 ORDER BY substr(j.GRBSM, -3), j.GRBSM LIMIT ?",
        (school, holds[1], many),
    ).fetchall()
    return [
        {e: dict(con.execute(f"SELECT * FROM {t} WHERE GRBSM = ?", (k[0],)).fetchone()) for e, t in _TABLES.items()}
        for k in keys
    ]


def _write(
    path: Path,
    facts: Facts,
    con: sqlite3.Connection,
    rows: list[dict[str, Mapping[str, Any]]],
    says: tuple[str, str],
) -> None:
    """Adds to the school's sheet, or begins it."""
    columns = facts.catalog.templates[_TEMPLATE].columns
    if path.is_file():
        book = load_workbook(path)
        sheet: Any = book["sheet1"]
    else:
        book = Workbook()
        sheet = book.active
        sheet.title = "sheet1"
        sheet.append([c.header for c in columns])
    for row in rows:
        cells = {c.header: _cell(facts, con, row, c.parts) for c in columns if c.parts and c.parts[0] in _TABLES}
        sheet.append([{**cells, says[0]: says[1]}.get(c.header) for c in columns])
    book.save(path)


def _cell(
    facts: Facts, con: sqlite3.Connection, row: dict[str, Mapping[str, Any]], parts: tuple[Any, ...]
) -> str | None:
    """As a school writes it: labels for codes, names for class and major."""
    entity, _, name, lookup = parts
    value = row[entity][name]
    if lookup:
        table, column, key = ("BJ_XX", "BJMC", "BH") if lookup == "name" else ("ZY_SZ", "ZYMC", "ZYBH")
        query = f"SELECT {column} FROM {table} WHERE XXDM = ? AND {key} = ?"
        found = con.execute(query, (row["xs_xj"]["XXDM"], row["xs_xj"][key])).fetchone()
        return str(found[0]) if found else None
    code = facts.catalog.entities[entity][name].code
    if code and value is not None:
        return facts.label(code, str(value))
    text = None if value is None else str(value)
    return text.removesuffix(".0") if name == "XZ" and text else text
