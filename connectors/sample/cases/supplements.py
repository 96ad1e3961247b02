"""Cases of school supplements (L): what a school fills in, disputes, or knows alone; and the 校内机构 sheets."""

from __future__ import annotations

from datetime import date
from typing import Any

from connectors.sample.cases.scene import Play, Scene, Unit
from connectors.sample.cases.second_day import hidden
from connectors.sample.plan import School
from connectors.sample.sheets import Cells
from connectors.sample.table import Table

_TABLES = {"xs": "XS_JBXX", "xs_sx": "XS_JBSX", "xs_xj": "XS_XJXX"}


def teacher_cells(unit: Unit) -> Cells:
    """The teacher's S2 row as the template shows it; dates as text with and without dashes, or as date cells."""
    row = unit.row("JZG_JBXX")
    cells: Cells = {}
    for column in unit.scene.world.facts.catalog.templates["teacher_zz"].columns:
        if column.parts:
            cells[column.header] = row[column.parts[2]]
    born, style = str(row["CSRQ"]), unit.number % 3
    cells["出生日期"] = (born, born.replace("-", ""), date.fromisoformat(born))[style]
    for header in ("参加工作年月", "进本校年月"):
        cells[header] = str(cells[header]).replace("-", "") if style else cells[header]
    return cells


def student_cells(unit: Unit) -> Cells:
    """The student's S1 rows as the template shows them: labels for codes, names for class and major, no family."""
    facts = unit.scene.world.facts
    rows = {e: unit.row(t) for e, t in _TABLES.items()}
    cells: Cells = {}
    for column in facts.catalog.templates["student_v2017"].columns:
        if column.parts is None or column.parts[0] not in rows:
            continue
        entity, _, name, lookup = column.parts
        value, code = rows[entity][name], facts.catalog.entities[entity][name].code
        if lookup:
            klass = next(c for c in unit.school.classes if c.number == rows["xs_xj"]["BH"])
            value = klass.name if lookup == "name" else klass.major.major.name
        elif code and value is not None:
            value = facts.label(code, value)
        cells[column.header] = value.removesuffix(".0") if name == "XZ" and value else value
    return cells


def _fill(unit: Unit, teacher: bool, header: str, value: str) -> None:
    cells = teacher_cells(unit) if teacher else student_cells(unit)
    unit.scene.sheets.add("teacher_zz" if teacher else "student_v2017", unit.school.code, {**cells, header: value})


def filled(kind: str, table: str, field: str, header: str, value: str, golden: str) -> Play:
    """The source's field is empty, the school fills it (ruling 4, ruling 9)."""

    def play(unit: Unit) -> None:
        teacher = table == "JZG_JBXX"
        _fill(unit, teacher, header, value)
        unit.change(table, **{field: None})
        expected = {"outcome": "golden", "field": field, "golden_value": golden, "provenance": "L", "ruling": 9}
        unit.scene.record(kind, unit[table], unit.row(table), expected)

    return play


def disputed(kind: str, table: str, field: str, header: str, code_table: str, codes: tuple[str, str]) -> Play:
    """The school says otherwise than the authority: recorded, the authority's value stands (ruling 21)."""

    def play(unit: Unit) -> None:
        facts, teacher = unit.scene.world.facts, table == "JZG_JBXX"
        _fill(unit, teacher, header, facts.label(code_table, codes[1]))
        unit.change(table, **{field: facts.label(code_table, codes[0]) if teacher else codes[0]})
        expected = {"outcome": "conflict", "state": "已由权威源定值", "field": field, "ruling": 21}
        expected |= {"golden_value": codes[0], "losing_value": codes[1], "losing_source": "L"}
        unit.scene.record(kind, unit[table], unit.row(table), expected)

    return play


def rescued(kind: str, table: str, field: str, header: str, label: str, bad: str) -> Play:
    """An invalid authority value against a valid one of the school: a person decides (ruling 21)."""

    def play(unit: Unit) -> None:
        _fill(unit, table == "JZG_JBXX", header, label)
        unit.change(table, **{field: bad})
        ruling = {"ruling": 21, "conflict": True, "state": "待处理"}
        rule = None if table == "JZG_JBXX" else "YX05"
        unit.refuse(kind, rule, field, **ruling)

    return play


def teacher_only_local(unit: Unit) -> None:
    """A teacher no platform knows enters with source letter L."""
    cells, row = teacher_cells(unit), unit.row("JZG_JBXX")
    unit.scene.sheets.add("teacher_zz", unit.school.code, cells)
    hidden(unit)
    unit.scene.sheets.golden["jzg"] += 1
    key = {"XXDM": row["XXDM"], "GH": row["GH"]}
    expected = {"outcome": "golden", "provenance": "L", "ruling": 9}
    unit.scene.answers.add("l_only_teacher", "jzg", "L.teacher_zz", key, expected)


def student_only_local(unit: Unit) -> None:
    """A student without 学籍号 waits for S1 in the review area and is never golden before."""
    cells, row = student_cells(unit), unit.row("XS_JBXX")
    unit.scene.sheets.add("student_v2017", unit.school.code, cells)
    hidden(unit)
    key = {"SFZJLXM": row["SFZJLXM"], "SFZJH": row["SFZJH"]}
    unit.scene.answers.add("l_only_student", "xs", "L.student_v2017", key, {"outcome": "review", "ruling": 9})


_DEPARTMENTS = ("校长办公室", "教务处", "学生处", "总务处", "招生就业处", "实训中心")


def departments(scene: Scene, school: School, teachers: Table, dirt: bool) -> None:
    """The 校内机构 sheet of a school: six departments, two sections below the second; with dirt the GL04 cases."""
    head = str(teachers.row(teachers.at(school.first_teacher)[0])["GH"])
    number = (f"{n + 1:06d}" for n in range(100))
    rows = [(next(number), name, "000000") for name in _DEPARTMENTS]
    rows += [(next(number), name, "000002") for name in ("教学科", "教研科")]
    for jgh, name, parent in rows:
        _department(scene, school, (jgh, name, parent, head))
    scene.sheets.golden["jg"] += len(rows)
    if dirt:
        first, second = next(number), next(number)
        faults = [(first, "循环一科", second), (second, "循环二科", first), (next(number), "无主科", "009999")]
        for jgh, name, parent in faults:
            _department(scene, school, (jgh, name, parent, head))
            kind = "gl04_unknown_parent" if parent == "009999" else "gl04_cycle"
            key = {"XXDM": school.code, "JGH": jgh}
            expected = {"outcome": "quarantine", "rule": "GL04", "field": "LSSJJGH"}
            scene.answers.add(kind, "jg", "L.jg", key, expected)


def _department(scene: Scene, school: School, values: tuple[str, str, str, str]) -> None:
    jgh, name, parent, head = values
    row: dict[str, Any] = {"XXDM": school.code, "JGH": jgh, "JGMC": name, "LSSJJGH": parent, "FZRH": head}
    row |= {"JGYXBS": "是", "SFST": "是", "JLNY": "201909"}
    fields = scene.world.facts.catalog.entities["jg"].fields
    scene.sheets.add("jg", school.code, {f.cn: row.get(f.name) for f in fields})
