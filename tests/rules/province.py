"""One province in which each rule has a record that falls and one that passes: (entity, natural key) by rule."""

from __future__ import annotations

from typing import Any

from tests.settling.handmade import people as p
from tests.settling.handmade.base import event, grant, member
from tests.settling.handmade.fresh import new, restart, serial
from tests.settling.handmade.world import World

TODAY = "2026-03-10"
Record = tuple[str, tuple[str, ...]]
CREDIT = "91110000600037341L"


class Cases:
    """Plants records and remembers which falls and which passes."""

    def __init__(self) -> None:
        restart()
        self.world = World()
        self.falls: dict[str, list[Record]] = {}
        self.passes: dict[str, list[Record]] = {}

    def pair(self, rule: str, falls: Record, passes: Record) -> None:
        self.falls.setdefault(rule, []).append(falls)
        self.passes.setdefault(rule, []).append(passes)

    def student(self, *, told: dict[str, p.Row] | None = None, **over: Any) -> p.Student:
        """A student as the source tells it: `over` changes canonical rows, `told` what the source says."""
        born, area = over.pop("born", ""), over.pop("area", "411002")
        one = new(over.pop("school", p.A), born=born, area=area).over(**over)
        return self.tell(one, told or {})

    def tell(self, one: p.Student, told: dict[str, p.Row] | None = None) -> p.Student:
        for entity, row in (("xs", one.xs), ("xs_sx", one.sx), ("xs_xj", one.xj)):
            if row is not None:
                self.put(entity, row, (told or {}).get(entity))
        return one

    def put(self, entity: str, row: p.Row, told: p.Row | None = None) -> p.Row:
        self.world.put(entity, row, told)
        return row

    def teacher(self, told: p.Row | None = None, **over: Any) -> p.Row:
        born = over.pop("born", None)
        who = p.teacher(serial())
        if born:
            number = p.id_number(serial(), born=born, woman=over.get("XBM") == "2")
            who |= {"CSRQ": born, "SFZJH": number}
        return self.put("jzg", who | over, told)


def of(entity: str, row: p.Row) -> Record:
    keys = {
        "xx": ("XXDM",), "zy": ("XXDM", "ZYBH"), "bj": ("XXDM", "BH"), "jzg": ("XXDM", "GH"), "jzg_gz": ("XXDM", "GH"),
        "xs_yd": ("GRBSM", "YDLBM", "YDRQ"), "xs_jz": ("GRBSM", "XN", "XQM", "JZLBM"), "xs_jtcy": ("GRBSM", "CYXH"),
        "jg": ("XXDM", "JGH"),
    }.get(entity, ("GRBSM",))  # fmt: skip
    return entity, tuple(str(row[k]) for k in keys)


def plant() -> Cases:
    c = Cases()
    _base(c)
    for part in (
        _complete,
        _numbers,
        _notes,
        _unique,
        _agreement,
        _enrolment,
        _aid_and_changes,
        _schools,
        _related,
        _due,
    ):
        part(c)
    return c


def _base(c: Cases) -> None:
    """Schools A, B with majors, classes and a unit; staff and students who break nothing."""
    for code, name in ((p.A, "甲校"), (p.B, "乙校")):
        c.put("xx", p.school(code, name, TYSHXYDM=CREDIT))
        c.put("zy", p.major(code, "01", "090100", "计算机应用"))
        c.put("zy", p.major(code, "02", "710201", "计算机应用", ZYBH="02"))
        c.put("bj", p.klass(code, "2401", "1班"))
        c.put("bj", p.klass(code, "2402", "2班", NJDM="2025", JBNY="202509", ZYBH="02", ZYDM="710201"))
        c.put("bj", p.klass(code, "2101", "毕业班", NJDM="2021", JBNY="202109", BJZTM="2"))
    c.world.sheets[f"校内机构_{p.A}.xlsx"] = [
        ["机构号", "机构名称", "隶属上级机构号", "机构有效标识", "是否实体", "负责人号"],
        ["01", "教务处", "000000", "是", "是", "T0001"],
        ["02", "无根处", "99", "是", "是", "T0001"],
        ["03", "无根处下属", "02", "是", "是", "T0001"],
        ["04", "环一", "05", "是", "是", "T0001"],
        ["05", "环二", "04", "是", "是", "T0001"],
        ["06", "环外下属", "05", "是", "是", "T0001"],
        ["07", "教务处下属", "01", "是", "是", "T0001"],
    ]


