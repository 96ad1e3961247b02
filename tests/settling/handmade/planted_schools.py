"""Planted cases of schools, majors, classes and staff."""

from __future__ import annotations

from tests.settling.handmade import people as p
from tests.settling.handmade.fresh import Q, new
from tests.settling.handmade.world import ANY, HELD, Expect, Row, World


def schools(w: World) -> None:
    def out(name: str, row: Row, told: Row, *rules: str, at: str = "") -> None:
        w.put("xx", row, told, Q(*rules, at=at), name)

    out("GL06", p.school("3641000010", "撤销学校", BXZTM="4"), {}, "GL06")
    w.put("jzg", p.teacher(700, "3641000010"), None, HELD, "GL06-teacher")
    w.student("GL06-student", new("3641000010"), out={"xs": HELD, "xs_sx": HELD, "xs_xj": HELD})
    w.put("xx", p.school("3641000018", "撤销无人学校", BXZTM="4"))
    out("YX07-short", p.school("364100001", "短码学校"), {}, "YX07", at="XXDM")
    out("YX07-kind", p.school("9941000011", "类别学校"), {}, "YX07", at="XXDM")
    out("YX07-province", p.school("3699000011", "省码学校"), {}, "YX07", at="XXDM")
    out("YX08", p.school("4241000012", "成人高校附设", XXBXLXM="362"), {}, "YX08", at="XXDM")
    out("xx-YX05", p.school("3641000013", "类型错误学校"), {"XXBXLXM": "399"}, "YX05", at="XXBXLXM")
    out("xx-division", p.school("3641000014", "区划错误学校"), {"XZQHM": "419999"}, "YX05", at="XZQHM")
    out("xx-WZ01", p.school("3641000015", "缺校长学校"), {"XZXM": None}, "WZ01", at="XZXM")
    w.put("jzg", p.teacher(701, "3641000015"), None, HELD, "xx-WZ01-teacher")
    out("xx-YX14", p.school("3641000016", "建校年月学校"), {"JXNY": "198513"}, "YX14", at="JXNY")
    w.put("xx", p.school("3641000017", "旧区划学校", XZQHM="410103", TYSHXYDM="X" * 18))  # YX09 warns
    w.put("jzg", p.teacher(702, "3641000099"), None, Expect("挂起", ("GL01",)), "GL01-teacher")
    w.student("GL01-student", new("3641000099"), out={e: Expect("挂起") for e in ("xs", "xs_sx", "xs_xj")})
    w.student("GL01-xj", new(), src={"xs_xj": {"XXDM": "3641000099"}}, out={"xs_xj": Expect("挂起", ("GL01",))})


def majors_classes(w: World) -> None:
    w.put("zy", p.major(p.A, "10", "090100", "名称不符", DYXZYDM="710201"))  # YX11 warns
    w.put("zy", p.major(p.A, "11", "619999", "目录外", ZYMLBB=ANY, ZYLDM=ANY, ZYDLDM=ANY))  # YX10 warns
    # In no catalogue at all: 保留原值、标“目录外专业”，警告不阻断.
    w.put("zy", p.major(p.A, "14", "990100", "自设专业", ZYMLBB=ANY, ZYLDM=ANY, ZYDLDM=ANY))
    w.put("bj", p.klass(p.A, "2420", "自设专业班", ZYBH="14", ZYDM="990100"))
    w.put("zy", p.major(p.A, "12", "090100", "计算机应用"), {"XZ": ""}, Q("WZ01", at="XZ"), "zy-WZ01")
    w.put("zy", p.major(p.A, "13", "090100", "计算机应用"), {"JLNY": "2010"}, Q("YX14", at="JLNY"), "zy-YX14")
    w.put("bj", p.klass(p.A, "2410", "10班", ZYBH="99"), None, Expect("挂起", ("GL02",)), "bj-GL02")
    w.put("bj", p.klass(p.A, "2411", "同名班"), None, Q("WY08"), "WY08-a")
    w.put("bj", p.klass(p.A, "2412", "同名班"), None, Q("WY08"), "WY08-b")
    w.put("bj", p.klass(p.A, "2312", "同名班", NJDM="2023", JBNY="202309"))
    w.put("bj", p.klass(p.A, "2413", "13班"), None, Q("WY08", "WY01"), "WY08-key")
    w.raw("S1", "BJ_XX", p.told("bj", p.klass(p.A, "2413", "另一13班")))
    w.put("bj", p.klass(p.A, "2414", "14班"), {"BJZTM": "9"}, Q("YX05", at="BJZTM"), "bj-YX05")
    w.put("bj", p.klass(p.A, "2415", "15班"), {"JBNY": "2024年"}, Q("YX14", "YX18", at="JBNY"), "bj-YX14")
    w.put("bj", p.klass(p.A, "24160000000", "16班"), None, Q("YX18", at="BH"), "bj-YX18")


