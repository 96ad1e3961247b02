"""Supplements (L): right rows and wrong rows, and what must come of them (rulings 4, 5, 9, 21)."""

from __future__ import annotations

import datetime as dt
from typing import Any

from tests.settling.handmade import base, headers
from tests.settling.handmade import people as p
from tests.settling.handmade.layout import FIELDS
from tests.settling.handmade.world import HELD, Expect, Row, World, quarantined

LABELS = {
    **p.LABELS, "GATQWM": {"00": "否"}, "HKXZM": {"2": "农业户口"}, "XSJZDLXM": {"1": "农村"}, "SFSQZN": {"0": "否"},
    "SFJDLKPKH": {"0": "否"}, "ZSDXM": {"111": "应届初中毕业生"}, "ZSFSM": {"1": "统一招生"},
    "LZHZLXM": {"1": "非联合办学"}, "XSLYM": {"102": "农村应届"}, "HYZKM": {"10": "未婚", "20": "已婚"},
}  # fmt: skip
STUDENT = {
    "姓名": "XM", "性别": "XBM", "出生日期": "CSRQ", "身份证件类型": "SFZJLXM", "身份证件号": "SFZJH",
    "姓名拼音": "XMPY", "学号": "XH", "国籍/地区": "GJDQM", "港澳台侨外": "GATQWM",
    "婚姻状况": "HYZKM", "民族": "MZM", "政治面貌": "ZZMMM",
    "健康状况": "JKZKM", "出生地行政区划码": "CSDM", "籍贯地行政区划码": "JGDXZQHM", "联系电话": "LXDH",
}  # fmt: skip
TEACHER = {
    "姓名": "XM", "曾用名": "CYM", "性别": "XBM", "教职工号": "GH", "国籍/地区": "GJDQM", "身份证件类型": "SFZJLXM",
    "身份证件号": "SFZJH", "出生日期": "CSRQ", "籍贯": "JG", "出生地": "CSDXZQHM", "民族": "MZM", "政治面貌": "ZZMMM",
    "婚姻状况": "HYZKM", "健康状况": "JKZKM", "参加工作年月": "CJGZNY", "进本校年月": "LXNY", "教职工来源": "JZGLYM",
    "教职工类别": "JZGLBM", "是否在编": "SFZB", "用人形式": "YRXSM", "签订合同情况": "QDHTQKM",
    "信息技术应用能力": "XXJSYYNLM",
    "是否是特级教师": "SFTJJS", "是否“双师型”教师": "SFSSXJS", "是否具备职业技能等级证书": "SFJBZYJNDJZS",
    "企业工作(实践)时长": "QYGZSC", "人员状态": "DQZTM",
}  # fmt: skip


def line(header: list[str], names: dict[str, str], row: Row, **cells: Any) -> list[Any]:
    """A sheet row in the header's order, codes as labels; `cells` by field name are put as they are."""
    out: list[Any] = []
    for title in header:
        name = names.get(title, "")
        if name in cells:
            out.append(cells[name])
        else:
            value = row.get(name)
            out.append(LABELS.get(name, {}).get(value, value) if value is not None else None)
    return out


def province() -> World:
    w = base.clean()
    _organisations(w)
    _campuses(w)
    _posts(w)
    _teachers(w)
    _students(w)
    return w


def _organisations(w: World) -> None:
    def unit(number: str, parent: str, **over: Any) -> Row:
        return {
            "XXDM": p.A, "JGH": number, "JGMC": "机构" + number, "JGJC": None, "LSSJJGH": parent, "LSXQH": None,
            "JGYXBS": "1", "SFST": "0", "JLNY": "201009", "FZRH": "T0005", **over,
        }  # fmt: skip

    good = [unit("J1", "000000"), unit("J2", "J1", LSXQH="01"), unit("J3", "J2"), unit("J9", "000000", JLNY=None)]
    wrong = {"J4": "J5", "J5": "J4", "J6": "NONE", "J7": "J7"}
    sheet: list[list[Any]] = [headers.JG]
    for row in good:
        w.stand("jg", row)
        yes = "是" if row["JGH"] != "J9" else "1"
        month: Any = {"J2": "2010-09", "J3": dt.datetime(2010, 9, 1)}.get(row["JGH"], row["JLNY"])
        sheet.append([row["JGH"], row["JGMC"], None, row["LSSJJGH"], row["LSXQH"], yes, "否", month, "T0005"])
    for number, parent in wrong.items():
        sheet.append([number, "错误机构", None, parent, None, "是", "否", "201009", "T0005"])
        w.cases[f"GL04-{number}"] = ("jg", (p.A, number), quarantined("GL04"))
    sheet += [[None] * 9, [None] * 9]
    w.sheets[f"校内机构_{p.A}.xlsx"] = sheet


