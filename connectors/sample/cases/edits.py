"""Cases that change cells of one row: what is changed, and what becomes of the row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from connectors.sample.cases.scene import Unit
from connectors.sample.table import Row
from connectors.sample.text import check_char

Change = Callable[[Row, Unit], Row]
_WIDE = str.maketrans({chr(c): chr(c + 0xFEE0) for c in range(0x21, 0x7F)})


@dataclass(frozen=True)
class Edit:
    """`field`: the one the finding names; `also`: further rules the row breaks; `need`: which person is cast."""

    kind: str
    table: str
    field: str
    change: Change
    outcome: str = "quarantine"
    rule: str | None = None
    also: tuple[str, ...] = ()
    golden: Callable[[str], str | None] | None = None
    need: str = ""
    ruling: int | None = None
    normalised: bool = True

    def __call__(self, unit: Unit) -> str:
        table = unit[self.table]
        position = table.at(unit.owner)[0]
        before = table.row(position)
        table.change(position, self.change(before, unit))
        expected: dict[str, object] = {"outcome": self.outcome, "field": self.field}
        expected |= {"rule": self.rule} if self.rule else {}
        expected |= {"ruling": self.ruling} if self.ruling else {}
        expected |= {"also": list(self.also)} if self.also else {}
        if self.outcome == "golden":
            # Dirt is normalised back to what was there; what is legal stands as it is.
            was = before[self.field] if self.normalised else table.row(position)[self.field]
            expected["golden_value"] = self.golden(str(was)) if self.golden else was
            return unit.scene.record(self.kind, table, before, expected)
        table.settle(position, False)
        case = unit.scene.record(self.kind, table, table.row(position), expected)
        if table is unit.main:
            unit.hold(case)
        return case


def put(**values: str | None) -> Change:
    """Fixed values."""
    return lambda _row, _unit: dict(values)


def edit(field: str, how: Callable[[str], str]) -> Change:
    """A value made of the row's own."""
    return lambda row, _unit: {field: how(str(row[field]))}


def wide(value: str) -> str:
    """ASCII as full-width characters."""
    return value.translate(_WIDE)


def wrong_check(number: str) -> str:
    return number[:-1] + ("0" if number[-1] != "0" else "1")


def impossible_birth(number: str) -> str:
    """A number whose birth date is no date, with a right check character."""
    body = number[:10] + "0230" + number[14:17]
    return body + check_char(body)


def fifteen(number: str) -> str:
    return number[:6] + number[8:17]


def next_day(value: str) -> str:
    moved = date(int(value[:4]), int(value[4:6]), int(value[6:8])) + timedelta(days=1)
    return moved.strftime("%Y%m%d")


def next_day_dash(value: str) -> str:
    return (date.fromisoformat(value) + timedelta(days=1)).isoformat()


def spaced(name: str) -> str:
    """An ideographic space after the first character and blanks at the end."""
    return f"{name[0]}　{name[1:]}  "


def _old_division(_row: Row, unit: Unit) -> Row:
    abolished = unit.scene.world.facts.abolished
    return {"CSDM": abolished[unit.number % len(abolished)]} if abolished else {}


def _too_young(_row: Row, unit: Unit) -> Row:
    year = str(int(str(unit.row("XS_JBXX")["CSRQ"])[:4]) + 10)
    return {"RXNY": f"{year}09", "NJDM": year}


_DOTS = (".", "•", "‧")


def _dotted(row: Row, unit: Unit) -> Row:
    return {"XM": f"阿依{_DOTS[unit.number % 3]}{row['XM']}"}


_B, _A, _S, _R, _F = "XS_JBXX", "XS_JBSX", "XS_XJXX", "XS_JZXX", "XS_JTCY"
_N = ("NULL", "-", "/", "空", "无")


def _placeholder(field: str, first: int) -> Change:
    return lambda _row, unit: {field: _N[(unit.number + first) % 5]}


def _none(_value: str) -> str | None:
    """The golden value of a placeholder."""
    return None