def teachers(w: World) -> None:
    def bad(n: int, told: Row, *rules: str, at: str) -> None:
        w.put("jzg", p.teacher(n), told, Q(*rules, at=at), f"jzg-{rules[0]}-{at}-{n}")

    bad(100, {"XM": "/"}, "WZ01", at="XM")
    bad(101, {"SFZJH": ""}, "WZ05", "WZ01", at="SFZJH")
    bad(102, {"SFZJH": p.teacher(102)["SFZJH"][:15]}, "YX01", at="SFZJH")
    good = p.teacher(103)["SFZJH"]
    bad(103, {"SFZJH": good[:17] + ("3" if good[17] != "3" else "4")}, "YX02", at="SFZJH")
    bad(104, {"SFZJH": p.id_number(104, born="19800230")}, "YX04", at="SFZJH")
    bad(105, {"CSRQ": "1980-13-01"}, "YX14", at="CSRQ")
    bad(106, {"CSRQ": "1980-01-01"}, "YZ01", at="CSRQ")
    bad(107, {"XBM": "女"}, "YZ02", at="XBM")
    bad(108, {"ZZMMM": "共青团干部"}, "待归一", "YX05", at="ZZMMM")
    bad(110, {"CJGZNY": "2003-17"}, "YX14", at="CJGZNY")
    w.put("jzg", p.teacher(111, HYZKM=None), {"HYZKM": "同居"})  # unknown label, optional: empty and a finding
    w.put("jzg", p.teacher(112), {"XM": " " + p.teacher(112)["XM"] + "\u3000", "XBM": "男 ", "MZM": "汉"})
    for n, two in ((113, False), (114, True)):
        who = p.teacher(n)
        w.put("jzg", who, None, Q("WY06", "WY01") if two else None, f"WY06-{n}")
        w.raw("S2", "JZG_JBXX", p.told("jzg", who) | ({"XM": "某某某"} if two else {}))
    who = p.teacher(115)
    w.put("jzg", who)
    w.put("jzg", who | {"XXDM": p.B})  # WY07: two rows and a warning
    w.put("jzg_gz", p.work(p.teacher(116)), None, HELD, "gz-without-jzg")
    who = p.teacher(117)
    w.put("jzg", who)
    w.put("jzg_gz", p.work(who), {"ZGXLM": "文盲学历"}, Q("待归一", "YX05", at="ZGXLM"), "gz-label")
    who = p.teacher(118)
    w.put("jzg", who)
    w.put("jzg_gz", p.work(who, RKZKM=None), {"RKZKM": "没有这个标签"})
    w.put("jzg", p.teacher(119, SFZJLXM="A", SFZJH="E7654321"))
    w.put("jzg", p.teacher(120, XMPY=ANY), {"XMPY": None})
    w.put("jzg", p.teacher(121, YWXM=None), {"YRXSM": "不认识"}, Q("待归一", "YX05", at="YRXSM"), "site-label")
