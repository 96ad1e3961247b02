"""How an operator's words on the command line become a filter (console 3, 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from hub.errors import UsageError
from quality.decisions import State
from quality.decisions_query import Filter

FILTERS: Final = {
    "实体": "entity", "字段": "field", "规则": "rule", "状态": "state", "原由": "cause", "学校": "school",
    "承办人": "assignee", "权威源": "authority", "操作号": "op_no", "提议人": "proposer", "编号": "numbers",
    "逾期": "overdue", "来源": "source",
}  # fmt: skip
OPEN: Final = tuple(str(s) for s in State if s is not State.EFFECTIVE)


def filter_of(where: Sequence[str] | None, today: str, *, open_only: bool = False) -> Filter:
    """`条件=值[,值…]` as a filter; `UsageError` E1058 for a condition that does not exist."""
    chosen: dict[str, Any] = {}
    for word in where or ():
        name, _, values = word.partition("=")
        column = FILTERS.get(name, name if name in FILTERS.values() else "")
        if not column or not (values or column == "overdue"):
            raise UsageError("E1058", f"没有这个查询条件：{name}", step="可用条件：" + "、".join(FILTERS))
        if column == "overdue":
            chosen[column] = today
        elif column == "numbers":
            if not all(v.isdigit() for v in values.split(",")):
                raise UsageError("E1058", "冲突编号须是数字", step="改正 --where 编号=…")
            chosen[column] = tuple(int(v) for v in values.split(","))
        else:
            chosen[column] = tuple(values.split(","))
    if open_only and "state" not in chosen:
        chosen["state"] = OPEN
    return Filter(**chosen)
