"""Day 1: a planted case for each rule of severity 错误, each kind of dirt, and the rulings that show on one day."""

from __future__ import annotations

from tests.settling.handmade import base, planted_schools
from tests.settling.handmade import people as p
from tests.settling.handmade.fresh import Q, new, restart, serial
from tests.settling.handmade.world import ABSENT, ANY, HELD, Expect, Row, World


def day_one() -> World:
    restart()
    w = base.clean()
    for plant in (
        _empty, _identity, _dirt, _foreigners, _codes, _lengths_and_dates, _attributes, _registers, _events, _grants,
        _clashes, planted_schools.schools, planted_schools.majors_classes, planted_schools.teachers,
        _states, _crosswalk,
    ):  # fmt: skip
        plant(w)
    return w


def _xs(w: World, name: str, told: Row, rule: str, at: str, student: p.Student | None = None) -> None:
    w.student(name, student or new(), src={"xs": told}, out={"xs": Q(rule, at=at)})


def _empty(w: World) -> None:
    for n, blank in enumerate((None, "", "   ", "NULL", "-", "/", "无", "空", "\u3000")):
        _xs(w, f"WZ01-name-{n}", {"XM": blank}, "WZ01", "XM")
    _xs(w, "WZ01-nation", {"MZM": ""}, "WZ01", "MZM")
    _xs(w, "WZ01-number", {"XH": "-"}, "WZ01", "XH")
    # Ruling 6 and the placeholders in optional fields: empty.
    w.student(
        "placeholder-optional", new().over(xs={"LXDH": None}), src={"xs": {"LXDH": "无", "CYM": "NULL", "YWXM": "/"}}
    )
    w.student("pinyin-derived", new().over(xs={"XMPY": ANY}), src={"xs": {"XMPY": ""}})
    _xs(w, "WZ05", {"SFZJH": None}, "WZ05", "SFZJH")
    other = new()
    body = "411002" + other.xs["CSRQ"] + "001"
    other = other.renumbered("J" + body + p.check_digit(body)).over(xs={"SFZJLXM": "Z", "SFZJH": None})
    w.student("J-without-card", other)
    lone = new()
    w.student("WZ08-no-sx", p.Student(lone.xs, None, lone.xj), out={"xs": Q("WZ08"), "xs_xj": HELD})
    lone = new()
    w.student("WZ08-no-xj", p.Student(lone.xs, lone.sx, None), out={"xs": Q("WZ08"), "xs_sx": HELD})
    lone = new()
    w.put("xs_sx", lone.sx or {}, None, HELD, "sx-without-xs")
    w.put("xs_jtcy", base.member(lone), None, HELD, "family-without-xs")


def _identity(w: World) -> None:
    s = new()
    _xs(w, "YX01-15", {"SFZJH": s.xs["SFZJH"][:6] + s.xs["SFZJH"][8:17]}, "YX01", "SFZJH", s)
    s = new()
    _xs(w, "YX01-letter", {"SFZJH": s.xs["SFZJH"][:17] + "A"}, "YX01", "SFZJH", s)
    s = new()
    wrong = s.xs["SFZJH"][:17] + ("1" if s.xs["SFZJH"][17] != "1" else "2")
    _xs(w, "YX02", {"SFZJH": wrong}, "YX02", "SFZJH", s)
    for name, born in (("YX04-real", "20080230"), ("YX04-future", "20991231")):
        number = p.id_number(serial(), born=born)
        s = new().renumbered("G" + number).over(xs={"SFZJH": number})
        w.student(name, s, out={"xs": Q("YX04", at="SFZJH")})
    w.student("YX03-warning", new(area="989999"))
    w.student("residence-permit-830000", new(area="830000"))
    w.student("abolished-area-in-id", new(area="130182"))
    _xs(w, "YX12", {}, "YX12", "GRBSM", new().renumbered("G12345"))
    _xs(w, "YX12-letter", {}, "YX12", "GRBSM", new().renumbered("X411002200810150011"))
    s = new()
    body = "411002" + s.xs["CSRQ"] + "002"
    bad = "J" + body + ("1" if p.check_digit(body) != "1" else "2")
    _xs(w, "YX13", {}, "YX13", "GRBSM", s.renumbered(bad))
    _xs(w, "YZ01", {"CSRQ": "20080808"}, "YZ01", "CSRQ")
    _xs(w, "YZ02", {"XBM": "2"}, "YZ02", "XBM")
    w.student("YZ03-warning", new().renumbered("G" + p.id_number(serial())))
    s = new()
    w.student("L-number", s.renumbered("L411002" + s.xs["CSRQ"] + "0007"))
    s = new()
    old = f"999{p.A}{7:05d}"  # YX19: becomes Z and stays, whatever birth date and sex it seems to say
    w.student("YX19", s.over(xs={"SFZJLXM": "Z", "SFZJH": old}), src={"xs": {"SFZJLXM": "1"}})


