"""Day 2 on top of day 1: what is changed in the sources, and what must stand afterwards, incrementally.

`HISTORY` names the records whose outcome rests on what was golden before; a run from scratch may say otherwise there.
"""

from __future__ import annotations

from tests.settling.handmade import base
from tests.settling.handmade import people as p
from tests.settling.handmade.planted import day_one, graduate
from tests.settling.handmade.world import ANY, HELD, Expect, Row, World, quarantined

LATE = "2026-03-09 10:00:00"  # within the overlap of the first day's newest update time
TODAY = "2026-03-11 08:00:00"
LONG_AGO = "2026-02-01 08:00:00.5"
S1: dict[str, tuple[str, str]] = {"xs": ("S1", "XS_JBXX"), "xs_sx": ("S1", "XS_JBSX"), "xs_xj": ("S1", "XS_XJXX")}


class Days:
    """The first day's world with seeds for the second, the second day's world, and who rests on history."""

    def __init__(self) -> None:
        self.first = day_one()
        self.number = iter(range(5000, 6000))
        self.seeds: dict[str, p.Student] = {}
        for name in (
            "blanked", "unknown", "transit", "approved", "rejected", "cancelled", "cancelled-alone", "deleted", "late",
            "twin", "WY05", "WY03", "WY09", "temporary", "temporary-both", "moved", "renamed", "year", "touched",
            "swap-a", "swap-b", "invalid-only",
        ):  # fmt: skip
            self.seeds[name] = self.seed(name)
        self.history: set[tuple[str, tuple[str, ...]]] = set()
        self.second = World()

    def seed(self, name: str) -> p.Student:
        student = p.student(next(self.number), p.D)
        if name.startswith("temporary"):
            student = student.renumbered(f"L411002{student.xs['CSRQ']}{next(self.number)}")
        told: dict[str, Row] = {}
        out: dict[str, Expect] = {}
        if name == "approved":
            told, out = {"xs_xj": {"SPZTM": "1"}}, {"xs_xj": HELD}
        if name == "WY09":
            self.first.put("xs_by", graduate(student, "CERT-9"))
        if name in ("deleted", "cancelled", "cancelled-alone", "temporary"):
            self.first.put("xs_jtcy", base.member(student))
            self.first.put("xs_jz", base.grant(student))
        return self.first.student(f"seed-{name}", student, src=told, out=out)

    # -- what the tests change ------------------------------------------------------------------------------------

    def said(self, entity: str, name: str, **change: object) -> Row:
        """Changes what the source says of a seed, stamped today unless told otherwise."""
        key = self.seeds[name].xs["GRBSM"]
        row = next(r for r in self.second.tables[S1[entity]] if r["GRBSM"] == key)
        row.update(change)
        if "GXSJ" not in change:
            row["GXSJ"] = TODAY
        return row

    def stands(self, entity: str, name: str, **change: object) -> None:
        self.second.golden[entity][(self.seeds[name].xs["GRBSM"],)].update(change)

    def both(self, entity: str, name: str, **change: object) -> None:
        self.said(entity, name, **change)
        self.stands(entity, name, **change)

    def rests(self, entity: str, name: str) -> None:
        self.history.add((entity, (self.seeds[name].xs["GRBSM"],)))

    def gone(self, name: str) -> None:
        """The seed's rows leave every source table."""
        key = self.seeds[name].xs["GRBSM"]
        for table, rows in self.second.tables.items():
            if table[1].startswith("XS_"):
                rows[:] = [r for r in rows if r["GRBSM"] != key]

    def ungolden(self, name: str) -> None:
        key = self.seeds[name].xs["GRBSM"]
        for rows in self.second.golden.values():
            for k in [k for k, r in rows.items() if r.get("GRBSM") == key]:
                del rows[k]

    def newcomer(self, name: str, student: p.Student, stamp: str = TODAY, **kw: object) -> p.Student:
        before = {t: len(self.second.tables[t]) for t in S1.values()}
        self.second.student(name, student, **kw)  # type: ignore[arg-type]
        for table, n in before.items():
            for row in self.second.tables[table][n:]:
                row["GXSJ"] = stamp
        return student


