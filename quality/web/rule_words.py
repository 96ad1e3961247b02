"""Rules in words: what a threshold is called, and a condition with the names people know in place of codes (console 5).

Decides wording only; codes stay where a name would not be exact.
"""

from __future__ import annotations

import re
from typing import Any, Final

from hub.catalog import Catalog, Rule

THRESHOLDS: Final = {
    "years": "学制取值（年）",
    "youngest": "年龄下限（周岁）",
    "oldest": "年龄上限（周岁）",
    "narrow_youngest": "应届初中毕业生年龄下限（周岁）",
    "narrow_oldest": "应届初中毕业生年龄上限（周岁）",
    "left": "视为离校的学生状态码",
    "grace_years": "超出学制的宽限（年）",
    "men": "男性退休年龄（周岁）",
    "women": "女性退休年龄（周岁）",
    "party": "党员年龄下限（周岁）",
    "league_youngest": "团员年龄下限（周岁）",
    "league_oldest": "团员年龄上限（周岁）",
    "grades": "享受资助的年级（前几年）",
    "days": "天数上限（日）",
    "hours": "时长上限（小时）",
    "autumn": "秋季注册截止（月-日）",
    "spring": "春季注册截止（月-日）",
    "share": "变动上限（占总量之比）",
    "busy_share": "集中变动月份的上限（占总量之比）",
    "busy_months": "集中变动的月份",
    "least": "起算的最少人数",
}
_CODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_OTHER: Final = {"M": "必填", "required": "填写要求", "code_ref": "代码表核对", "length": "规定长度", "S1": "学籍系统",
                 "S2": "教师系统", "S3": "机构代码系统", "gbt2260_history": "历次行政区划代码表"}  # fmt: skip


def threshold_name(name: str) -> str:
    """年龄下限（周岁）for `youngest`."""
    return THRESHOLDS.get(name, name)


def threshold_text(value: Any) -> str:
    """A threshold as it is typed."""
    return "，".join(str(v) for v in value) if isinstance(value, tuple | list) else str(value)


def condition_words(catalog: Catalog, rule: Rule) -> str:
    """学制∉{1,1.5,2} for XZ∉{1,1.5,2}: fields of the rule's own scope first, then of any."""
    own = [catalog.entities[e] for e in rule.scope if e in catalog.entities]
    names = {f.name: f.cn for e in (*catalog.entities.values(), *own) for f in e.fields}
    names |= {e.name: f"【{e.cn}】" for e in catalog.entities.values()} | _OTHER

    def named(found: re.Match[str]) -> str:
        return names.get(found[0], found[0])

    return rule.condition if "^" in rule.condition else _CODE.sub(named, rule.condition)
