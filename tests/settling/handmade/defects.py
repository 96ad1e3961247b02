"""Cases where the documents and the product part; each test that looks one up says what the document says."""

from __future__ import annotations

from typing import Any

from tests.settling.handmade import base, headers
from tests.settling.handmade import people as p
from tests.settling.handmade.planted import graduate
from tests.settling.handmade.second_day import LONG_AGO, TODAY
from tests.settling.handmade.supplements import TEACHER, line
from tests.settling.handmade.world import World

BACK, LEFT, STAYS, CAME = (p.student(n, p.A) for n in (701, 702, 703, 704))


def first() -> World:
    w = base.clean()
    lecturer = p.teacher(810)
    w.put("jzg", lecturer)
    w.put("jzg_gz", p.work(lecturer, ZYJSZWM="023"), {"ZYJSZWM": "讲师（中专）"})
    w.put("jzg", p.teacher(811), {"SFZJH": f"999{p.A}00001"})
    w.student("back", BACK.over(xj={"XSDQZTM": "02", "BH": None}))
    w.put("xs_yd", base.event(BACK, "11", "20251010"))
    for who, number in ((LEFT, "CERT-1"), (STAYS, "CERT-2")):
        w.student("graduate", who)
        w.put("xs_by", graduate(who, number))
    w.student("late graduate", CAME)
    w.student("score", p.student(705, p.A), src={"xs_sx": {"KSZF": "512.55"}})
    _sheets(w)
    return w


def _sheets(w: World) -> None:
    unit: list[Any] = ["J1", "", None, "000000", None, "是", "否", "201009", "T0005"]
    doubt: list[Any] = ["J2", "未知标签", None, "000000", None, "也许", "否", "201009", "T0005"]
    w.sheets[f"校内机构_{p.A}.xlsx"] = [headers.JG, unit, doubt]
    h = headers.TEACHER
    wrong = p.teacher(820)
    w.sheets[f"教职工_{p.A}.xlsx"] = [
        h,
        line(h, TEACHER, wrong, SFZJH=wrong["SFZJH"][:17] + "Y"),
        line(h, TEACHER, p.teacher(821), ZZMMM=None),
        line(h, TEACHER, p.teacher(822), MZM="火星族"),
        line(h, TEACHER, p.teacher(823), CJGZNY="2003-17"),
    ]


def second(before: World) -> World:
    """The event of 休学 is withdrawn altogether; one graduate vanishes while another was committed very late."""
    w = before.copy()
    for table, who in (("XS_XJYD", BACK), ("XS_BYXX", LEFT)):
        rows = w.tables["S1", table]
        rows[:] = [r for r in rows if r["GRBSM"] != who.xs["GRBSM"]]
    for row in w.tables["S1", "XS_XJXX"]:
        if row["GRBSM"] == BACK.xs["GRBSM"]:
            row.update(XSDQZTM="01", BH="2401", GXSJ=TODAY)
    w.put("xs_by", graduate(CAME, "CERT-3"), {"GXSJ": LONG_AGO})
    return w