def _complete(c: Cases) -> None:
    good = of("xs", c.student().xs)
    c.pair("WZ01", of("xs", c.student(told={"xs": {"MZM": ""}}).xs), good)
    sx = ("xs_sx", good[1])
    c.pair("WZ02", of("xs_sx", c.student(told={"xs_sx": {"KSH": None}}).sx or {}), sx)
    c.pair("WZ03", of("xs_sx", c.student(told={"xs_sx": {"LZHZLXM": "9"}}).sx or {}), sx)
    c.pair("WZ05", of("xs", c.student(told={"xs": {"SFZJH": None}}).xs), good)
    c.pair("WZ06", of("xs_xj", c.student(told={"xs_xj": {"BH": ""}}).xj or {}), ("xs_xj", good[1]))
    lone = new()
    c.tell(p.Student(lone.xs, None, lone.xj))
    c.pair("WZ08", of("xs", lone.xs), good)
    s = c.student()
    c.put("xs_jtcy", member(s, 1, LXDH=None))
    c.put("xs_jtcy", member(s, 2))
    number = s.xs["GRBSM"]
    c.pair("WZ04", ("xs_jtcy", (number, "1")), ("xs_jtcy", (number, "2")))


def _numbers(c: Cases) -> None:
    good = of("xs", c.student().xs)

    def told(rule: str, s: p.Student, **row: Any) -> None:
        c.pair(rule, of("xs", c.tell(s, {"xs": row}).xs), good)

    s = new()
    told("YX01", s, SFZJH=s.xs["SFZJH"][:6] + s.xs["SFZJH"][8:17])
    s = new()
    told("YX02", s, SFZJH=s.xs["SFZJH"][:17] + ("1" if s.xs["SFZJH"][17] != "1" else "2"))
    number = p.id_number(serial(), born="20080230")
    told("YX04", new().renumbered("G" + number).over(xs={"SFZJH": number}))
    told("YX05", new(), ZZMMM="77")
    told("YX12", new().renumbered("G12345"))
    s = new()
    body = "411002" + s.xs["CSRQ"] + "002"
    told("YX13", s.renumbered("J" + body + ("1" if p.check_digit(body) != "1" else "2")))
    told("YX14", new(), CSRQ="20081332")
    told("YX18", new(), DZXX="a" * 41)
    told("YZ01", new(), CSRQ="20080808")
    told("YZ02", new(), XBM="2")


