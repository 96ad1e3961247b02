"""The authority registry (一数一源) as a document: read, checked line by line, compared.

Decides whether a document is a registry that can be executed: every data item of every entity has exactly one owner,
every source named is known, nothing stands twice. Faults name the line. Leaves to `quality.survivorship` what owning
means, and to `hub.registry` which version is in force.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from hub.catalog.model import Authority, Entity, Registry
from hub.errors import InputError

SUPPLEMENT: Final = "L"
DERIVED: Final = "D"
# Letters whose meaning the engine knows; a document may not turn them into something else.
FIXED: Final = {"L": "L", "F": "D", "P": "P", "D": "X", "-": ""}
_MEMBERS: Final = {"default", "fill", "never_filled", "fields"}
_SHOWN: Final = 20


@dataclass
class _Faults:
    where: str
    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, node: Any, what: str) -> None:
        self.found.append((node.start_mark.line + 1, what))

    def stop(self) -> None:
        if not self.found:
            return
        first = sorted(self.found)[:_SHOWN]
        more = f"；另有 {len(self.found) - len(first)} 处" if len(self.found) > len(first) else ""
        raise InputError(
            "E1111",
            "权威源登记有误：" + "；".join(f"第 {line} 行 {what}" for line, what in first) + more,
            where=self.where,
            step="逐行更正后重新发布；字段与实体名见 hub schema show",
        )


def read_registry(text: str, entities: Mapping[str, Entity], *, where: str = "authority.yaml") -> Registry:
    """The registry of a document. `InputError` E1111 with every fault and its line; E1112 when it is no YAML."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"第 {mark.line + 1} 行" if mark else "全文"
        raise InputError("E1112", f"权威源登记不是 YAML：{line}", where=where, step="更正格式后重试") from None
    faults = _Faults(where)
    if not isinstance(root, yaml.MappingNode):
        raise InputError("E1112", "权威源登记不是 YAML：第 1 行", where=where, step="更正格式后重试")
    top = _mapping(root, faults, {"version", "letters", "entities"})
    version = _version(top.get("version"), root, faults)
    letters = _letters(top.get("letters"), root, faults)
    owners: dict[tuple[str, str], Authority] = {}
    parts = _mapping(top["entities"], faults, set(entities)) if "entities" in top else {}
    for name, entity in entities.items():
        if name in parts:
            owners |= _entity(entity, parts[name], set(letters.values()), faults)
        else:
            faults.add(top.get("entities", root), f"缺少实体 {name}，其数据项没有权威源")
    faults.stop()
    return Registry(version, letters, owners)


def changed(old: Registry, new: Registry) -> tuple[tuple[str, str, Authority, Authority], ...]:
    """(entity, field, before, after) of every data item whose owner or filling differs, in the definitions' order."""
    return tuple(
        (entity, name, old.owners[entity, name], after)
        for (entity, name), after in new.owners.items()
        if old.owners[entity, name] != after
    )


def words(authority: Authority) -> str:
    """`S1、L（可补录）`"""
    return "、".join(authority.order) + ("（可补录）" if authority.fill and SUPPLEMENT not in authority.order else "")


def _mapping(node: Any, faults: _Faults, allowed: set[str]) -> dict[str, Any]:
    """Value nodes by key; unknown and repeated keys are faults."""
    if not isinstance(node, yaml.MappingNode):
        faults.add(node, "应为键值对")
        return {}
    found: dict[str, Any] = {}
    for key, value in node.value:
        if key.value in found:
            faults.add(key, f"{key.value} 出现两次，一个数据项只能有一个权威源")
        elif key.value not in allowed:
            faults.add(key, f"没有 {key.value} 这一项")
        else:
            found[key.value] = value
    return found


def _version(node: Any, root: Any, faults: _Faults) -> int:
    value = getattr(node, "value", None)
    if not isinstance(value, str) or not value.isascii() or not value.isdecimal() or not 0 < int(value) < 10**9:
        faults.add(node or root, "version 应为正整数")
        return 0
    return int(value)


def _letters(node: Any, root: Any, faults: _Faults) -> dict[str, str]:
    if not isinstance(node, yaml.MappingNode):
        faults.add(node or root, "缺少 letters")
        return {}
    result: dict[str, str] = {}
    for key, value in node.value:
        source = next((v.value for k, v in getattr(value, "value", []) if k.value == "source"), None)
        if len(key.value) != 1 or source is None:
            faults.add(key, f"来源字母 {key.value[:8]} 应为一个字符并给出 source")
        elif key.value in result or source in result.values():
            faults.add(key, f"来源字母 {key.value} 或来源 {source} 重复")
        elif FIXED.get(key.value, source) != source:
            faults.add(key, f"来源字母 {key.value} 的含义是固定的，不得改为 {source}")
        else:
            result[key.value] = source
    for letter in FIXED:
        if letter not in result and not faults.found:
            faults.add(node, f"缺少来源字母 {letter}")
    return result


def _entity(entity: Entity, node: Any, sources: set[str], faults: _Faults) -> dict[tuple[str, str], Authority]:
    part = _mapping(node, faults, _MEMBERS)
    names = set(entity.columns)
    if "default" not in part:
        faults.add(node, f"实体 {entity.name} 缺少 default")
        return {}
    default = _order(part["default"], sources, faults)
    fill_node = part.get("fill")
    fill = getattr(fill_node, "value", None)
    if fill not in ("true", "false"):
        faults.add(fill_node or node, "fill 应为 true 或 false")
    never = {n.value for n in _sequence(part.get("never_filled"), faults)}
    for item in _sequence(part.get("never_filled"), faults):
        if item.value not in names:
            faults.add(item, f"实体 {entity.name} 没有字段 {item.value}")
    own = _mapping(part["fields"], faults, names) if "fields" in part else {}
    orders = {name: _order(own[name], sources, faults) if name in own else default for name in entity.columns}
    return {
        (entity.name, name): Authority(
            order, SUPPLEMENT in order or (fill == "true" and name not in never and order != (DERIVED,))
        )
        for name, order in orders.items()
    }


def _order(node: Any, sources: set[str], faults: _Faults) -> tuple[str, ...]:
    """Sources that may own, the owner first."""
    order = tuple(n.value for n in _sequence(node, faults))
    if not order:
        faults.add(node, "没有权威源")
    for name in order:
        if name not in sources or name in ("", "P", "X"):
            faults.add(node, f"来源 {name} 不在 letters 中或不能作权威源")
    if len(set(order)) != len(order):
        faults.add(node, "同一来源出现两次")
    if DERIVED in order[:-1]:
        faults.add(node, "派生（D）只能排在最后")
    return order


def _sequence(node: Any, faults: _Faults) -> list[Any]:
    if node is None:
        return []
    if not isinstance(node, yaml.SequenceNode) or not all(isinstance(n, yaml.ScalarNode) for n in node.value):
        faults.add(node, "应为列表")
        return []
    return list(node.value)
