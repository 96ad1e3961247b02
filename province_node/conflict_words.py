"""How an operator's words on the command line become a filter (console 3, 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from hub.catalog import load_catalog
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
            chosen[column] = _known(column, name, values.split(","))
    if open_only and "state" not in chosen:
        chosen["state"] = OPEN
    return Filter(**chosen)


def _known(column: str, name: str, values: Sequence[str]) -> tuple[str, ...]:
    """The values as stored: entities and fields by code or by the name that lists show, states as they are called."""
    words = _words(column)
    if words is None:
        return tuple(values)
    if unknown := [v for v in values if v not in words]:
        raise UsageError(
            "E1058", f"没有这个{name}：{'、'.join(unknown)}", step="用 hub conflict ls --list 查看名称，或对照数据字典"
        )
    return tuple(dict.fromkeys(code for v in values for code in words[v]))


def _words(column: str) -> dict[str, tuple[str, ...]] | None:
    """What may be said for a column → what is stored; None where anything may."""
    entities = load_catalog().entities.values()
    if column == "state":
        return {str(s): (str(s),) for s in State}
    if column == "entity":
        return {word: (e.name,) for e in entities for word in (e.name, e.cn)}
    if column == "field":
        found: dict[str, tuple[str, ...]] = {}
        for f in (f for e in entities for f in e.fields):
            for word in {f.name, f.cn}:
                found[word] = (*found.get(word, ()), f.name)
        return found
    return None