def _notes(c: Cases) -> None:
    """Rules of one row that do not block."""
    good = of("xs", c.student().xs)
    c.pair("YX03", of("xs", c.student(area="989999").xs), good)
    c.pair("YX15", of("xs", c.student(xs={"XM": "张3丰"}).xs), of("xs", c.student(xs={"XM": "买买提·艾力"}).xs))
    c.pair("YX15", of("xs", c.student(xs={"XM": "王“明”"}).xs), of("xs", c.student(xs={"XM": "王〇明"}).xs))
    c.pair("YX16", of("xs", c.student(xs={"LXDH": "12345"}).xs), of("xs", c.student(xs={"LXDH": "0374-2331234"}).xs))
    c.pair("YX17", of("xs_xj", c.student(xj={"XZ": "6.0"}).xj or {}), ("xs_xj", good[1]))
    old = f"999{p.A}{7:05d}"
    c.pair("YX19", of("xs", c.student(told={"xs": {"SFZJH": old}}).xs), good)
    other = p.id_number(serial())
    c.pair("YZ03", of("xs", c.tell(new().renumbered("G" + other)).xs), good)
    s = new()
    temporary = c.tell(s.renumbered("L411002" + s.xs["CSRQ"] + "0007"))
    s = new()
    nameless = s.renumbered("L411002" + s.xs["CSRQ"] + "0008").over(xs={"SFZJLXM": "Z", "SFZJH": None})
    c.pair("YZ04", of("xs", temporary.xs), of("xs", c.tell(nameless).xs))
    c.pair("YZ11", of("jzg", c.teacher(CJGZNY="199301")), of("jzg", c.teacher()))
    c.pair("YZ11", of("jzg", c.teacher(LXNY="200301")), of("jzg", c.teacher()))
    for sex, past, not_yet in (("1", "19641231", "19660301"), ("2", "19691231", "19710301")):
        old_hand, younger = (c.teacher(born=b, XBM=sex, CJGZNY="199507") for b in (past, not_yet))
        c.pair("YZ12", of("jzg", old_hand), of("jzg", younger))
    c.pair("YZ13", of("xs", c.student(xs={"ZZMMM": "01"}).xs), of("xs", c.student(xs={"ZZMMM": "03"}).xs))
    c.pair(
        "YZ14", of("xs", c.student(xs={"HYZKM": "20"}).xs), of("xs", c.student(born="20050101", xs={"HYZKM": "20"}).xs)
    )
    city = c.student(sx={"HKXZM": "2", "XSJZDLXM": "4"})
    c.pair("YZ15", of("xs_sx", city.sx or {}), of("xs_sx", c.student(sx={"HKXZM": "1", "XSJZDLXM": "4"}).sx or {}))
    c.pair("YZ16", of("xs_sx", c.student(sx={"HKSZDXZQHM": "130102"}).sx or {}), ("xs_sx", good[1]))


def _unique(c: Cases) -> None:
    good = of("xs", c.student().xs)
    s = c.student()
    c.world.raw("S1", "XS_JBXX", p.told("xs", s.xs | {"XM": "另一人"}))
    c.pair("WY01", of("xs", s.xs), good)
    s = c.student()
    c.world.raw("S1", "XS_JBXX", p.told("xs", s.xs | {"XXDM": p.B}))
    c.pair("WY02", of("xs", s.xs), good)
    s = c.student()
    body = "411002" + s.xs["CSRQ"] + "003"
    twin = new().renumbered("J" + body + p.check_digit(body))
    same = {k: s.xs[k] for k in ("XM", "XMPY", "XBM", "CSRQ", "SFZJLXM", "SFZJH")}
    c.pair("WY03", of("xs", c.tell(twin.over(xs=same)).xs), good)
    one, two = new(born="20080315"), new(born="20080315")
    person = {"XM": "欧阳同名", "XMPY": "ouyang"}
    c.tell(one.over(xs=person))
    c.pair("WY04", of("xs", c.tell(two.over(xs=person)).xs), of("xs", c.student(xs=person).xs))
    s = c.student()
    c.pair("WY05", of("xs", c.student(xs={"XH": s.xs["XH"]}).xs), good)
    who = c.teacher()
    c.world.raw("S2", "JZG_JBXX", p.told("jzg", who) | {"XM": "某某某"})
    c.pair("WY06", of("jzg", who), of("jzg", c.teacher()))
    who = c.teacher()
    c.put("jzg", who | {"XXDM": p.B})
    left = c.teacher()
    c.put("jzg", left | {"XXDM": p.B, "DQZTM": "01"})
    c.pair("WY07", of("jzg", who), of("jzg", left))
    c.put("bj", p.klass(p.A, "2411", "同名班"))
    c.pair("WY08", of("bj", c.put("bj", p.klass(p.A, "2412", "同名班"))), ("bj", (p.A, "2401")))
    records = []
    for certificate in ("412025000001", "412025000001", "412025000002"):
        s = c.student(xj={"XSDQZTM": "07", "BH": "2101", "NJDM": "2021", "RXNY": "202109"}, born="20050901")
        c.put("xs_by", {"GRBSM": s.xs["GRBSM"], "JSXYNY": "202407", "JSXYM": "1", "BYZSH": certificate, "BYQXM": "20"})
        records.append(("xs_by", (s.xs["GRBSM"],)))
    c.pair("WY09", records[0], records[2])