STUDENT_NORMALISED = (
    Edit("wide_id_number", _B, "SFZJH", edit("SFZJH", wide), "golden"),
    Edit("wide_student_number", _B, "GRBSM", edit("GRBSM", wide), "golden"),
    Edit("wide_phone", _B, "LXDH", edit("LXDH", wide), "golden"),
    Edit("lower_x_id_number", _B, "SFZJH", edit("SFZJH", str.lower), "golden", need="x"),
    Edit("lower_x_student_number", _B, "GRBSM", edit("GRBSM", lambda v: v[:-1] + "x"), "golden", need="x"),
    Edit("spaced_name", _B, "XM", edit("XM", spaced), "golden"),
    Edit("dotted_name", _B, "XM", _dotted, "golden", golden=lambda v: f"阿依·{v}"),
    Edit("placeholder_phone", _B, "LXDH", _placeholder("LXDH", 0), "golden", golden=_none),
    Edit("placeholder_former_name", _B, "CYM", _placeholder("CYM", 2), "golden", golden=_none),
    Edit("placeholder_address", _A, "JTXDZ", _placeholder("JTXDZ", 3), "golden", golden=_none),
    Edit("blank_text", _A, "SSPCS", edit("SSPCS", lambda v: f" {v}　"), "golden"),
)

STUDENT_REFUSED = (
    Edit("wz01_xs_empty", _B, "MZM", put(MZM=None), rule="WZ01"),
    Edit("wz01_xs_placeholder", _B, "JKZKM", _placeholder("JKZKM", 0), rule="WZ01"),
    Edit("wz01_xs_sx", _A, "SSPCS", _placeholder("SSPCS", 4), rule="WZ01"),
    Edit("wz01_xs_xj", _S, "JDFSM", put(JDFSM=None), rule="WZ01"),
    Edit("wz01_xs_jz", _R, "JZMC", put(JZMC=None), rule="WZ01"),
    Edit("wz02_exam_numbers", _A, "KSH", put(ZSFSM="1", ZKZH="2600001", KSH=None, KSZF="400.0"), rule="WZ02"),
    Edit("wz03_joint_school", _A, "LZHZXXDM", put(LZHZLXM="9", LZHZBXXSM="1", LZHZXXDM=None), rule="WZ03"),
    Edit("wz05_id_missing", _B, "SFZJH", put(SFZJH=None), rule="WZ05"),
    Edit("wz06_no_class", _S, "BH", put(BH=None), rule="WZ06"),
    Edit("yx01_fifteen_digits", _B, "SFZJH", edit("SFZJH", fifteen), rule="YX01"),
    Edit("yx02_check_character", _B, "SFZJH", edit("SFZJH", wrong_check), rule="YX02"),
    Edit("yx04_birth_in_id", _B, "SFZJH", edit("SFZJH", impossible_birth), rule="YX04", also=("YZ01", "YZ03")),
    Edit("yx05_xs", _B, "ZZMMM", put(ZZMMM="77"), rule="YX05"),
    Edit("yx05_xs_division", _B, "CSDM", put(CSDM="999901"), rule="YX05"),
    Edit("yx05_xs_sx", _A, "HKXZM", put(HKXZM="X"), rule="YX05"),
    Edit("yx05_xs_xj", _S, "JDFSM", put(JDFSM="7"), rule="YX05"),
    Edit("yx05_xs_jz", _R, "JFLYM", put(JFLYM="8"), rule="YX05"),
    Edit("yx05_xs_jtcy", _F, "GXM", put(GXM="00"), rule="YX05"),
    Edit("yx14_xs", _B, "CSRQ", edit("CSRQ", lambda v: v[:4] + "0230"), rule="YX14", also=("YZ01",)),
    Edit("yx14_xs_xj", _S, "ZCRQ", edit("ZCRQ", lambda v: v[:4] + "0931"), rule="YX14"),
    Edit("yx14_xs_jz", _R, "SFNY", edit("SFNY", lambda v: v[:4] + "13"), rule="YX14"),
    Edit("yx14_xs_jtcy", _F, "CSNY", edit("CSNY", lambda v: v[:4] + "00"), rule="YX14"),
    Edit("yx18_xs", _B, "DZXX", put(DZXX="a" * 32 + "@example.cn"), rule="YX18"),
    Edit("yx18_xs_sx", _A, "SSPCS", edit("SSPCS", lambda v: v + "派出所" * 20), rule="YX18"),
    Edit("yx18_xs_jtcy", _F, "ZW", put(ZW="职" * 21), rule="YX18"),
    Edit("yz01_birth", _B, "CSRQ", edit("CSRQ", next_day), rule="YZ01"),
    Edit("yz02_sex", _B, "XBM", edit("XBM", lambda v: "2" if v == "1" else "1"), rule="YZ02"),
    Edit("yz05_too_young", _S, "RXNY", _too_young, rule="YZ05", also=("YZ09",)),
    Edit("gl02_major_missing", _S, "ZYBH", put(ZYBH="000000-99"), "held", "GL02"),
    Edit("gl03_class_missing", _S, "BH", put(BH="1999999"), "held", "GL03"),
    Edit("in_transit_xj", _S, "SPZTM", put(SPZTM="1"), "held"),
)
ABOLISHED_DIVISION = Edit("abolished_division", _B, "CSDM", _old_division, "golden", normalised=False)

