"""School registry and school-level tables: XX_JBXX, XX_BG (S3), ZY_SZ, BJ_XX, XX_DZ (S1); row by row, they are few."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from connectors.sample.plan import School
from connectors.sample.students import World, updated
from connectors.sample.table import Row, Table
from connectors.sample.text import credit_code, texts


def school_tables(world: World) -> dict[str, Table]:
    """`owner` of each row is the index of its school."""
    plan = world.plan
    listed = [s for s in plan.schools if s.role != "unknown" and s.role != "registered"]
    main = plan.schools[: plan.main]
    return {
        "XX_JBXX": _table(world, "XX_JBXX", [(s.index, registry_row(world, s)) for s in listed]),
        "XX_BG": _table(world, "XX_BG", [(s.index, _renaming(s)) for s in main if s.index % 7 == 0]),
        "ZY_SZ": _table(world, "ZY_SZ", [(s.index, r) for s in plan.schools for r in _majors(s)]),
        "BJ_XX": _table(world, "BJ_XX", [(s.index, r) for s in plan.schools for r in _classes(s)]),
        "XX_DZ": _table(world, "XX_DZ", [(s.index, {"JXXDM": s.old_code, "XXDM": s.code, "QRZTM": "1"}) for s in main]),
    }


def _table(world: World, name: str, rows: Iterable[tuple[int, Row]]) -> Table:
    source = next(t for t in world.facts.catalog.source_tables() if t.table == name)
    pairs = list(rows)
    owner = np.array([p[0] for p in pairs], dtype=np.int64)
    columns = {c: texts([r.get(c) for _, r in pairs]) for c in source.column_names if any(c in r for _, r in pairs)}
    columns["GXSJ"] = updated(world, name, np.arange(len(pairs), dtype=np.int64))
    if source.state:
        columns[source.state] = texts(["1"] * len(pairs))
    return Table(source, columns, owner)


def registry_row(world: World, s: School) -> Row:
    """A valid registry row, whatever the school's role (roles that are a case change it afterwards)."""
    draw = world.dice.one
    private = draw("xx.private", s.index, 6) == 0
    place, serial = s.county.code, f"{s.index + 1:08d}"
    return {
        "XXDM": s.code,
        "XXMC": s.name,
        "XXBXLXM": s.kind,
        "XXJBZM": "999" if private else "831",
        "XXZGBMM": "831",
        "XXBBM": "22" if private else "21",
        "XZQHM": place,
        "SZDCXLXM": ("111", "112", "121")[draw("xx.area", s.index, 3)],
        "TYSHXYDM": credit_code(f"{'52' if private else '12'}{place}{serial}{s.index % 10}"),
        "XXDZ": f"{s.county.name}育才路{draw('xx.house', s.index, 300) + 1}号",
        "XXYZBM": f"05{draw('xx.post', s.index, 10_000):04d}",
        "JXNY": f"{1975 + draw('xx.year', s.index, 40)}09",
        "FRZSH": f"F{place}{serial}",
        "XZXM": _headmaster(world, s.index),
        "LXDH": f"13{draw('xx.phone', s.index, 10**9):09d}",
        "DZXX": f"school{s.index + 1}@example.cn",
        "BXZTM": "2" if draw("xx.again", s.index, 25) == 0 else "1",
        "SJZT": "1",
    }


def _headmaster(world: World, index: int) -> str:
    names, draw = world.facts.names, world.dice.one
    given = names.given[0]
    first, second = (given[draw(f"xx.{n}", index, len(given))] for n in "ab")
    return f"{names.surnames[draw('xx.s', index, 80)]}{first}{second}"


def _renaming(s: School) -> Row:
    return {
        "BGXH": str(s.index + 1),
        "BGLXM": "1",
        "YXXDM": s.code,
        "XXXDM": s.code,
        "YXXMC": f"{s.county.name}职业中学",
        "XXXMC": s.name,
        "BGRQ": "20150901",
    }


def major_row(s: School, number: str, code: str, name: str) -> Row:
    return {"XXDM": s.code, "ZYBH": number, "ZYDM": code, "ZYMC": name, "XZ": "3.0", "ZYJC": name, "JLNY": "201909"}


def _majors(s: School) -> Iterable[Row]:
    return (major_row(s, m.number, m.major.code, m.major.name) for m in s.majors)


def class_row(s: School, number: str, name: str, grade: int, major: tuple[str, str], graduated: bool = False) -> Row:
    """`major`: (number at the school, catalogue code)."""
    return {
        "XXDM": s.code,
        "BH": number,
        "BJMC": name,
        "NJDM": str(grade),
        "ZYBH": major[0],
        "ZYDM": major[1],
        "XZ": "3.0",
        "JBNY": f"{grade}09",
        "BJZTM": "2" if graduated else "1",
    }


def _classes(s: School) -> Iterable[Row]:
    return (
        class_row(s, c.number, c.name, c.grade, (c.major.number, c.major.major.code), c.graduated) for c in s.classes
    )