def _dirt(w: World) -> None:
    s = new()
    wide = str.maketrans("0123456789X", "０１２３４５６７８９Ｘ")
    w.student("full-width", s, src={"xs": {"SFZJH": s.xs["SFZJH"].translate(wide), "XH": s.xs["XH"].translate(wide)}})
    n = next(k for k in range(3000, 4000) if p.id_number(k, born="20081111").endswith("X"))
    number = p.id_number(n, born="20081111")
    s = p.student(n, p.A).renumbered("G" + number).over(xs={"SFZJH": number, "CSRQ": "20081111"})
    w.student("lower-x", s, src={"xs": {"SFZJH": number.lower()}})
    n = next(k for k in range(n + 1, 4000) if p.id_number(k, born="20081112").endswith("X"))
    number = p.id_number(n, born="20081112")
    s = p.student(n, p.A).renumbered("G" + number).over(xs={"SFZJH": number, "CSRQ": "20081112"})
    low = {"GRBSM": "G" + number.lower()}
    w.student("lower-x-in-number", s, src={"xs": low | {"SFZJH": number.lower()}, "xs_sx": low, "xs_xj": low})
    s = new().over(xs={"XM": "李小明"})
    w.student("blanks-in-name", s, src={"xs": {"XM": " 李\u3000小 明\u3000"}})
    for dot in ".•‧":
        s = new().over(xs={"XM": "买买提·艾力"})
        w.student(f"dot-{ord(dot):x}", s, src={"xs": {"XM": f"买买提{dot}艾力"}})
    w.student(
        "trailing-blanks", new(), src={"xs": {"XBM": "1 ", "MZM": " 01", "CSDM": "411002 "}, "xs_xj": {"BH": "2401 "}}
    )
    w.student("abolished-division", new().over(xs={"CSDM": "130182", "JGDXZQHM": "132323"}))


def _foreigners(w: World) -> None:
    for kind, sort, nation, card in (
        ("6", "01", "HKG", "H12345678"), ("7", "03", "MAC", "M12345678"), ("8", "05", "TWN", "01234567"),
        ("A", "51", "USA", "E1234567"),
    ):  # fmt: skip
        s = new()
        body = "411002" + s.xs["CSRQ"] + f"{ord(kind):03d}"
        place = {"6": "810000", "7": "820000", "8": "710000", "A": "411002"}[kind]
        over = {"SFZJLXM": kind, "SFZJH": card, "GATQWM": sort, "GJDQM": nation, "CSDM": place, "JGDXZQHM": place}
        w.student(f"document-{kind}", s.renumbered("J" + body + p.check_digit(body)).over(xs=over))


