"""Cases of school tables: registry rows, majors, classes, the code crosswalk."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.sample.cases.casting import Cast
from connectors.sample.cases.edits import wide
from connectors.sample.cases.scene import Scene
from connectors.sample.cases.specials import doubted_code
from connectors.sample.plan import School
from connectors.sample.schools import class_row, major_row, registry_row
from connectors.sample.table import Row, Table

_FAULTS: dict[str, tuple[str, dict[str, str | None], str]] = {
    "wz01": ("XXDZ", {"XXDZ": None}, "WZ01"),
    "yx05": ("XXBXLXM", {"XXBXLXM": "377"}, "YX05"),
    "yx07": ("XXDM", {}, "YX07"),
    "yx08": ("XXDM", {}, "YX08"),
    "gl06": ("BXZTM", {"BXZTM": "4"}, "GL06"),
}


def play_schools(scene: Scene, tables: Mapping[str, Table], day: int, cast: Cast) -> None:
    """Plants the cases of day 1; on day 2 the registry learns of the schools that were unknown."""
    if not cast.students:
        return
    tiny = scene.world.plan.schools[scene.world.plan.main :]
    if day == 2:
        for school in tiny:
            if school.role == "registered":
                _registered(scene, tables, school)
        return
    for school in tiny:
        _fault(scene, tables, school)
    main = scene.world.plan.schools[: scene.world.plan.main]
    for number in range(scene.world.plan.per_kind):
        school = main[number % len(main)]
        _normalised(scene, tables["XX_JBXX"], number)
        _majors(scene, tables["ZY_SZ"], school, number)
        _classes(scene, tables["BJ_XX"], school, number)
    for index, parts in sorted(cast.students.items()):
        for part in parts:
            if part.kind.name == "doubted_school":
                _doubted(scene, tables["XX_DZ"], main[index], part.number)
    _old_majors(scene, tables["ZY_SZ"])


def _fault(scene: Scene, tables: Mapping[str, Table], school: School) -> None:
    if school.role in _FAULTS:
        field, values, rule = _FAULTS[school.role]
        registry = tables["XX_JBXX"]
        position = registry.at(school.index)[0]
        registry.change(position, values)
        registry.settle(position, False)
        fault = {"outcome": "quarantine", "rule": rule, "field": field}
        scene.record(f"{school.role}_xx", registry, registry.row(position), fault)
    for name in ("ZY_SZ", "BJ_XX"):
        table = tables[name]
        for position in table.at(school.index):
            table.settle(position, False)
            expected = {"outcome": "held", "rule": "GL01", "ruling": 1}
            scene.record(f"held_school_{school.role}", table, table.row(position), expected)


def _registered(scene: Scene, tables: Mapping[str, Table], school: School) -> None:
    registry = tables["XX_JBXX"]
    row: Row = dict.fromkeys(registry.columns)
    row |= registry_row(scene.world, school) | {"GXSJ": scene.later(school.index)}
    registry.add(row, gold=True)
    expected = {"outcome": "golden", "change": "insert"}
    case = scene.record("school_registered", registry, row, expected, day=2)
    for name in ("ZY_SZ", "BJ_XX"):
        table = tables[name]
        for position in table.at(school.index):
            table.settle(position, True)
            scene.record("released_with_school", table, table.row(position), expected, day=2, because=case)


def _normalised(scene: Scene, table: Table, number: int) -> None:
    """Full-width digits in a phone, a placeholder in a fax, an abolished division (YX06); on schools of their own."""
    plan, abolished = scene.world.plan, scene.world.facts.abolished

    def change(kind: str, turn: int, field: str, value: str, **expected: object) -> None:
        school = plan.schools[(number + turn * plan.per_kind) % plan.main]
        position = table.at(school.index)[0]
        table.change(position, {field: value})
        tell = scene.note if "rule" in expected else scene.record
        tell(kind, table, table.row(position), {"outcome": "golden", "field": field, **expected})

    digits = f"1390311{number:04d}"
    change("wide_school_phone", 0, "LXDH", wide(digits), golden_value=digits)
    change("placeholder_school_fax", 1, "CZDH", ("无", "-", "NULL")[number % 3], golden_value=None)
    if abolished:
        old = abolished[number % len(abolished)]
        change("yx06_abolished_division", 2, "XZQHM", old, rule="YX06", golden_value=old, severity="警告")


def _add(scene: Scene, table: Table, row: Row, kind: str, rule: str, field: str, number: int) -> None:
    full: Row = dict.fromkeys(table.columns)
    full |= row | {"SJZT": "1", "GXSJ": f"{scene.world.plan.today.isoformat()} 02:{number % 60:02d}:00"}
    table.add(full, gold=False)
    held = rule == "GL02"
    expected = {"outcome": "held" if held else "quarantine", "rule": rule, "field": field}
    scene.record(kind, table, full, expected)


def _majors(scene: Scene, table: Table, school: School, number: int) -> None:
    major = scene.world.facts.majors_new[(number * 11 + 5) % len(scene.world.facts.majors_new)]

    def row(tag: str) -> Row:
        return major_row(school, f"{major.code}-{tag}{number}", major.code, major.name)

    faults: dict[str, tuple[str, Row, str, str]] = {
        "wz01_zy": ("a", {"ZYMC": None}, "WZ01", "ZYMC"),
        "yx14_zy": ("b", {"JLNY": "202013"}, "YX14", "JLNY"),
        "yx18_zy": ("c", {"ZYFXMC": "方向" * 51}, "YX18", "ZYFXMC"),
    }
    for kind, (tag, values, rule, field) in faults.items():
        _add(scene, table, row(tag) | values, kind, rule, field, number)
    for twin in ("甲", "乙"):
        _add(scene, table, row("d") | {"ZYFXMC": f"{twin}方向"}, "wy01_zy", "WY01", "ZYBH", number)


def _classes(scene: Scene, table: Table, school: School, number: int) -> None:
    major, grade = school.majors[0], scene.world.plan.newest

    def row(tag: str, **values: str | None) -> Row:
        name = f"{grade}级空班{tag}{number}"
        return class_row(school, f"K{tag}{number}", name, grade, (major.number, major.major.code)) | values

    faults = {
        "wz01_bj": (row("a", JBNY=None), "WZ01", "JBNY"),
        "yx05_bj": (row("b", BJZTM="9"), "YX05", "BJZTM"),
        "yx14_bj": (row("c", JBNY=f"{grade}13"), "YX14", "JBNY"),
        "yx18_bj": (row("h", BJMC="长" * 51), "YX18", "BJMC"),
        "gl02_bj": (row("d", ZYBH="000000-99"), "GL02", "ZYBH"),
    }
    for kind, (values, rule, field) in faults.items():
        _add(scene, table, values, kind, rule, field, number)
    twins = [row("e"), row("e", BJMC=f"{grade}级另一班{number}")]
    twins += [row("f", BJMC=f"{grade}级同名班{number}"), row("g", BJMC=f"{grade}级同名班{number}")]
    for n, twin in enumerate(twins):
        kind = "wy08_class_number" if n < 2 else "wy08_class_name"
        _add(scene, table, twin, kind, "WY08", "BH" if n < 2 else "BJMC", number)


def _doubted(scene: Scene, table: Table, school: School, number: int) -> None:
    """A crosswalk row nobody confirmed opens a conflict and maps nothing (ruling 18)."""
    code = doubted_code(school.code, number)
    row: Row = {"JXXDM": code, "XXDM": school.code, "QRZTM": "0"}
    table.add(row | {"GXSJ": f"{scene.world.plan.today.isoformat()} 02:00:00"}, gold=False)
    key = {"JXXDM": code}
    expected = {"outcome": "conflict", "state": "待处理", "ruling": 18, "field": "XXDM"}
    scene.answers.add("crosswalk_unconfirmed", "xx", table.source.name, key, expected)


def _old_majors(scene: Scene, table: Table) -> None:
    """Majors of the 2010 catalogue stand beside new ones and keep their code."""
    known = {m.code: m for m in scene.world.facts.majors_old}
    for position in [p for p in range(len(table.owner)) if table.gold[p] and table.row(p)["ZYDM"] in known]:
        row = table.row(position)
        major = known[str(row["ZYDM"])]
        expected = {"outcome": "golden", "field": "ZYMLBB", "golden_value": "2010", "DYXZYDM": major.successor}
        scene.record("major_2010", table, row, expected)
