"""Cases of several rows: duplicates and clashes, incomplete sets, changes of status, school codes, cancelled rows."""

from __future__ import annotations

from datetime import timedelta

from connectors.sample.cases.edits import wrong_check
from connectors.sample.cases.scene import Play, Unit
from connectors.sample.table import Row
from connectors.sample.text import check_char

OTHER_PHONE = "13900000000"


def without(name: str, kind: str) -> Play:
    """A row of the set is missing: the main record is refused (WZ08), what is there waits."""

    def play(unit: Unit) -> None:
        table = unit[name]
        table.drop(table.at(unit.owner)[0])
        unit.refuse(kind, "WZ08", None)

    return play


def malformed_number(unit: Unit) -> None:
    number = str(unit.row("XS_JBXX")["GRBSM"])
    unit.change_all(GRBSM=("X" + number[1:], number[:18], number[:10] + "A" + number[11:])[unit.number % 3])
    unit.refuse("yx12_student_number", "YX12", "GRBSM")


def wrong_number(unit: Unit) -> None:
    unit.change_all(GRBSM=wrong_check(str(unit.row("XS_JBXX")["GRBSM"])))
    unit.refuse("yx13_student_number", "YX13", "GRBSM", also=["YZ03"])


def differing_copy(kind: str, name: str, **values: str) -> Play:
    """A second row of the same key with other values: both are quarantined, one conflict (ruling 3)."""

    def play(unit: Unit) -> None:
        table = unit[name]
        position = table.at(unit.owner)[0]
        row = table.row(position)
        table.add({**row, **values}, gold=False)
        table.settle(position, False)
        case = unit.scene.record(kind, table, row, {"outcome": "quarantine", "rule": "WY01", "conflict": True}, rows=2)
        if table is unit.main:
            unit.hold(case)

    return play


def identical_copy(kind: str, name: str) -> Play:
    """The same row twice: one stays (ruling 3)."""

    def play(unit: Unit) -> None:
        table = unit[name]
        row = table.row(table.at(unit.owner)[0])
        table.add(dict(row), gold=False)
        unit.scene.record(kind, table, row, {"outcome": "duplicate", "golden_rows": 1}, rows=2)

    return play


def two_schools(unit: Unit) -> None:
    """WY02: the same 学籍号 in school at two schools. Both main rows and both status rows of the key go."""
    schools = unit.scene.world.plan.schools[: unit.scene.world.plan.main]
    other = schools[(unit.school.index + 1) % len(schools)]
    home = next(c for c in other.classes if not c.graduated)
    basic, status = unit["XS_JBXX"], unit["XS_XJXX"]
    basic.add({**unit.row("XS_JBXX"), "XXDM": other.code, "XH": f"W{unit.owner:09d}"}, gold=False)
    moved: Row = {"XXDM": other.code, "XXMC": other.name, "BH": home.number, "ZYBH": home.major.number}
    status.add({**unit.row("XS_XJXX"), **moved, "ZYDM": home.major.major.code}, gold=False)
    unit.settle("XS_JBXX", False)
    expected = {"outcome": "quarantine", "rule": "WY02", "also": ["WY01", "WY03"], "conflict": True}
    case = unit.scene.record("wy02_two_schools", basic, unit.row("XS_JBXX"), expected, rows=2)
    for table, position in unit.rows():
        if table is not basic:
            table.settle(position, False)
            double = table is status
            either: dict[str, object] = {"outcome": "held", "ruling": 1}
            either |= {"or": "quarantine", "rule": "WY01"} if double else {}
            row = table.row(position)
            unit.scene.record("held_dependent", table, row, either, rows=1 + double, because=case)


def _both(unit: Unit, kind: str, rule: str, field: str) -> None:
    for person in (unit, unit.partner):
        person.refuse(kind, rule, field, conflict=True)