def _agreement(c: Cases) -> None:
    """Names and ages of one person as several sources tell them."""
    who = c.teacher(XM="王小峰")
    variant = new().over(xs={"XM": "王小峯", "SFZJLXM": "1"})
    c.tell(_as_person(variant, who))
    liar = c.teacher(XM="李大海")
    c.tell(_as_person(new().over(xs={"XM": "李小海"}), liar))
    c.pair("YZ18", of("jzg", liar), of("jzg", who))


def _as_person(s: p.Student, who: p.Row) -> p.Student:
    """A student who bears a teacher's identity card (an evening class)."""
    return s.renumbered("G" + who["SFZJH"]).over(
        xs={k: who[k] for k in ("SFZJH", "CSRQ", "XBM")}, sx={"ZSDXM": "711"}, xj={"XXXSM": "2", "XSLBM": "33120"}
    )


def _enrolment(c: Cases) -> None:
    good = ("xs_xj", (c.student().xs["GRBSM"],))

    def pair(rule: str, falls: p.Student, passes: p.Student | None = None) -> None:
        c.pair(rule, of("xs_xj", falls.xj or {}), of("xs_xj", passes.xj or {}) if passes else good)

    pair("YZ05", c.student(born="20130301"), c.student(born="20110801"))  # under 12 at entry: refused
    pair("YZ05", c.student(born="20120101"))  # 12 at entry and straight from school: noted
    returned = c.student(xj={"NJDM": "2025", "BH": "2402", "ZYBH": "02", "ZYDM": "710201"})
    c.put("xs_yd", event(returned, "02", "20250901"))
    pair("YZ06", c.student(xj={"NJDM": "2025"}), returned)
    pair("YZ07", c.student(xj={"ZYBH": "05", "ZYDM": "120100"}), c.student(xj={"ZYBH": "02", "ZYDM": "710201"}))
    c.put("zy", p.major(p.A, "05", "120100", "会计"))
    away = c.student(xj={"XSDQZTM": "02"})
    c.put("xs_yd", event(away, "11", "20251010"))
    pair("YZ08", c.student(xj={"BH": "2101", "NJDM": "2021", "RXNY": "202409"}), away)
    pair("YZ08", c.student(xj={"XSDQZTM": "07"}), away)
    pair("YZ09", c.student(born="20050101", xj={"RXNY": "202009", "NJDM": "2020"}),
         c.student(born="20050101", xj={"RXNY": "202109", "NJDM": "2021"}))  # fmt: skip
    gone = c.student()
    c.put("xs_yd", event(gone, "31", "20251010"))
    pair("YZ10", gone)
    pair("JS02", c.student(xj={"ZCZKM": "3"}), c.student(xj={"ZCZKM": "3", "RXNY": "202602", "NJDM": "2026"}))
    pair("YX10", c.student(xj={"ZYDM": "619999"}))
    pair("GL02", c.student(told={"xs_xj": {"ZYBH": "99"}}))
    pair("GL03", c.student(told={"xs_xj": {"BH": "9999"}}))
    pair("GL01", c.student(told={"xs_xj": {"XXDM": "3641000099"}}))


def _aid_and_changes(c: Cases) -> None:
    left, here = c.student(xj={"XSDQZTM": "03", "BH": None}), c.student()
    c.put("xs_yd", event(left, "31", "20251010"))
    c.pair("WZ07", of("xs_jz", c.put("xs_jz", grant(left, JZLBM="2"))), of("xs_jz", c.put("xs_jz", grant(here))))
    third = c.student(born="20070101", xj={"RXNY": "202209", "NJDM": "2022", "BH": "2401"})
    c.pair("YZ17", of("xs_jz", c.put("xs_jz", grant(third))), of("xs_jz", c.put("xs_jz", grant(here, XQM="2"))))
    alone, moved = c.student(xj={"XSDQZTM": "10"}), c.student(xj={"RXFSM": "09"})
    out = c.put("xs_yd", event(alone, "21", "20251010", YDQXXXM=p.B))
    first = c.put("xs_yd", event(moved, "21", "20250901", YDQXXXM=p.A))
    c.put("xs_yd", event(moved, "22", "20250930", YDLYXXM=p.B))
    c.pair("GL07", of("xs_yd", out), of("xs_yd", first))
    slow = c.put("xs_yd", event(c.student(), "29", "20250901", SPRQ="20251002"))
    soon = c.put("xs_yd", event(c.student(), "29", "20250901", SPRQ="20251001"))
    c.pair("JS03", of("xs_yd", slow), of("xs_yd", soon))


