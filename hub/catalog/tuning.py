"""The quality rules as one node applies them: its thresholds, and rules it has switched off (hub.toml, `[rules.<id>]`).

Decides what may be changed: a threshold that the rule has, to a value of its kind; `enabled` of a rule that does not
block. A rule of severity 错误 is common to both tiers and cannot be switched off by one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hub.catalog.model import Catalog, Rule, Threshold
from hub.errors import UsageError

ENABLED = "enabled"


def tuned(catalog: Catalog, settings: Mapping[str, Mapping[str, Any]]) -> Catalog:
    """The catalogue with a node's own thresholds and switches. Raises `UsageError` E1103 for one that cannot be."""
    if not settings:
        return catalog
    rules = dict(catalog.rules)
    for name, own in settings.items():
        rule = rules.get(name)
        if rule is None:
            raise _refused(name, "没有这条规则")
        rules[name] = _own(rule, own)
    return replace(catalog, rules=rules)


def _own(rule: Rule, own: Mapping[str, Any]) -> Rule:
    thresholds = dict(rule.thresholds)
    enabled = rule.enabled
    for name, value in own.items():
        if name == ENABLED:
            if not isinstance(value, bool):
                raise _refused(f"{rule.id}.{name}", "须为 true 或 false")
            if rule.blocks and not value:
                raise _refused(f"{rule.id}.{name}", "错误级规则两级统一，不能停用")
            enabled = value
        elif name not in thresholds:
            raise _refused(f"{rule.id}.{name}", f"该规则的阈值只有：{'、'.join(thresholds) or '无'}")
        else:
            thresholds[name] = _kept_kind(f"{rule.id}.{name}", thresholds[name], value)
    return replace(rule, thresholds=thresholds, enabled=enabled)


def _kept_kind(where: str, default: Threshold, value: Any) -> Threshold:
    """A number stays a number, a text a text, a list a list of the same."""
    if isinstance(default, tuple):
        if isinstance(value, list | tuple) and value and all(_like(default[0], v) for v in value):
            return tuple(value)
    elif _like(default, value) and (not isinstance(value, int | float) or value >= 0):
        return value  # type: ignore[no-any-return]
    raise _refused(where, f"取值应与默认值 {default} 同类")


def _like(default: object, value: object) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, str) if isinstance(default, str) else isinstance(value, int | float)


def _refused(where: str, why: str) -> UsageError:
    return UsageError(
        "E1103", f"规则设置有误：{why}", where=f"hub.toml rules.{where}", step="对照 schemas/rules.yaml 更正后重试"
    )
