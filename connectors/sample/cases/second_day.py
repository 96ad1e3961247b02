"""What happens between day 1 and day 2: each pair is (how it stands on day 1, what day 2 brings)."""

from __future__ import annotations

from connectors.sample.cases.edits import Edit
from connectors.sample.cases.scene import Play, Unit
from connectors.sample.cases.specials import OTHER_PHONE, change_row
from connectors.sample.table import Row

_LATE_MINUTES = (5, 20, 50)


def _record_rows(unit: Unit, kind: str, expected: dict[str, object]) -> None:
    for table, position in unit.rows():
        unit.scene.record(kind, table, table.row(position), expected, day=2)


def nothing(unit: Unit) -> None:
    """Ordinary on day 1."""


def hidden(unit: Unit) -> None:
    """Not yet in the source on day 1."""
    for table, position in unit.rows():
        table.drop(position)


def _appear(unit: Unit) -> None:
    for table in unit.tables:
        for position in table.at(unit.owner):
            table.keep[position] = table.gold[position] = True
    unit.change_all(day=2)


def newcomer(unit: Unit) -> None:
    _appear(unit)
    _record_rows(unit, "new_person", {"outcome": "golden", "change": "insert"})


def cancelled_later(unit: Unit) -> None:
    unit.change_all(day=2, SJZT="0")
    _record_rows(unit, "soft_removed", {"outcome": "deleted", "change": "delete", "ruling": 17})
    for table, position in unit.rows():
        table.settle(position, False)


def vanished(unit: Unit) -> None:
    _record_rows(unit, "hard_removed", {"outcome": "deleted", "change": "delete"})
    hidden(unit)


def in_transit(unit: Unit) -> None:
    unit.change("XS_XJXX", SPZTM="1")
    unit.settle("XS_XJXX", False)
    unit.scene.record("approved_later", unit["XS_XJXX"], unit.row("XS_XJXX"), {"outcome": "held"})


def approved(unit: Unit) -> None:
    unit.change("XS_XJXX", SPZTM="2", GXSJ=unit.scene.later(unit.owner))
    unit.settle("XS_XJXX", True)
    expected = {"outcome": "golden", "change": "insert"}
    unit.scene.record("approved", unit["XS_XJXX"], unit.row("XS_XJXX"), expected, day=2)


def leaving(unit: Unit) -> None:
    row = change_row(unit, "31", "1")
    unit["XS_XJYD"].add(row, gold=False)
    unit.scene.record("leaving_in_transit", unit["XS_XJYD"], row, {"outcome": "held"})


def left(unit: Unit) -> None:
    """The change is approved and the state follows on the same day."""
    table, number = unit["XS_XJYD"], unit.row("XS_JBXX")["GRBSM"]
    place = next(i for i, r in enumerate(table.added) if r["GRBSM"] == number and r["YDLBM"] == "31")
    later = unit.scene.later(unit.owner)
    table.added[place] |= {"SPZTM": "2", "SPRQ": unit.scene.second.strftime("%Y%m%d"), "GXSJ": later}
    table.added_gold[place] = True
    expected = {"outcome": "golden", "change": "insert"}
    unit.scene.record("left_school", table, table.added[place], expected, day=2)
    unit.change("XS_XJXX", XSDQZTM="03", GXSJ=later)
    update = {"outcome": "golden", "change": "update", "field": "XSDQZTM", "golden_value": "03"}
    unit.scene.record("left_school", unit["XS_XJXX"], unit.row("XS_XJXX"), update, day=2)


def _temporary(number: str) -> str:
    return "L" + number[1:18] + "0"


def temporary_number(unit: Unit) -> None:
    """An L number beside a valid ID card (YZ04); the national stipend is for formal students (YZ17)."""
    number = _temporary(str(unit.row("XS_JBXX")["GRBSM"]))
    unit.change_all(GRBSM=number)
    aid = unit["XS_JZXX"]
    for position in aid.at(unit.owner):
        if aid.row(position)["JZLBM"] == "1":
            aid.change(position, {"JZLBM": "2", "JZMC": "中等职业学校免学费", "JE": "850.00"})
    expected = {"outcome": "golden", "rule": "YZ04", "field": "GRBSM", "golden_value": number, "severity": "提示"}
    unit.scene.note("yz04_temporary_number", unit.main, unit.row("XS_JBXX"), expected)


def formal_number(unit: Unit) -> None:
    """L → G: every row under the new key, none under the old one (ruling 19)."""
    old = str(unit.row("XS_JBXX")["GRBSM"])
    new = "G" + str(unit.row("XS_JBXX")["SFZJH"])
    unit.change_all(day=2, GRBSM=new)
    expected = {"outcome": "golden", "change": "key_change", "old_key": {"GRBSM": old}, "ruling": 19}
    _record_rows(unit, "l_to_g", expected)