def two_days() -> Days:
    days = Days()
    days.second = days.first.copy()
    days.second.cases.clear()
    for change in (_survive, _states, _leave, _arrive, _clash, _keys, _enter, _derive):
        change(days)
    days.first.finish()
    days.second.finish()
    return days


def _survive(d: Days) -> None:
    d.said("xs", "blanked", JKZKM="", LXDH=None, DZXX="a@example.cn")
    d.stands("xs", "blanked", DZXX="a@example.cn")  # 不以空覆盖, the rest is taken
    d.rests("xs", "blanked")
    d.said("xs_sx", "blanked", KSZF="", KSH="-")
    d.rests("xs_sx", "blanked")
    d.said("xs", "invalid-only", MZM="77")
    d.rests("xs", "invalid-only")
    d.said("xs", "unknown", ZZMMM="14", DZXX="b@example.cn")
    d.stands("xs", "unknown", DZXX=ANY)  # whether the rest of a refused row is taken is left open
    d.rests("xs", "unknown")


def _states(d: Days) -> None:
    for name, state in (("transit", "1"), ("rejected", "3")):
        d.said("xs_xj", name, SPZTM=state, BH="2402", JDFSM="1")
        d.rests("xs_xj", name)
    student = d.seeds["approved"]
    d.said("xs_xj", "approved", SPZTM="2")
    d.second.stand("xs_xj", student.xj or {})
    d.said("xs", "cancelled", SJZT="0")
    for entity in ("xs_sx", "xs_xj"):
        d.said(entity, "cancelled", SJZT="0")
    key = d.seeds["cancelled"].xs["GRBSM"]
    for table in (("S1", "XS_JTCY"), ("S1", "XS_JZXX")):
        for row in d.second.tables[table]:
            if row["GRBSM"] == key:
                row.update(SJZT="0", GXSJ=TODAY)
    d.ungolden("cancelled")
    d.said("xs", "cancelled-alone", SJZT="0")
    d.ungolden("cancelled-alone")  # ruling 1: what hangs on it has no main row any more


def _leave(d: Days) -> None:
    d.gone("deleted")
    d.ungolden("deleted")


def _arrive(d: Days) -> None:
    d.both("xs", "late", DZXX="late@example.cn", GXSJ=LATE)
    d.newcomer("late-new", p.student(5500, p.A), LATE)
    d.newcomer("very-late-new", p.student(5501, p.A), LONG_AGO)
    d.said("xs", "touched")


def _clash(d: Days) -> None:
    q = quarantined
    twin = d.seeds["twin"]
    row = d.second.raw("S1", "XS_JBXX", p.told("xs", twin.xs) | {"DZXX": "other@example.cn"})
    row["GXSJ"] = TODAY
    d.rests("xs", "twin")
    d.newcomer(
        "WY05-newcomer", p.student(5510, p.D).over(xs={"XH": d.seeds["WY05"].xs["XH"]}), out={"xs": q("WY05", at="XH")}
    )
    d.rests("xs", "WY05")
    old = d.seeds["WY03"]
    body = "411002" + old.xs["CSRQ"] + "009"
    twin = old.renumbered("J" + body + p.check_digit(body)).over(xs={"XH": "new-1", "XXDM": p.B}, xj={"XXDM": p.B})
    d.newcomer("WY03-newcomer", twin, out={"xs": q("WY03")})
    d.rests("xs", "WY03")
    second = d.newcomer("WY09-host", p.student(5511, p.D))
    late = d.second.put("xs_by", graduate(second, "CERT-9"), None, q("WY09", at="BYZSH"), "WY09-newcomer")
    late["GXSJ"] = TODAY
    d.rests("xs_by", "WY09")


