"""质量规则: what is checked, how strictly, what it finds, and changes by two persons (console 3, 5).

Decides what is shown, and that a confirmed change is written where every later round reads it. What may be changed, and
by whom, is decided by `quality.rule_changes`. The ministry shows the rules; thresholds are a province's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from starlette.responses import Response

from hub.catalog import Catalog, Rule
from hub.catalog.tuning import ENABLED, tuned
from hub.errors import HubError, UsageError
from hub.settings import approved_rules, keep_rules, open_node
from hub.store.ledger import RUN
from hub.web import Ask, Queue, Section, not_here
from hub.web.listing import Chip, Condition, chips, facet
from hub.web.refusals import status_of
from quality.places import school_names
from quality.rule_changes import Change, State, approved, changes, decide, draft, withdraw
from quality.rule_hits import Hits, authorities, hits, standing_groups
from quality.web.rule_words import condition_words, threshold_name, threshold_text
from quality.web.wording import SOURCES, field_name, source_name

section: Final = Section("rules", "quality.web")
own: Final = Section("rule-changes", "quality.web", nodes=("province",))
LOOK: Final = ("query", "audit", "draft_rule", "confirm_rule")
FACETS: Final = {"dimension": "维度", "severity": "级别", "enabled": "状态"}
LEVELS: Final = {"row": "单行", "table": "同类各行", "cross": "跨类", "run": "整轮"}
EXECUTED: Final = {"contribution": "读入来源行时", "settled": "入库门禁", "standing": "入库后复查", "run": "定值与交换"}


@dataclass(frozen=True)
class Shown:
    """One rule as the node applies it, and what it holds open in the visitor's scope."""

    rule: Rule
    hits: Hits
    waiting: bool
    changed: bool

    @property
    def enabled(self) -> str:
        return "启用" if self.rule.enabled else "停用"


def catalog_of(ask: Ask) -> Catalog:
    """The catalogue as the next round applies it: hub.toml, and above it what two persons approved."""
    node = open_node(ask.site.node.folder)
    return tuned(ask.site.catalog, node.settings.rules)


@section.get("/rules", allow=LOOK, menu="质量规则", manual="rules")
def listing(ask: Ask) -> Response:
    """Every rule with its dimension, severity, thresholds and open hits."""
    rules = catalog_of(ask).rules
    with ask.site.store.reading() as reader:
        found = hits(reader, ask.site.party, _scopes(ask))
        waiting = {c.rule for c in changes(reader, state=str(State.WAITING))}
        run = reader.connection.execute(sa.select(sa.func.max(RUN.c.run_no))).scalar_one()
    moved = approved_rules(ask.site.node.folder)
    every = [Shown(r, found.get(r.id, Hits()), r.id in waiting, r.id in moved) for r in rules.values()]
    shown = [s for s in every if _passes(ask, s)]
    facets = [facet(ask, name, label, _counts(ask, every, name)) for name, label in FACETS.items()]
    fields = (Condition("text", "规则", hint="编号或名称"), Condition("hit", "命中", (("1", "只看有命中的"),)))
    named: tuple[Chip, ...] = chips(ask, (*fields, *(Condition(name, label) for name, label in FACETS.items())))
    return ask.page(
        "rules/list.html", rules=shown, total=len(every), facets=facets, conditions=fields, chips=named,
        others={k: n for k, n in found.items() if k not in rules}, waiting=waiting, province=ask.site.party != "moe",
        version=ask.site.catalog.rules_version, registry=ask.site.catalog.registry.version, run=run,
        called=threshold_name, text=threshold_text,
    )  # fmt: skip


def _value(shown: Shown, name: str) -> str:
    return shown.enabled if name == "enabled" else str(getattr(shown.rule, name))


def _passes(ask: Ask, shown: Shown, without: str = "") -> bool:
    text = ask.query("text")
    if text and text.upper() != shown.rule.id and text not in shown.rule.name:
        return False
    if ask.query("hit") and not (shown.hits.kept_out or shown.hits.standing):
        return False
    return all(n == without or not ask.queries(n) or _value(shown, n) in ask.queries(n) for n in FACETS)


def _counts(ask: Ask, every: list[Shown], name: str) -> list[tuple[str, str, int]]:
    """A facet ignores its own filter."""
    counts: dict[str, int] = {}
    for shown in every:
        if _passes(ask, shown, without=name):
            value = _value(shown, name)
            counts[value] = counts.get(value, 0) + 1
    return [(v, v, n) for v, n in sorted(counts.items(), key=lambda c: (-c[1], c[0]))]


@section.get("/rules/{rule}", allow=LOOK, manual="rules")
def detail(ask: Ask) -> Response:
    """One rule: what it says, thresholds, authority order of its scope, hits, changes."""
    return _detail(ask)