def same_person(unit: Unit) -> None:
    """WY03: one ID card, two student numbers, both in school."""
    row = unit.row("XS_JBXX")
    unit.partner.change("XS_JBXX", **{n: row[n] for n in ("SFZJH", "CSRQ", "XBM", "XM", "XMPY")})
    _both(unit, "wy03_two_numbers", "WY03", "SFZJH")


def same_school_number(unit: Unit) -> None:
    unit.partner.change("XS_JBXX", XH=unit.row("XS_JBXX")["XH"])
    _both(unit, "wy05_school_number", "WY05", "XH")


def same_staff_number(unit: Unit) -> None:
    """WY06 (also the key, WY01): two teachers under one number; the work row of the number waits."""
    table, work, other = unit.main, unit["JZG_GZXX"], unit.partner
    other.change("JZG_JBXX", GH=unit.row("JZG_JBXX")["GH"])
    work.drop(work.at(other.owner)[0])
    table.settle(table.at(other.owner)[0], False)
    table.settle(table.at(unit.owner)[0], False)
    expected = {"outcome": "quarantine", "rule": "WY06", "also": ["WY01"], "conflict": True}
    case = unit.scene.record("wy06_staff_number", table, unit.row("JZG_JBXX"), expected, rows=2)
    unit.hold(case)


def same_certificate(unit: Unit) -> None:
    unit.partner.change("XS_BYXX", BYZSH=unit.row("XS_BYXX")["BYZSH"])
    for person in (unit, unit.partner):
        person.settle("XS_BYXX", False)
        expected = {"outcome": "quarantine", "rule": "WY09", "field": "BYZSH", "conflict": True}
        unit.scene.record("wy09_certificate", unit["XS_BYXX"], person.row("XS_BYXX"), expected)


def change_row(unit: Unit, kind: str, approval: str) -> Row:
    """A change of status a fortnight before the reference day."""
    table = unit["XS_XJYD"]
    when = unit.scene.world.plan.today - timedelta(days=14)
    row: Row = dict.fromkeys(table.columns)
    row |= {"GRBSM": unit.row("XS_JBXX")["GRBSM"], "YDLBM": kind, "YDRQ": when.strftime("%Y%m%d"), "SPZTM": approval}
    row |= {"YDYYM": "21" if kind == "31" else "19", "SJZT": "1", "GXSJ": f"{when.isoformat()} 10:00:00"}
    return row


def state_disagrees(kind: str) -> Play:
    """YZ10: an approved change the state does not follow; the change itself is golden."""

    def play(unit: Unit) -> None:
        unit["XS_XJYD"].add(change_row(unit, kind, "2"), gold=True)
        unit.settle("XS_XJXX", False)
        expected = {"outcome": "quarantine", "rule": "YZ10", "field": "XSDQZTM"}
        unit.scene.record(f"yz10_after_{kind}", unit["XS_XJXX"], unit.row("XS_XJXX"), expected)

    return play


def unknown_change(unit: Unit) -> None:
    row = change_row(unit, "99", "2") | {"YDYYM": "98"}
    unit["XS_XJYD"].add(row, gold=False)
    unit.scene.record("yx05_xs_yd", unit["XS_XJYD"], row, {"outcome": "quarantine", "rule": "YX05", "field": "YDYYM"})


def pending_change(unit: Unit) -> None:
    """A change in transit is held and does not count against the state (ruling 11)."""
    row = change_row(unit, "31", "1")
    unit["XS_XJYD"].add(row, gold=False)
    unit.scene.record("in_transit_yd", unit["XS_XJYD"], row, {"outcome": "held"})


def rejected_change(unit: Unit) -> None:
    row = change_row(unit, "31", "3")
    unit["XS_XJYD"].add(row, gold=False)
    unit.scene.record("rejected_yd", unit["XS_XJYD"], row, {"outcome": "rejected", "ruling": 16})


