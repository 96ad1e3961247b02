"""How conflicts are shown on the command line and in sheets: masked, in words, with what a person may do next.

Decides wording and masking only (console 1: lists stay masked).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from hub.catalog import Catalog
from hub.errors import UsageError
from hub.masking import is_masked, mask_key, mask_value
from quality.decisions import State
from quality.decisions_query import Filter
from quality.decisions_store import as_value

FILTERS: Final = {
    "实体": "entity", "字段": "field", "规则": "rule", "状态": "state", "原由": "cause", "学校": "school",
    "承办人": "assignee", "权威源": "authority", "操作号": "op_no", "提议人": "proposer", "编号": "numbers",
    "逾期": "overdue",
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


def masked(catalog: Catalog, row: Mapping[str, Any], value: str | None) -> str | None:
    """A value of the conflict's field as it may be shown."""
    return mask_value(catalog.entities[row["entity"]].by_name.get(row["field"] or ""), value)


def private_field(catalog: Catalog, entity: str, field: str) -> bool:
    """Whether the values of a conflict over this field are masked by default."""
    found = catalog.entities[entity].by_name.get(field)
    return found is not None and is_masked(found)


def shown(catalog: Catalog, row: Mapping[str, Any], today: str) -> dict[str, Any]:
    """One line of a list."""
    entity = catalog.entities[row["entity"]]
    field = entity.by_name.get(row["field"] or "")
    late = bool(row["due"]) and row["due"] < today and row["state"] != str(State.EFFECTIVE)
    return {
        "编号": row["decision_no"],
        "版本": row["version"],
        "实体": entity.cn,
        "记录": mask_key(entity, row["natural_key"]),
        "字段": field.cn if field else row["field"],
        "规则": row["rule"],
        "学校": row["school"],
        "状态": row["state"],
        "原由": row["cause"],
        "权威源": row["authority"],
        "建议": f"{row['suggest_source']}：{masked(catalog, row, row['suggest_value'])}"
        if row["suggest_source"]
        else None,
        "意见": _proposal(catalog, row),
        "承办人": row["assignee"],
        "截止": f"{row['due']}{'（逾期）' if late else ''}" if row["due"] else None,
    }


def _proposal(catalog: Catalog, row: Mapping[str, Any]) -> str | None:
    if not row["kind"]:
        return None
    value = masked(catalog, row, row["chosen_value"])
    pending = "，待源头确认" if row["state"] == str(State.RETURNED) else ""
    return f"{row['kind']}{f'：{value}' if value else ''}{pending}"


def tell_one(
    catalog: Catalog,
    row: Mapping[str, Any],
    said: Sequence[Mapping[str, Any]],
    told: Sequence[Mapping[str, Any]],
    today: str,
) -> dict[str, Any]:
    """One conflict with its sources and its history. Different values that mask alike are said to differ."""
    conflict = as_value(row, said)
    sources = [
        {"来源": s.source, "值": masked(catalog, row, s.value), "可采用": "是" if s.valid and s.value else "否"}
        for s in conflict.sources
    ]
    plain, covered = {s.value for s in conflict.sources}, {s["值"] for s in sources}
    if len(plain) > len(covered):
        for source in sources:
            source["值"] = f"{source['值']}（两值不同，脱敏后相同）"
    history = [
        {
            "时间": t["ts"], "操作": t["action"], "从": t["from_state"], "到": t["to_state"], "原由": t["cause"],
            "经办": t["person"], "角色": t["role"], "意见": t["kind"], "值": masked(catalog, row, t["chosen_value"]),
            "原因": t["reason"], "说明": mask_value(None, t["note"]), "操作号": t["op_no"], "依据": t["evidence"],
        }
        for t in told
    ]  # fmt: skip
    return {"conflict": shown(catalog, row, today), "sources": sources, "history": history}