def _detail(ask: Ask, *, error: HubError | None = None) -> Response:
    catalog = catalog_of(ask)
    rule = catalog.rules.get(str(ask.path["rule"]))
    if rule is None:
        raise not_here("没有这条规则")
    with ask.site.store.reading() as reader:
        found = hits(reader, ask.site.party, _scopes(ask)).get(rule.id, Hits())
        groups = standing_groups(reader, ask.site.party, _scopes(ask), rule.id)
        history = changes(reader, rule=rule.id)
        node = None if ask.site.party == "moe" else ask.site.party
        names = school_names(reader, node, [g[2] for g in groups if g[2]])
        agreed = approved(reader).get(rule.id, {})
    names_of = {s: source_name(ask.site.catalog, s) for s in (*SOURCES, *ask.site.catalog.systems)} | {"D": "派生"}
    return ask.page(
        "rules/detail.html", status=200 if error is None else status_of(error), rule=rule, hits=found, groups=groups,
        names=names, history=history, authorities=authorities(catalog, rule), sources=names_of, error=error,
        entities={e.name: e.cn for e in catalog.entities.values()}, shipped=ask.site.catalog.rules[rule.id],
        levels=LEVELS, executed=EXECUTED, province=ask.site.party != "moe", person=ask.operator.person,
        differs=agreed != approved_rules(ask.site.node.folder).get(rule.id, {}), waits=str(State.WAITING),
        text=threshold_text, said=_said, called=threshold_name, condition=condition_words(catalog, rule),
        version=catalog.rules_version, fields=lambda e, f: field_name(catalog, e, f),
    )  # fmt: skip


def _said(change: Change) -> str:
    """A change in words."""
    words = {True: "启用", False: "停用"}
    return "；".join(
        words[v] if k == ENABLED else f"{threshold_name(k)}改为 {threshold_text(v)}" for k, v in change.settings.items()
    )


@own.post("/rules/{rule}/draft", allow="draft_rule")
def propose(ask: Ask) -> Response:
    """Drafts a change: the settings of the form that differ from what is in force."""
    rule = catalog_of(ask).rules.get(str(ask.path["rule"]))
    if rule is None:
        raise not_here("没有这条规则")
    try:
        draft(
            ask.site.store, ask.site.catalog, rule.id, settings_of(ask, rule), by=ask.operator, node=ask.site.party,
            reason=ask.form.get("reason", ""), at=ask.at,
        )  # fmt: skip
    except HubError as error:
        return _detail(ask, error=error)
    return ask.go(f"/rules/{rule.id}")


def settings_of(ask: Ask, rule: Rule, *, all_given: bool = False) -> dict[str, Any]:
    """Thresholds and switch of a posted form that differ from the rule's own. `UsageError` E3530 for a malformed one."""
    found: dict[str, Any] = {}
    for name, now in rule.thresholds.items():
        if f"t_{name}" in ask.form:
            value = _typed(rule, name, ask.form[f"t_{name}"])
            if all_given or value != (list(now) if isinstance(now, tuple) else now):
                found[name] = value
    if ask.form.get(ENABLED) in ("on", "off") and not all_given:
        wanted = ask.form[ENABLED] == "on"
        if wanted != rule.enabled:
            found[ENABLED] = wanted
    return found


def _typed(rule: Rule, name: str, given: str) -> Any:
    now = rule.thresholds[name]
    if isinstance(now, tuple):
        parts = [p.strip() for p in given.replace("，", ",").split(",") if p.strip()]
        return [_one(rule, name, now[0], p) for p in parts]
    return _one(rule, name, now, given.strip())


def _one(rule: Rule, name: str, like: object, given: str) -> Any:
    if isinstance(like, str):
        return given
    try:
        value = json.loads(given)
    except ValueError:
        value = None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError("E3530", f"阈值“{threshold_name(name)}”须为数字", where=f"规则 {rule.id}", step="改正后再提交")
    return value


@own.post("/rules/{rule}/changes/{number:int}", allow=("confirm_rule", "draft_rule"))
def settle(ask: Ask) -> Response:
    """确认 or 驳回 by a second person, 撤回 by the first; a confirmed change is in force from the next round on."""
    number, do = int(ask.path["number"]), ask.form.get("do", "")
    try:
        if do == "withdraw":
            ask.require("draft_rule")
            withdraw(ask.site.store, number, by=ask.operator, node=ask.site.party, at=ask.at)
        elif do in ("confirm", "refuse"):
            ask.require("confirm_rule")
            settings = decide(
                ask.site.store, number, confirm=do == "confirm", by=ask.operator, node=ask.site.party,
                note=ask.form.get("note", ""), at=ask.at,
            )  # fmt: skip
            if do == "confirm":
                keep_rules(ask.site.node.folder, settings)
        else:
            raise UsageError("E3525", "没有选择确认、驳回还是撤回", step="按其中一个按钮")
    except HubError as error:
        if str(ask.path["rule"]) not in ask.site.catalog.rules or getattr(error, "code", "") == "E1083":
            raise
        return _detail(ask, error=error)
    return ask.go(f"/rules/{ask.path['rule']}")


@own.queue
def waits(ask: Ask) -> list[Queue]:
    """Changes of others that wait for confirmation."""
    if not ask.visitor.may("confirm_rule"):
        return []
    with ask.site.store.reading() as reader:
        waiting = changes(reader, state=str(State.WAITING))
    href = f"/rules/{waiting[0].rule}" if len(waiting) == 1 else "/rules"
    return [Queue("规则变更待确认", len(waiting), href, "warn")]


def _scopes(ask: Ask) -> Any:
    return (*ask.scopes("query"), *ask.scopes("audit"))