def _codes(w: World) -> None:
    for at, value in (
        ("XBM", "3"), ("MZM", "77"), ("ZZMMM", "14"), ("JKZKM", "5"), ("GJDQM", "XXX"), ("GATQWM", "77"),
        ("HYZKM", "11"), ("SFZJLXM", "C"), ("CSDM", "419999"), ("JGDXZQHM", "000000"),
    ):  # fmt: skip
        _xs(w, f"YX05-{at}", {at: value}, "YX05", at)
    for entity, at, value in (
        ("xs_sx", "HKXZM", "9"), ("xs_sx", "XSJZDLXM", "7"), ("xs_sx", "SFSQZN", "2"), ("xs_sx", "XSLYM", "999"),
        ("xs_sx", "ZSDXM", "112"), ("xs_sx", "ZSFSM", "5"), ("xs_sx", "SYDXZQHM", "419999"),
        ("xs_sx", "HKSZDXZQHM", "abc"),
        ("xs_xj", "XSLBM", "99999"), ("xs_xj", "XXXSM", "7"), ("xs_xj", "RXFSM", "77"), ("xs_xj", "JDFSM", "7"),
        ("xs_xj", "FDPYFSM", "7"), ("xs_xj", "ZCZKM", "7"), ("xs_xj", "XSDQZTM", "77"),
    ):  # fmt: skip
        w.student(f"YX05-{at}", new(), src={entity: {at: value}}, out={entity: Q("YX05", at=at)})


def _lengths_and_dates(w: World) -> None:
    _xs(w, "YX18-XH", {"XH": "9" * 21}, "YX18", "XH")
    _xs(w, "YX18-XM", {"XM": "长" * 37}, "YX18", "XM")
    _xs(w, "YX18-optional", {"DZXX": "a" * 41}, "YX18", "DZXX")
    _xs(w, "YX14-CSRQ", {"CSRQ": "20081332"}, "YX14", "CSRQ")
    _xs(w, "YX14-CSRQ-short", {"CSRQ": "200809"}, "YX14", "CSRQ")
    for at, value in (("RXNY", "202413"), ("ZCRQ", "20250230"), ("NJDM", "24级")):
        w.student(f"YX14-{at}", new(), src={"xs_xj": {at: value}}, out={"xs_xj": Q("YX14", "YX18", at=at)})
    w.student("YX18-address", new(), src={"xs_sx": {"HKSZDXXDZ": "长" * 181}}, out={"xs_sx": Q("YX18", at="HKSZDXXDZ")})


def _attributes(w: World) -> None:
    for at in ("ZKZH", "KSH", "KSZF"):
        w.student(f"WZ02-{at}", new(), src={"xs_sx": {at: None}}, out={"xs_sx": Q("WZ02")})
    free = {"ZSFSM": "2", "ZKZH": None, "KSH": None, "KSZF": None}
    w.student("own-admission", new().over(sx=free))
    w.student("WZ03", new(), src={"xs_sx": {"LZHZLXM": "9"}}, out={"xs_sx": Q("WZ03")})
    w.student("WZ03-form", new(), src={"xs_sx": {"LZHZLXM": "9", "LZHZXXDM": p.B}}, out={"xs_sx": Q("WZ03")})
    joint = {"LZHZLXM": "9", "LZHZBXXSM": "1", "LZHZXXDM": p.B}
    w.student("joint", new().over(sx=joint))
    w.student("WZ03-type-2", new(), src={"xs_sx": {"LZHZLXM": "2"}}, out={"xs_sx": Q("WZ03", "YX05")})
    w.student("WZ01-guardian-无", new(), src={"xs_sx": {"JHRLXDH": "无"}}, out={"xs_sx": Q("WZ01", at="JHRLXDH")})
    w.student(
        "optional-无",
        new().over(sx={"BYXX": None}),
        src={"xs_sx": {"BYXX": "无", "JTDH": "/"}},
    )
    w.golden["xs_sx"][(w.tables["S1", "XS_XJXX"][-1]["GRBSM"],)]["JTDH"] = None