def _schools(c: Cases) -> None:
    good: Record = ("xx", (p.A,))

    def pair(rule: str, code: str, name: str, told: p.Row | None = None, **over: Any) -> None:
        c.pair(rule, of("xx", c.put("xx", p.school(code, name, **over), told)), good)

    pair("YX06", "3641000021", "旧区划学校", XZQHM=_outdated())
    pair("YX07", "9941000022", "类别学校")
    pair("YX08", "4241000023", "附设学校", XXBXLXM="362")
    pair("YX09", "3641000024", "信用代码学校", TYSHXYDM="X" * 18)
    c.put("xx", p.school("3641000025", "同名学校"))
    pair("WY10", "3641000026", "同名学校")
    pair("GL06", "3641000027", "撤销学校", BXZTM="4")
    c.student(school="3641000027")
    c.put("xx", p.school("3641000030", "撤销无人学校", BXZTM="4"))
    c.student(school="3641000030", told={"xs_xj": {"SPZTM": "1"}})
    c.pair("GL06", ("xx", ("3641000027",)), ("xx", ("3641000030",)))
    c.put("xx", p.school("3641000029", "无人学校"))
    c.put("xx", p.school("3641000028", "空架学校"))
    c.put("jzg", p.teacher(serial(), "3641000028"))
    c.pair("WZ09", ("xx", ("3641000028",)), ("xx", ("3641000029",)))
    c.pair("YX10", of("zy", c.put("zy", p.major(p.A, "11", "619999", "目录外"))), ("zy", (p.A, "01")))
    c.pair("YX11", of("zy", c.put("zy", p.major(p.A, "10", "010300", "名称不符"))), ("zy", (p.A, "01")))
    # One name under an old and a new code: of A with students of one grade in both, of B of two grades.
    c.student(xj={"ZYBH": "02", "ZYDM": "710201"})
    c.pair("YZ20", ("zy", (p.A, "02")), ("zy", (p.B, "02")))


def _outdated() -> Any:
    """A county code no longer in force with a successor, from the definitions."""
    from hub.catalog import load_catalog

    return next(
        (c for c, n in load_catalog().codes.division_successors.items() if c[:2] == "41" and "," not in n), None
    )


def _related(c: Cases) -> None:
    for unit in ("02", "03", "04", "05", "06"):
        c.pair("GL04", ("jg", (p.A, unit)), ("jg", (p.A, "01" if unit == "02" else "07")))
    here, left = p.teacher(serial(), p.B), p.teacher(serial(), p.B, DQZTM="01")
    for who in (here, left):
        c.put("jzg", who)
    # What a school says of its classes: head teacher and number of students (B has none).
    c.world.sheets[f"班级_{p.B}.xlsx"] = [
        ["班号（行政班代码）", "班级名称", "班主任工号", "总人数"],
        ["2401", "1班", here["GH"], "31"],
        ["2402", "2班", "T9999", "0"],
        ["2101", "毕业班", left["GH"], None],
    ]
    c.pair("YZ19", ("bj", (p.B, "2401")), ("bj", (p.B, "2402")))
    c.pair("GL05", ("bj", (p.B, "2402")), ("bj", (p.B, "2401")))
    c.pair("GL05", ("bj", (p.B, "2101")), ("bj", (p.A, "2401")))


def _due(c: Cases) -> None:
    """JS05 is planted by the second round of the test; the students wait here."""
    c.pair("JS05", of("xs", c.student(xs={"DZXX": "back@example.cn"}).xs),
           of("xs", c.student(xs={"DZXX": "forth@example.cn"}).xs))  # fmt: skip