def _keys(d: Days) -> None:
    """Ruling 19: the L row leaves and the G row comes, or both are there at once: one person, the G number."""
    for name in ("temporary", "temporary-both"):
        old = d.seeds[name]
        new = old.renumbered("G" + old.xs["SFZJH"])
        if name == "temporary":
            d.gone(name)
        d.ungolden(name)
        d.newcomer(f"{name}-G", new)
        if name == "temporary":
            for table, entity, row in (
                ("XS_JTCY", "xs_jtcy", base.member(new)), ("XS_JZXX", "xs_jz", base.grant(new)),
            ):  # fmt: skip
                d.second.put(entity, row)
                d.second.tables["S1", table][-1]["GXSJ"] = TODAY


def _enter(d: Days) -> None:
    """Main rows come in; what was held on them follows by itself."""
    w = d.second
    for code, name in (("3641000099", "新登记学校"), ("3641000015", "缺校长学校")):
        rows = w.tables["S3", "XX_JBXX"]
        rows[:] = [r for r in rows if r["XXDM"] != code]
        w.put("xx", p.school(code, name))
        rows[-1]["GXSJ"] = TODAY
    # What belonged to them on day 1 (planted.py) is golden now, except classes and majors nobody set up there.
    w.stand("jzg", p.teacher(702, "3641000099"))
    w.stand("jzg", p.teacher(701, "3641000015"))
    waiting = next(r for r in w.tables["S1", "XS_JBXX"] if r["XXDM"] == "3641000099")
    fields = dict(waiting)
    w.stand("xs", fields)
    attributes = next(r for r in w.tables["S1", "XS_JBSX"] if r["GRBSM"] == waiting["GRBSM"])
    w.stand("xs_sx", dict(attributes))


def confirm_crosswalk(w: World) -> None:
    """The unconfirmed old code of school B is confirmed: its student enters, and B knows its old code."""
    for row in w.tables["S1", "XX_DZ"]:
        if row["JXXDM"] == base.OLD_DOUBT:
            row.update(QRZTM="1", GXSJ=TODAY)
    w.golden["xx"][(p.B,)]["JXXDM"] = base.OLD_DOUBT
    held = next(r for r in w.tables["S1", "XS_JBXX"] if r["XXDM"] == base.OLD_DOUBT)
    for entity, table in S1.items():
        row = dict(next(r for r in w.tables[table] if r["GRBSM"] == held["GRBSM"]))
        if "XXDM" in row:
            row["XXDM"] = p.B
        w.stand(entity, row | ({"ZYMLBB": "2010", "YJBYNY": "202709"} if entity == "xs_xj" else {}))


def _derive(d: Days) -> None:
    d.both("xs", "moved", XXDM=p.A, XH="moved-1")
    d.both("xs_xj", "moved", XXDM=p.A)
    d.both("xs", "renamed", XM="新名字", XMPY="xin")
    d.both("xs_xj", "year", RXNY="202502", XZ="3.5", NJDM="2025")
    d.stands("xs_xj", "year", YJBYNY="202808")
    a, b = d.seeds["swap-a"].xs["XH"], d.seeds["swap-b"].xs["XH"]
    d.both("xs", "swap-a", XH=b)
    d.both("xs", "swap-b", XH=a)
    w = d.second
    for row in w.tables["S1", "ZY_SZ"]:
        if (row["XXDM"], row["ZYBH"]) == (p.A, "04"):
            row.update(ZYDM="710201", ZYMC="计算机应用", GXSJ=TODAY)
    w.golden["zy"][(p.A, "04")].update(
        ZYDM="710201", ZYMC="计算机应用", ZYMLBB="2021", ZYLDM="7102", ZYDLDM="71", DYXZYDM=None
    )
    for row in w.tables["S3", "XX_JBXX"]:
        if row["XXDM"] == p.M:
            row.update(BXZTM="2", GXSJ=TODAY)
    w.golden["xx"][(p.M,)].update(BXZTM="2", TBLXM="2")