def _registers(w: World) -> None:
    w.student("WZ06", new(), src={"xs_xj": {"BH": ""}}, out={"xs_xj": Q("WZ06", at="BH")})
    w.student("YZ05-young", new(born="20140101"), out={"xs_xj": Q("YZ05")})
    w.student("YZ05-old", new(born="19620101"), out={"xs_xj": Q("YZ05")})
    w.student("YZ05-just-12", new(born="20120831"))
    w.student("YZ05-is-60", new(born="19640601"))
    w.student("GL02", new(), src={"xs_xj": {"ZYBH": "99"}}, out={"xs_xj": Expect("挂起", ("GL02",))})
    w.student("GL03", new(), src={"xs_xj": {"BH": "9999"}}, out={"xs_xj": Expect("挂起", ("GL03",))})
    w.student("WZ01-XWJXD", new(), src={"xs_xj": {"XWJXD": ""}}, out={"xs_xj": Q("WZ01", at="XWJXD")})
    w.student("YX17-warning", new().over(xj={"XZ": "6.0", "YJBYNY": "203009"}))
    w.student("YX10-warning", new().over(xj={"ZYDM": "619999", "ZYMLBB": ANY}))
    odd = {"ZYBH": "14", "ZYDM": "990100", "ZYMLBB": ANY, "BH": "2420"}
    w.student("YX10-no-catalogue", new().over(xj=odd))
    w.student("low-2009-code", new().over(xj={"ZYBH": "02", "ZYDM": "710201", "ZYMLBB": "2021", "BH": "2402"}))


def _events(w: World) -> None:
    s = w.student("YZ10", new(), out={"xs_xj": Q("YZ10")})
    w.put("xs_yd", base.event(s, "11", "20251010"))
    s = w.student("YZ10-in-transit", new())
    w.put("xs_yd", base.event(s, "11", "20251010"), {"SPZTM": "1"}, HELD, "yd-in-transit")
    s = w.student("YZ10-rejected", new())
    w.put("xs_yd", base.event(s, "11", "20251010"), {"SPZTM": "3"}, Expect("挂起"), "yd-rejected")
    s = w.student("YZ10-cancelled", new())
    w.put("xs_yd", base.event(s, "11", "20251010"), {"SJZT": "0"}, ABSENT, "yd-cancelled")
    s = w.student("YZ10-returned", new())
    w.put("xs_yd", base.event(s, "11", "20250310"))
    w.put("xs_yd", base.event(s, "12", "20250910"))
    for kind, state in (("31", "03"), ("42", "14"), ("21", "10")):
        s = w.student(f"YZ10-fits-{kind}", new().over(xj={"XSDQZTM": state}))
        w.put("xs_yd", base.event(s, kind, "20250310", YDQXXXM=p.B if kind == "21" else None))
        s = w.student(f"YZ10-{kind}", new(), out={"xs_xj": Q("YZ10")})
        w.put("xs_yd", base.event(s, kind, "20250310", YDQXXXM=p.B if kind == "21" else None))
    s = w.student("yd-host", new())
    w.put(
        "xs_yd",
        base.event(s, "23", "20250311", YZYDM="120100", XZYDM="090100"),
        {"YDYYM": "77"},
        Q("YX05", at="YDYYM"),
        "yd-YX05",
    )
    w.put("xs_yd", base.event(s, "29", "20250399"), None, Q("YX14", at="YDRQ"), "yd-YX14")
    w.put("xs_yd", base.event(s, "98", "20250312"), None, Q("YX05", at="YDLBM"), "yd-YX05-kind")


def _grants(w: World) -> None:
    s = w.student("grants", new())
    w.put("xs_jz", base.grant(s, XQM="1"), {"JE": ""}, Q("WZ01", at="JE"), "jz-WZ01")
    w.put("xs_jz", base.grant(s, JZLBM="9"), None, Q("YX05", at="JZLBM"), "jz-YX05")
    w.put("xs_jz", base.grant(s, XQM="2", SFNY="202499"), None, Q("YX14", at="SFNY"), "jz-YX14")
    w.put("xs_jz", base.grant(s, XN="2024-2026"), None, Q("YX14", at="XN"), "jz-XN")
    w.put("xs_jz", base.grant(s, XN="2023-2024", JE="abc"), None, Q("YX14", "YX18", "YX05", at="JE"), "jz-JE-text")
    w.put("xs_jtcy", base.member(s, 1, CYXM=None))  # WZ04 is a warning
    w.put("xs_jtcy", base.member(s, 2, GXM="99X"), None, Q("YX05", "YX18", at="GXM"), "jtcy-YX05")