def _campuses(w: World) -> None:
    sheet: list[list[Any]] = [headers.XQ]
    for number, area in (("01", "1200"), ("02", "800")):
        values: list[Any] = [
            number,
            "校区" + number,
            "文峰路2号",
            "461000",
            "0374-2331111",
            "T0005",
            "411002",
            area,
            None,
        ]
        sheet.append(values)
        names = [c for c in FIELDS["xq"] if c != "XXDM"]
        w.stand("xq", {"XXDM": p.A, **dict(zip(names, values, strict=True))})
    w.sheets[f"校区_{p.A}.xlsx"] = sheet


def _posts(w: World) -> None:
    """Where a teacher belongs and who leads a class: authority L; they fill rows that S2 and S1 delivered."""
    w.sheets[f"教职工工作信息_{p.A}.xlsx"] = [
        headers.GZ,
        ["T0005", "J1", "01"],
        ["T0010", "J2", None],
        ["T0015", "J1", "77"],
    ]
    w.golden["jzg_gz"][(p.A, "T0005")].update(JGH="J1", SZZYBH="01", SFBZR="1")
    w.golden["jzg_gz"][(p.A, "T0010")].update(JGH="J2")
    del w.golden["jzg_gz"][(p.A, "T0015")]
    w.cases["gz-GL02"] = ("jzg_gz", (p.A, "T0015"), Expect("挂起", ("GL02",)))
    w.sheets[f"班级_{p.A}.xlsx"] = [headers.BJ, ["2401", "24级计算机1班", "T0005", "01", "J1"]]
    w.golden["bj"][(p.A, "2401")].update(BZRGH="T0005", XQDM="01", JGH="J1")


def _teachers(w: World) -> None:
    h = headers.TEACHER
    sheet: list[list[Any]] = [h]
    only = p.teacher(800, XMPY=None, CJNY=None)
    sheet.append(line(h, TEACHER, only, CSRQ="1982-03-11", CJGZNY="2003-07"))
    w.stand("jzg", only | {"XMPY": "<any>", "CSRQ": only["CSRQ"]})
    # A different losing value: S2 wins, recorded; an equal one is silent.
    sheet.append(line(h, TEACHER, p.teacher(5), JG="河南郑州"))
    sheet.append(line(h, TEACHER, p.teacher(10)))
    # An unknown label of S2 against a valid one of the school, nothing golden before: a person decides, quarantined.
    who = p.teacher(801)
    w.put("jzg", who, {"ZZMMM": "共青团干部"}, quarantined(at="ZZMMM"), "invalid-against-valid")
    sheet.append(line(h, TEACHER, who))
    w.sheets[f"教职工_{p.A}.xlsx"] = sheet


def _students(w: World) -> None:
    h = headers.STUDENT
    sheet: list[list[Any]] = [h]
    fresh = p.student(900, p.A)
    sheet.append(line(h, STUDENT, fresh.xs))  # no 学籍号 yet: review, never golden
    gap = w.student("gap", p.student(901, p.A), src={"xs": {"JKZKM": None}})  # S1 sent nothing; the school knows
    sheet.append(line(h, STUDENT, gap.xs, CSRQ=dt.datetime.strptime(gap.xs["CSRQ"], "%Y%m%d")))
    lost = w.student("lost", p.student(902, p.A))
    sheet.append(line(h, STUDENT, lost.xs, XM="别的名字", MZM="满族"))
    refused = p.student(903, p.A)
    w.student(
        "refused", refused, src={"xs": {"MZM": "77"}}, out={"xs": quarantined(at="MZM"), "xs_sx": HELD, "xs_xj": HELD}
    )
    sheet.append(line(h, STUDENT, refused.xs))
    w.sheets[f"学生_{p.A}.xlsx"] = sheet