GRADUATE_REFUSED = (
    Edit("wz01_xs_by", "XS_BYXX", "JSXYNY", put(JSXYNY=None), rule="WZ01"),
    Edit("yx05_xs_by", "XS_BYXX", "BYQXM", put(BYQXM="77"), rule="YX05"),
    Edit("yx14_xs_by", "XS_BYXX", "JSXYNY", edit("JSXYNY", lambda v: v[:4] + "17"), rule="YX14"),
    Edit("yx18_xs_by", "XS_BYXX", "BYZSH", edit("BYZSH", lambda v: v + "00000"), rule="YX18"),
)

_T, _W = "JZG_JBXX", "JZG_GZXX"
TEACHER_EDITS = (
    Edit("wide_teacher_id", _T, "SFZJH", edit("SFZJH", wide), "golden"),
    Edit("spaced_teacher_name", _T, "XM", edit("XM", spaced), "golden"),
    Edit("dotted_teacher_name", _T, "XM", _dotted, "golden", golden=lambda v: f"阿依·{v}"),
    Edit("placeholder_teacher", _T, "JG", _placeholder("JG", 1), "golden", golden=_none),
    Edit("wz01_jzg", _T, "JKZKM", put(JKZKM=None), rule="WZ01"),
    Edit("wz01_jzg_placeholder", _T, "LXNY", _placeholder("LXNY", 0), rule="WZ01"),
    Edit("wz01_jzg_gz", _W, "ZGXLM", put(ZGXLM=None), rule="WZ01"),
    Edit("yx01_jzg", _T, "SFZJH", edit("SFZJH", fifteen), rule="YX01"),
    Edit("yx02_jzg", _T, "SFZJH", edit("SFZJH", wrong_check), rule="YX02"),
    Edit("yx04_jzg", _T, "SFZJH", edit("SFZJH", impossible_birth), rule="YX04", also=("YZ01",)),
    Edit("yx14_jzg_birth", _T, "CSRQ", edit("CSRQ", lambda v: v[:4] + "-02-30"), rule="YX14", also=("YZ01",)),
    Edit("yx14_jzg_month", _T, "CJGZNY", edit("CJGZNY", lambda v: v[:4] + "-13"), rule="YX14"),
    Edit("yx18_jzg", _T, "JG", put(JG="石家庄" * 7), rule="YX18"),
    Edit("yz01_jzg", _T, "CSRQ", edit("CSRQ", next_day_dash), rule="YZ01"),
    Edit("yz02_jzg", _T, "XBM", edit("XBM", lambda v: "女" if v == "男" else "男"), rule="YZ02"),
    Edit("unknown_label_required", _T, "MZM", put(MZM="不详族"), ruling=15),
    Edit("unknown_label_required_gz", _W, "ZGXLM", put(ZGXLM="夜校"), ruling=15),
    Edit("unknown_label_optional", _T, "HYZKM", put(HYZKM="保密"), "golden", golden=_none, ruling=15),
    Edit("unknown_label_optional_gz", _W, "ZGXWM", put(ZGXWM="双学位"), "golden", golden=_none, ruling=15),
)
