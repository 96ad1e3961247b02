"""How conflicts are shown on pages, in sheets and on the command line: masked, in words.

Decides wording and masking only (console 1: lists stay masked).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from hub.catalog import Catalog, Field
from hub.labels import code_label, unknown_code
from hub.masking import is_masked, mask_key, mask_value
from quality.decisions import State
from quality.decisions_store import as_value

SOURCES: Final = {
    "S1": "学籍系统",
    "S2": "教师系统",
    "S3": "机构代码系统",
    "L": "学校补录",
    "P": "原有值",
    "D": "裁决值",
}
EMPTY: Final = "（空）"


def source_name(catalog: Catalog, source: str | None) -> str:
    """学籍系统; a province's own system by its own name."""
    if source in SOURCES:
        return SOURCES[source]
    found = catalog.systems.get(source or "")
    return found.cn if found is not None else source or "—"


def entity_name(catalog: Catalog, entity: str) -> str:
    """学生基本信息"""
    found = catalog.entities.get(entity)
    return found.cn if found is not None else entity


def field_of(catalog: Catalog, row: Mapping[str, Any]) -> Field | None:
    """The field a conflict is about; None where rows exclude each other as a whole."""
    return catalog.entities[row["entity"]].by_name.get(row["field"] or "")


def field_name(catalog: Catalog, entity: str, field: str | None) -> str:
    """民族码"""
    found = catalog.entities[entity].by_name.get(field or "") if entity in catalog.entities else None
    return found.cn if found is not None else field or "整行"


def reason_name(catalog: Catalog, rule: str | None, *, clash: bool = False) -> str:
    """原因: the rule's name."""
    found = catalog.rules.get(rule or "")
    return found.name if found is not None else "多行互相排斥" if clash else "来源不一致"


def value_shown(catalog: Catalog, field: Field | None, value: str | None, *, plain: bool = False) -> str:
    """01 汉族; masked unless `plain`; （空） for no value; a code of no code table is said to be one."""
    if value is None or value == "":
        return EMPTY
    if field is not None and is_masked(field) and not plain:
        return mask_value(field, value) or EMPTY
    label = code_label(catalog, field, value)
    shown = value if plain else mask_value(field, value) or EMPTY
    return f"{shown} {label}" if label else f"{shown}（代码表中没有）" if unknown_code(catalog, field, value) else shown


def source_said(catalog: Catalog, source: str | None) -> str:
    """S1 学籍系统: the code a sheet asks for beside its name; empty for none."""
    return f"{source} {source_name(catalog, source)}" if source else ""


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
