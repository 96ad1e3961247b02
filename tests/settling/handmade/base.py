"""The clean part of the province: schools, majors, classes, staff, students and what hangs on them."""

from __future__ import annotations

from tests.settling.handmade import people as p
from tests.settling.handmade.world import World

OLD, OLD_MERGED, OLD_DOUBT = "4110020001", "4110020002", "4110020009"


def clean() -> World:
    w = World()
    _schools(w)
    _teaching(w)
    _staff(w)
    for n in range(1, 61):
        student = p.student(n, p.SCHOOLS[n % 5], woman=n % 2 == 0)
        if n % 10 == 0:  # 31 months and a half-year's 学制, status 休学 without a class
            student = student.over(xj={"XZ": "2.5", "YJBYNY": "202703", "XSDQZTM": "02", "BH": None})
            # An event of kind 11 goes with status 02 (YZ10).
            w.put("xs_yd", event(student, "11", "20251010"))
        w.student(f"clean{n}", student)
        if n % 3 == 0:
            _dependents(w, student, n)
    return w


def event(student: p.Student, kind: str, day: str, **over: object) -> p.Row:
    return {
        "GRBSM": student.xs["GRBSM"], "YDLBM": kind, "YDRQ": day, "YDYYM": "12", "SPRQ": day, "SPWH": "许教〔2025〕1号",
        "YDLYXXM": None, "YDQXXXM": None, "YZYDM": None, "XZYDM": None, "YBH": None, "XBH": None, "SPZTM": "2", **over,
    }  # fmt: skip


def grant(student: p.Student, **over: object) -> p.Row:
    return {
        "GRBSM": student.xs["GRBSM"], "XN": "2024-2025", "XQM": "1", "JZLBM": "1", "JZMC": "国家助学金", "JE": "1000.5",
        "SFNY": "202409", "TFNY": None, "TFYY": None, "JFLYM": "1", "YHKH": "6222020000000001", **over,
    }  # fmt: skip


def member(student: p.Student, number: int = 1, **over: object) -> p.Row:
    return {
        "GRBSM": student.xs["GRBSM"], "CYXH": number, "CYXM": "王大山", "GXM": "51", "SFJHR": "1",
        "LXDH": "13900001111", "CSNY": "198001", "SFZJLXM": None, "SFZJH": None, "MZM": "01", "ZZMMM": "13",
        "JKZKM": "1", "CYGZDW": "务农", "ZW": None, **over,
    }  # fmt: skip


def _schools(w: World) -> None:
    w.put("xx", p.school(p.A, "许昌市职业技术学校", JXXDM=OLD))
    w.put("xx", p.school(p.B, "魏都区职业教育中心", XXBXLXM="365", BXZTM="2", TBLXM="2"))
    w.put("xx", p.school(p.C, "许昌学院附设中职班", XXBXLXM="368", TBLXM="3"))
    w.put("xx", p.school(p.D, "许昌培训中心", XXBXLXM="369", TBLXM="4", TYSHXYDM=None, ZYDZ="www.example.cn"))
    w.put("xx", p.school(p.M, "许昌合并学校", BXZTM="3", TBLXM="1", XXBXLXM="362", JXXDM=OLD_MERGED))
    for old, new, sure in ((OLD, p.A, "1"), (OLD_MERGED, p.M, "1"), (OLD_DOUBT, p.B, "0")):
        w.raw("S1", "XX_DZ", {"JXXDM": old, "XXDM": new, "QRZTM": sure})
    w.raw("S3", "XX_BG", {"BGXH": 1, "BGLXM": "2", "YXXDM": OLD_MERGED, "XXXDM": p.M, "BGRQ": "20150101"})


def _teaching(w: World) -> None:
    for code in p.SCHOOLS:
        w.put("zy", p.major(code, "01", "090100", "计算机应用", DYXZYDM="710201"))
        w.put("zy", p.major(code, "02", "710201", "计算机应用"))
        w.put("bj", p.klass(code, "2401", "24级计算机1班"))
        w.put("bj", p.klass(code, "2402", "24级计算机2班", ZYBH="02", ZYDM="710201"))
    w.put("zy", p.major(p.A, "123-123", "120100", "会计"))  # renamed in the map: a person confirms, so no 对应码
    w.put("zy", p.major(p.A, "04", "010300", "观光农业经营"))  # unmapped
    w.put("zy", p.major(p.A, "05", "730301", "会计事务", XZ="2.0"), {"XZ": "2"})
    # Merged schools: S1 still holds a copy of the same major under the old code: identical, one stays.
    w.raw("S1", "ZY_SZ", p.told("zy", p.major(p.M, "02", "710201", "计算机应用")) | {"XXDM": OLD_MERGED})


def _staff(w: World) -> None:
    for n in range(1, 31):
        who = p.teacher(n, p.SCHOOLS[n % 5], MZM="36" if n == 7 else "01", HYZKM="40" if n == 8 else "20")
        w.put("jzg", who)
        w.put("jzg_gz", p.work(who))
    only = p.teacher(31, p.A)  # a teacher without work information is golden all the same
    w.put("jzg", only)


def _dependents(w: World, student: p.Student, n: int) -> None:
    w.put("xs_jtcy", member(student, 1), {"CYXH": "1"})
    w.put("xs_jtcy", member(student, 2, CYXM="李秀兰", GXM="52", SFJHR="0"))
    w.put("xs_jz", grant(student))
    w.put("xs_jz", grant(student, XQM="2", JE="1000"), {"JE": "1000.00"})
    if n % 6 == 0:
        # 2024 to 2027; a graduate's row says how and when study ended.
        w.put(
            "xs_by",
            {
                "GRBSM": student.xs["GRBSM"],
                "JSXYNY": "202507",
                "JSXYM": "1",
                "BYZSH": f"41{n:012d}",
                "BYQXM": "20",
            },
        )