def corrected(fault: Edit) -> tuple[Play, Play]:
    """A fault on day 1 that the source corrects on day 2; what waited for the row enters with it."""

    def wrong(unit: Unit) -> None:
        right: Row = unit.row(fault.table)
        unit.scene.done[fault.kind, unit.owner] = fault(unit)
        unit.scene.kept[fault.kind, unit.owner] = right

    def right(unit: Unit) -> None:
        row = unit.scene.kept[fault.kind, unit.owner] | {"GXSJ": unit.scene.later(unit.owner)}
        unit.change(fault.table, **row)
        table, because = unit[fault.table], unit.scene.done[fault.kind, unit.owner]
        table.settle(table.at(unit.owner)[0], True)
        value = row[fault.field]
        if fault.table.startswith("JZG"):  # the teacher system speaks in labels, a golden record in codes
            value = unit.scene.world.facts.catalog.codes.labels["MZ"].get(str(value), value)
        expected = {"outcome": "golden", "change": "insert", "field": fault.field, "golden_value": value}
        case = unit.scene.record(f"{fault.kind}_corrected", table, row, expected, day=2, because=because)
        if table is unit.main:
            unit.release(case)

    return wrong, right


def late_commit(unit: Unit) -> None:
    """A transaction that began before the last read commits after it: older than the watermark, yet new."""
    minutes = _LATE_MINUTES[unit.number % len(_LATE_MINUTES)]
    hour, minute = divmod(6 * 60 - minutes, 60)
    stamp = f"{unit.scene.world.plan.today.isoformat()} {hour:02d}:{minute:02d}:00"
    unit.change("XS_JBXX", LXDH=OTHER_PHONE, GXSJ=stamp)
    expected: dict[str, object] = {"outcome": "golden", "change": "update", "field": "LXDH"}
    expected |= {"golden_value": OTHER_PHONE, "minutes_before_watermark": minutes}
    unit.scene.record("late_commit", unit.main, unit.row("XS_JBXX"), expected, day=2)


def spoilt(unit: Unit) -> None:
    """A golden record whose source row turns invalid: the row is quarantined, the golden record stays."""
    before = unit.row("XS_JBXX")["ZZMMM"]
    unit.change("XS_JBXX", ZZMMM="77", GXSJ=unit.scene.later(unit.owner))
    expected = {"outcome": "quarantine", "rule": "YX05", "field": "ZZMMM", "golden_value": before, "prior": "stays"}
    unit.scene.record("golden_spoilt", unit.main, unit.row("XS_JBXX"), expected, day=2)


def blanked(unit: Unit) -> None:
    """A source that empties a field does not empty the golden record (ruling 4)."""
    before = unit.row("XS_JBXX")["LXDH"]
    unit.change("XS_JBXX", LXDH=None, GXSJ=unit.scene.later(unit.owner))
    expected = {"outcome": "golden", "change": "none", "field": "LXDH", "golden_value": before, "ruling": 4}
    unit.scene.record("golden_not_blanked", unit.main, unit.row("XS_JBXX"), expected, day=2)


def partner_hidden(unit: Unit) -> None:
    hidden(unit.partner)


def intruder(unit: Unit) -> None:
    """A newcomer with the ID card of a golden student: the newcomer is quarantined, the golden one stays (ruling 3)."""
    row, other = unit.row("XS_JBXX"), unit.partner
    _appear(other)
    other.change("XS_JBXX", **{n: row[n] for n in ("SFZJH", "CSRQ", "XBM", "XM", "XMPY")})
    position = other.main.at(other.owner)[0]
    other.main.settle(position, False)
    expected = {"outcome": "quarantine", "rule": "WY03", "conflict": True, "prior": "stays"}
    case = unit.scene.record("newcomer_clash", other.main, other.main.row(position), expected, day=2)
    other.hold(case, day=2)


def contract(unit: Unit) -> None:
    """A teacher's golden record follows a change of the source."""
    value = "未签" if unit.row("JZG_JBXX")["QDHTQKM"] == "已签" else "已签"
    unit.change("JZG_JBXX", QDHTQKM=value, GXSJ=unit.scene.later(unit.owner))
    code = "2" if value == "未签" else "1"
    expected = {"outcome": "golden", "change": "update", "field": "QDHTQKM", "golden_value": code}
    unit.scene.record("teacher_updated", unit.main, unit.row("JZG_JBXX"), expected, day=2)