def graduate(s: p.Student, number: str) -> Row:
    return {"GRBSM": s.xs["GRBSM"], "JSXYNY": "202507", "JSXYM": "1", "BYZSH": number, "BYQXM": None}


def _clashes(w: World) -> None:
    s = w.student("WY01-identical", new())
    w.raw("S1", "XS_JBXX", p.told("xs", s.xs))
    s = new()
    w.student("WY01-differing", s, out={"xs": Q("WY01")})
    w.raw("S1", "XS_JBXX", p.told("xs", s.xs) | {"XM": "另一人"})
    s = new()
    w.student("WY02", s, out={"xs": Q("WY02"), "xs_xj": Q("WY01")})
    w.raw("S1", "XS_JBXX", p.told("xs", s.xs) | {"XXDM": p.B, "XH": "B-1"})
    w.raw("S1", "XS_XJXX", p.told("xs_xj", s.xj or {}) | {"XXDM": p.B})
    for status, expect in (("01", Q("WY03")), ("03", None)):
        s = new()
        body = "411002" + s.xs["CSRQ"] + ("003" if expect else "004")
        twin = s.renumbered("J" + body + p.check_digit(body)).over(
            xs={"XH": "tw-" + status, "XXDM": p.B}, xj={"XXDM": p.B, "XSDQZTM": status}
        )
        out = {"xs": expect} if expect else {}
        w.student(f"WY03-{status}-a", s, out=out)
        w.student(f"WY03-{status}-b", twin, out=out)
    s = new()
    w.student("WY05-a", s, out={"xs": Q("WY05", at="XH")})
    w.student("WY05-b", new().over(xs={"XH": s.xs["XH"]}), out={"xs": Q("WY05", at="XH")})
    w.student("WY05-other-school", new(p.B).over(xs={"XH": s.xs["XH"]}))
    for n in (1, 2):
        s = w.student(f"WY09-host-{n}", new())
        w.put("xs_by", graduate(s, "DUP-1"), None, Q("WY09", at="BYZSH"), f"WY09-{n}")
    s = new()
    same = {"XM": s.xs["XM"], "CSRQ": s.xs["CSRQ"]}
    other = p.student(serial(), born=s.xs["CSRQ"]).over(xs=same)
    w.student("WY04-a", s)
    w.student("WY04-b", other)


def _states(w: World) -> None:
    w.student("xj-in-transit", new(), src={"xs_xj": {"SPZTM": "1"}}, out={"xs_xj": HELD})
    s = new()
    w.put("xs_xj", s.xj or {}, {"SPZTM": "3"}, Expect("挂起"), "xj-rejected")
    gone = {"SJZT": "0"}
    w.student(
        "cancelled",
        new(),
        src={"xs": gone, "xs_sx": gone, "xs_xj": gone},
        out=dict.fromkeys(("xs", "xs_sx", "xs_xj"), ABSENT),
    )
    w.put("jzg", p.teacher(130), gone, ABSENT, "jzg-cancelled")
    w.student("no-approval-state", new(), src={"xs_xj": {"SPZTM": None}})


def _crosswalk(w: World) -> None:
    s = new()
    w.student("old-code", s, src={"xs": {"XXDM": base.OLD}, "xs_xj": {"XXDM": base.OLD}})
    w.put("jzg", p.teacher(140), {"XXDM": base.OLD})
    w.put("xs_yd", base.event(s, "22", "20240901", YDLYXXM=p.M), {"YDLYXXM": base.OLD_MERGED})
    w.student(
        "old-code-joint",
        new().over(sx={"LZHZLXM": "9", "LZHZBXXSM": "1", "LZHZXXDM": p.M}),
        src={"xs_sx": {"LZHZXXDM": base.OLD_MERGED}},
    )
    doubt = {"XXDM": base.OLD_DOUBT}
    w.student(
        "old-code-unconfirmed",
        new(p.B),
        src={"xs": doubt, "xs_xj": doubt},
        out=dict.fromkeys(("xs", "xs_sx", "xs_xj"), ABSENT),
    )
