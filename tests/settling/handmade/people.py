"""Clean canonical rows, and how each source spells them (S2: labels and dashed dates)."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any

from tests.settling.handmade.layout import SOURCES

Row = dict[str, Any]
SITE = """source_field,source_label,target_table,target_code,status
用人形式,在编,LOCAL_YRXS,1,LOCAL
用人形式,聘用,LOCAL_YRXS,2,LOCAL
签订合同情况,已签,LOCAL_QDHTQK,1,LOCAL
签订合同情况,未签,LOCAL_QDHTQK,2,LOCAL
信息技术应用能力,优,LOCAL_XXJSYYNL,1,LOCAL
信息技术应用能力,良,LOCAL_XXJSYYNL,2,LOCAL
企业工作(实践)时长,半年,LOCAL_QYGZSC,1,LOCAL
企业工作(实践)时长,一年,LOCAL_QYGZSC,2,LOCAL
"""
A, B, C, D, M = "3641000001", "3641000002", "4141000003", "3641000004", "3641000005"
SCHOOLS = (A, B, C, D, M)
# How S2 spells each code; fields not named here are told as they are.
LABELS: dict[str, dict[str, str]] = {
    "XBM": {"1": "男", "2": "女"},
    "SFZJLXM": {"1": "居民身份证", "A": "护照", "6": "香港特区护照/身份证明"},
    "GJDQM": {"CHN": "中国"},
    "MZM": {"01": "汉族", "11": "满族", "36": "毛难族"},
    "ZZMMM": {"01": "中共党员", "13": "群众"},
    "HYZKM": {"20": "已婚", "10": "未婚", "40": "离异"},
    "JKZKM": {"1": "健康或良好", "2": "一般较弱"},
    "JZGLYM": {"11": "城镇应届毕业生"},
    "JZGLBM": {"11": "专任教师"},
    "SFZB": {"1": "是", "0": "否"},
    "YRXSM": {"1": "在编", "2": "聘用"},
    "QDHTQKM": {"1": "已签", "2": "未签"},
    "XXJSYYNLM": {"1": "优", "2": "良"},
    "SFTJJS": {"1": "是", "0": "否"},
    "SFSSXJS": {"1": "是", "0": "否"},
    "SFJBZYJNDJZS": {"1": "是", "0": "否"},
    "QYGZSC": {"1": "半年", "2": "一年"},
    "DQZTM": {"11": "在职", "01": "退休"},
    "BZLBM": {"10": "教学类"},
    "GWLBM": {"2": "专业课"},
    "GWZYM": {"10": "教师"},
    "ZYJSZWM": {"011": "教授"},
    "ZGXLM": {"21": "大学本科毕业"},
    "ZGXWM": {"408": "工学学士学位"},
    "RKZKM": {"22": "专业课"},
    "RKKCLBM": {"12": "专业课"},
    "SFJZJS": {"1": "是", "0": "否"},
}
DASHED = {"CSRQ", "CJGZNY", "LXNY", "CJNY", "GWQSNY"}


def told(entity: str, row: Row) -> Row:
    """What the owning source says of a canonical row: only its columns, S2 in labels and dashed dates."""
    system, columns = next((s, c) for (s, _, e), c in SOURCES.items() if e == entity)
    out = {c: row.get(c) for c in columns if c in row}
    if system == "S2":
        for c, v in out.items():
            if v is not None and c in LABELS:
                out[c] = LABELS[c].get(v, v)
            elif v is not None and c in DASHED:
                out[c] = "-".join((v[:4], v[4:6], v[6:]) if len(v) == 8 else (v[:4], v[4:]))
    return out


def check_digit(body: str) -> str:
    """ISO 7064 MOD 11-2 over 17 digits."""
    total = sum(int(d) * (1 << (17 - i)) for i, d in enumerate(body))
    return "10X98765432"[total % 11]


def id_number(n: int, *, born: str = "20081015", area: str = "411002", woman: bool = False) -> str:
    serial = (n * 2 + (0 if woman else 1)) % 1000
    body = area + born + f"{serial:03d}"
    return body + check_digit(body)


@dataclass
class Student:
    """Canonical rows of one student; `over(xs=…, sx=…, xj=…)` gives a changed copy."""

    xs: Row
    sx: Row | None
    xj: Row | None

    def over(self, *, xs: Row | None = None, sx: Row | None = None, xj: Row | None = None) -> Student:
        sx_row = None if self.sx is None else self.sx | (sx or {})
        xj_row = None if self.xj is None else self.xj | (xj or {})
        return replace(self, xs=self.xs | (xs or {}), sx=sx_row, xj=xj_row)

    def renumbered(self, number: str) -> Student:
        one = {"GRBSM": number}
        return self.over(xs=one, sx=one, xj=one)


SURNAMES = "王李张刘陈杨黄赵周吴徐孙马朱胡郭何高林罗"
_SPELLED = "wang li zhang liu chen yang huang zhao zhou wu xu sun ma zhu hu guo he gao lin luo"
PINYIN = _SPELLED.split()
GIVEN = ("明", "芳", "伟", "秀英", "建国", "小燕", "海波", "雪", "志强", "文静")


def name_of(n: int) -> str:
    return SURNAMES[n % 20] + GIVEN[n // 20 % 10] + GIVEN[(n // 200 + n // 3) % 10]


def student(n: int, school: str = A, *, born: str = "", woman: bool = False, area: str = "411002") -> Student:
    """Number `n` of the province: every clean field filled, class and major 01 of the school."""
    born = born or (dt.date(2008, 9, 1) + dt.timedelta(days=n % 300)).strftime("%Y%m%d")
    number = id_number(n, born=born, area=area, woman=woman)
    grbsm = "G" + number
    xs = {
        "GRBSM": grbsm, "XXDM": school, "XH": f"2024-{n:05d}", "XM": name_of(n), "XMPY": PINYIN[n % 20],
        "CYM": None, "YWXM": None, "XBM": "2" if woman else "1", "CSRQ": born, "SFZJLXM": "1", "SFZJH": number,
        "GJDQM": "CHN", "GATQWM": "00", "MZM": "01", "ZZMMM": "13", "HYZKM": "10", "JKZKM": "1", "CSDM": "411002",
        "JGDXZQHM": "411002", "LXDH": f"138{n:08d}", "DZXX": None,
    }  # fmt: skip
    sx = {
        "GRBSM": grbsm, "HKSZDXZQHM": "411002", "HKSZDXXDZ": "文峰路1号", "SSPCS": "西关派出所", "HKXZM": "2",
        "XSJZDLXM": "1", "CHCQJ": "无", "SFSQZN": "0", "SFJDLKPKH": "0", "SYDXZQHM": "411002", "BYXX": "许昌市第一中学",
        "XSLYM": "102", "ZSDXM": "111", "ZSFSM": "1", "ZKZH": f"Z{n:07d}", "KSH": f"K{n:07d}", "KSZF": "512.5",
        "LZHZLXM": "1", "LZHZBXXSM": None, "LZHZXXDM": None, "JTXDZ": "文峰路1号", "JTYZBM": "461000",
        "JTDH": "0374-2331234", "JHRLXDH": f"139{n:08d}",
    }  # fmt: skip
    return Student(xs, sx, register(grbsm, school))


def register(grbsm: str, school: str) -> Row:
    """A clean xs_xj row: entered 202409 for three years, so 预计毕业年月 = 202709."""
    return {
        "GRBSM": grbsm, "XXDM": school, "RXNY": "202409", "XSLBM": "33110", "XXXSM": "1", "RXFSM": "01", "JDFSM": "2",
        "ZYBH": "01", "ZYMLBB": "2010", "ZYDM": "090100", "XZ": "3.0", "BH": "2401", "NJDM": "2024", "FDPYFSM": "0",
        "XWJXD": "无", "ZCZKM": "1", "ZCRQ": "20241015", "XSDQZTM": "01", "YJBYNY": "202709", "SPZTM": "0",
    }  # fmt: skip


def teacher(n: int, school: str = A, **over: Any) -> Row:
    born = (dt.date(1980, 1, 1) + dt.timedelta(days=n)).strftime("%Y%m%d")
    number = id_number(n, born=born)
    return {
        "XXDM": school, "GH": f"T{n:04d}", "XM": name_of(n + 7), "XMPY": PINYIN[(n + 7) % 20], "CYM": None,
        "YWXM": None, "XBM": "1", "CSRQ": born, "SFZJLXM": "1", "SFZJH": number, "GJDQM": "CHN", "MZM": "01",
        "ZZMMM": "13", "HYZKM": "20", "JKZKM": "1", "JG": "河南许昌",
        "CSDXZQHM": "411002", "CJGZNY": "200307", "LXNY": "200509",
        "CJNY": "200309", "JZGLYM": "11", "JZGLBM": "11", "SFZB": "1", "YRXSM": "1", "QDHTQKM": "1", "XXJSYYNLM": "2",
        "SFTJJS": "0", "SFSSXJS": "1", "SFJBZYJNDJZS": "0", "QYGZSC": "2", "DQZTM": "11", **over,
    }  # fmt: skip


def work(who: Row, **over: Any) -> Row:
    return {
        "XXDM": who["XXDM"], "GH": who["GH"], "JGH": None, "SZZYBH": None, "BZLBM": "10", "GWLBM": "2", "GWZYM": "10",
        "ZYJSZWM": "011", "ZGXLM": "21", "ZGXWM": "408", "RKZKM": "22", "RKKCLBM": "12", "SFJZJS": "0", "SFBZR": "0",
        "GWQSNY": "201509", **over,
    }  # fmt: skip


def school(code: str, name: str, **over: Any) -> Row:
    return {
        "XXDM": code, "XXMC": name, "XXYWMC": None, "XXBXLXM": "361", "XXJBZM": "821", "XXZGBMM": "821", "XXBBM": "21",
        "XZQHM": "411002", "SZDCXLXM": "111", "DYM": None, "TYSHXYDM": None, "XXDZ": "许昌市魏都区1号",
        "XXYZBM": "461000", "JXNY": "198509", "FRZSH": None, "XZXM": "王立", "XZGH": None, "LXDH": "0374-2330001",
        "CZDH": None, "DZXX": None, "ZYDZ": None, "XXXQS": 0, "LSYG": None, "BXZTM": "1", "TBLXM": "1", "JXXDM": None,
        **over,
    }  # fmt: skip


def major(code: str, number: str, zydm: str, name: str, **over: Any) -> Row:
    new = not zydm.startswith(("0", "1"))
    return {
        "XXDM": code, "ZYBH": number, "ZYMLBB": "2021" if new else "2010", "ZYDM": zydm, "ZYMC": name,
        "ZYLDM": zydm[:4] if new else None, "ZYDLDM": zydm[:2], "DYXZYDM": None, "XZ": "3.0", "ZYFXMC": None,
        "ZYJC": name[:4], "JLNY": "201009", "KSJGH": None, **over,
    }  # fmt: skip


def klass(code: str, number: str, name: str, **over: Any) -> Row:
    return {
        "XXDM": code, "BH": number, "BJMC": name, "NJDM": "2024", "ZYBH": "01", "ZYDM": "090100", "XZ": "3.0",
        "JBNY": "202409", "BJZTM": "1", "BZRGH": None, "XQDM": None, "JGH": None, "ZRS": 0, **over,
    }  # fmt: skip
