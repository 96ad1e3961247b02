"""A small province written by hand: canonical rows, what the sources say of them, and what must become golden.

Shares no code with the product or its sample generator; every derived value is worked out here from the model's text.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from openpyxl import Workbook

from tests.settling.handmade import people
from tests.settling.handmade.layout import FIELDS, KEYS, SOURCES, TABLE

Row = dict[str, Any]
ANY = "<any>"  # a golden value the documents leave open (spelling of a derived pinyin)
FIRST_DAY, SECOND_DAY = "2026-03-10", "2026-03-11"
STAMP = "2026-03-09 10:{:02d}:{:02d}"
NUMBERS = {"XZ", "KSZF", "JE", "CYXH", "ZRS", "XXXQS", "XQMJ", "XQJZMJ"}
# Column types as an export tool might choose them; the rest is TEXT.
TYPES = {
    "XZ": "REAL", "KSZF": "NUMERIC(6,1)", "JE": "NUMERIC(12,2)", "CYXH": "INTEGER", "SJZT": "VARCHAR(1)",
    "BGXH": "INTEGER", "XXDM": "VARCHAR(10)", "XM": "VARCHAR(36)", "CSRQ": "VARCHAR(10)", "GXSJ": "TIMESTAMP",
}  # fmt: skip


@dataclass
class Expect:
    """Where a record must end: quarantine (rule, field), held, or absent (nowhere golden)."""

    state: str
    rules: tuple[str, ...] = ()
    field: str = ""


def quarantined(*rules: str, at: str = "") -> Expect:
    return Expect("隔离", rules, at)


HELD = Expect("挂起")
ABSENT = Expect("")


@dataclass
class World:
    """`tables`: what the sources hold. `golden`: what must stand. `cases`: name -> (entity, key, expectation)."""

    tables: dict[tuple[str, str], list[Row]] = field(default_factory=dict)
    golden: dict[str, dict[tuple[str, ...], Row]] = field(default_factory=lambda: {e: {} for e in FIELDS})
    cases: dict[str, tuple[str, tuple[str, ...], Expect]] = field(default_factory=dict)
    sheets: dict[str, list[list[Any]]] = field(default_factory=dict)
    count: int = 0

    def raw(self, system: str, table: str, row: Mapping[str, Any]) -> Row:
        """A source row as is, with SJZT 1 and an update time of its own."""
        self.count += 1
        stamp = STAMP.format(self.count // 60 % 60, self.count % 60)
        full = {"SJZT": "1", "GXSJ": stamp + (".250000" if self.count % 3 == 0 else ""), **row}
        self.tables.setdefault((system, table), []).append(full)
        return full

    def put(self, entity: str, row: Row, src: Row | None = None, expect: Expect | None = None, name: str = "") -> Row:
        """A canonical row and what the source says of it; golden unless something else is expected."""
        told = people.told(entity, row) | (src or {})
        if expect is None:
            self.stand(entity, row)
        else:
            self.cases[name or f"{entity}-{self.count}"] = (entity, key_of(entity, row), expect)
        return self.raw(*TABLE[entity], told)

    def stand(self, entity: str, row: Row) -> None:
        """The row must be golden, with every canonical field exactly so."""
        fields = {f: row.get(f) for f in FIELDS[entity]}
        self.golden[entity][key_of(entity, row)] = fields

    def student(
        self,
        name: str,
        student: people.Student,
        *,
        src: Mapping[str, Row] | None = None,
        out: Mapping[str, Expect] | None = None,
    ) -> people.Student:
        """Puts xs, xs_sx, xs_xj; when xs is not golden, what hangs on it is held unless said otherwise."""
        src, out = src or {}, out or {}
        down = out.get("xs")
        for entity, row in (("xs", student.xs), ("xs_sx", student.sx), ("xs_xj", student.xj)):
            if row is None:
                continue
            expect = out.get(entity, HELD if down is not None and down.state else down)
            self.put(entity, row, src.get(entity), expect, f"{name}/{entity}")
        return student

    def finish(self) -> World:
        """Works out what follows from golden rows: ZRS (students 在读 of a class), XXXQS (campuses of a school)."""
        for (school, number), row in self.golden["bj"].items():
            row["ZRS"] = sum(
                1 for s in self.golden["xs_xj"].values() if (s["XXDM"], s["BH"], s["XSDQZTM"]) == (school, number, "01")
            )
        for (school,), row in self.golden["xx"].items():
            row["XXXQS"] = sum(1 for x, _ in self.golden["xq"] if x == school)
        return self

    def copy(self) -> World:
        return deepcopy(self)


def key_of(entity: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(plain(k, row[k])) for k in KEYS[entity])


def plain(name: str, value: Any) -> str | None:
    """A value as text, numbers without trailing zeros, so that 3.0 and 3 are the same 学制."""
    if value is None or value == "":
        return None
    if name in NUMBERS:
        try:
            return format(Decimal(str(value)).normalize(), "f")
        except InvalidOperation:
            return str(value)
    return str(value)


def write(world: World, folder: Path, *, dictionaries: bool = True) -> None:
    """The three databases, the templates and (unless said otherwise) the site dictionaries."""
    folder.mkdir(parents=True, exist_ok=True)
    for system in ("S1", "S2", "S3"):
        path = folder / f"{system.lower()}.db"
        path.unlink(missing_ok=True)
        con = sqlite3.connect(path)
        for (owner, table, _), columns in SOURCES.items():
            if owner != system:
                continue
            spelled = ", ".join(f'"{c}" {TYPES.get(c, "TEXT")}' for c in columns)
            con.execute(f"CREATE TABLE {table} ({spelled})")
            rows = [[r.get(c) for c in columns] for r in world.tables.get((system, table), [])]
            con.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", rows)
        con.commit()
        con.close()
    (folder / "templates").mkdir(exist_ok=True)
    for name, lines in world.sheets.items():
        book = Workbook()
        sheet = book.active
        assert sheet is not None
        sheet.title = "sheet1"
        for line in lines:
            sheet.append(line)
        book.save(folder / "templates" / name)
    if dictionaries:
        (folder / "site_dictionaries.csv").write_text(people.SITE, encoding="utf-8")