def old_school(unit: Unit) -> None:
    """A confirmed crosswalk row maps the old school code of every row (ruling 18)."""
    unit.change_all(XXDM=unit.school.old_code)
    for table, position in unit.rows():
        if "XXDM" in table.columns:
            row = table.row(position) | {"XXDM": unit.school.code}
            expected = {"outcome": "golden", "field": "XXDM", "golden_value": unit.school.code, "ruling": 18}
            unit.scene.record("old_school_code", table, row, expected)


def doubted_code(school: str, number: int) -> str:
    """An old code whose crosswalk row nobody confirmed."""
    return f"29{school[2:4]}{number + 1:06d}"


def doubted_school(unit: Unit) -> None:
    """An unconfirmed crosswalk row maps nothing: the school is unknown, everything waits."""
    unit.change_all(XXDM=doubted_code(unit.school.code, unit.number))
    unit.settle("XS_JBXX", False)
    expected = {"outcome": "held", "rule": "GL01", "ruling": 18}
    unit.hold(unit.scene.record("doubted_school_code", unit.main, unit.row("XS_JBXX"), expected))


def cancelled(unit: Unit) -> None:
    unit.change_all(SJZT="0")
    for table, position in unit.rows():
        table.settle(position, False)
        row = table.row(position)
        unit.scene.record("cancelled_row", table, row, {"outcome": "cancelled", "ruling": 17})


def old_temporary_number(unit: Unit) -> None:
    """YX19: a 999 number becomes type Z before its check character is looked at."""
    number = f"999{unit.school.code}{unit.owner % 100_000:05d}"
    unit.change("XS_JBXX", SFZJH=number)
    unit.change_all(GRBSM="J" + str(unit.row("XS_JBXX")["GRBSM"])[1:])
    expected = {"outcome": "golden", "rule": "YX19", "field": "SFZJLXM", "golden_value": "Z", "ruling": 12}
    unit.scene.note("yx19_temporary_number", unit.main, unit.row("XS_JBXX"), expected, field="SFZJH")


def one_person(unit: Unit) -> None:
    """WY04: two students of one name, birth date, sex and origin with other documents; both stand, nobody merges them.

    Every other pair shares the guardian's telephone as well, so that the evidence differs from pair to pair.
    """
    other, person, row = unit.partner, unit.row("XS_JBXX"), unit.partner.row("XS_JBXX")
    born, serial = str(person["CSRQ"]), int(str(person["SFZJH"])[14:17])
    body = f"{str(row['SFZJH'])[:6]}{born}{(serial + 2) % 1000:03d}"
    number = body + check_char(body)
    other.change_all(GRBSM=f"G{number}")
    other.change("XS_JBXX", SFZJH=number, **{n: person[n] for n in ("XM", "XMPY", "CSRQ", "XBM")})
    shared = ("SYDXZQHM", "JTDH", "JHRLXDH") if unit.number % 2 else ("SYDXZQHM",)
    other.change("XS_JBSX", **{n: unit.row("XS_JBSX")[n] for n in shared})
    for who in (unit, other):
        found = who.row("XS_JBXX")
        expected = {"outcome": "golden", "rule": "WY04", "field": "XM", "golden_value": found["XM"], "severity": "警告"}
        who.scene.note("wy04_suspects", who.main, found, expected)


def other_school_name(kind: str, name: str) -> Play:
    """A copied school name that differs: recorded against the registry's, nobody is asked (ruling 21)."""

    def play(unit: Unit) -> None:
        value = f"{unit.school.name}（原校名{unit.owner}）"
        unit.change(name, XXMC=value)
        table = unit[name]
        expected = {
            "outcome": "conflict",
            "state": "已由权威源定值",
            "field": "XXMC",
            "golden_value": unit.school.name,
            "losing_value": value,
            "ruling": 21,
            "row_key": {k: unit.row(name)[k] for k in table.source.key},
        }
        unit.scene.answers.add(kind, "xx", table.source.name, {"XXDM": unit.school.code}, expected)

    return play
