"""试运行 of a rule and 重新检查 of a row, over stored data, beside the pages (console 5). Nothing is written.

Decides what of a trial a visitor sees: groups of schools in his scope. What a trial asks is decided by `trial`.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from starlette.responses import Response

from hub.settings import open_node
from hub.web import Ask, Section, not_here
from hub.web.filters import today
from hub.web.listing import paging
from hub.web.work import Plan, Telling, start, work_of
from province_node.trial import BASIS, Trial, still_hit, try_rule
from quality.places import place_above, school_names, within_schools
from quality.quarantine_list import of_node, of_row
from quality.web.rule_words import threshold_name
from quality.web.rules import catalog_of, settings_of
from quality.web.wording import field_name

section: Final = Section("trials", "province_node.web", nodes=("province",))
AGAIN: Final = "没有写入任何数据，请再试一次"
LEVELS: Final = {"school": "学校", "county": "县", "city": "市", "province": "省"}


@section.post("/rules/{rule}/try", allow=("draft_rule", "confirm_rule"))
def begin(ask: Ask) -> Response:
    """Starts a trial with the thresholds of the form."""
    rule = catalog_of(ask).rules.get(str(ask.path["rule"]))
    if rule is None:
        raise not_here("没有这条规则")
    thresholds = settings_of(ask, rule, all_given=True)
    node, catalog, at = open_node(ask.site.node.folder), ask.site.catalog, ask.at

    def run(telling: Telling) -> dict[str, Any]:
        telling.tell("在已存数据上试跑")
        return _outcome(try_rule(node, catalog, rule.id, today=today(at), at=at, thresholds=thresholds))

    here = f"/rules/{rule.id}"
    return start(
        ask, lambda token: Plan(f"试运行 {rule.id} {rule.name}", run, here, AGAIN, lambda _: f"{here}/trials/{token}")
    )


def _outcome(trial: Trial) -> dict[str, Any]:
    """A trial as it is kept: text, numbers and lists."""
    return {
        "rule": trial.rule.id, "thresholds": dict(trial.rule.thresholds), "basis": trial.basis, "asked": trial.asked,
        "groups": [list(group) for group in trial.groups],
    }  # fmt: skip


@section.get("/rules/{rule}/trials/{token}", allow=("draft_rule", "confirm_rule"), manual="rules")
def outcome(ask: Ask) -> Response:
    """What a trial found, per school, county, city or province."""
    trial = work_of(ask, str(ask.path["token"])).outcome
    rule = catalog_of(ask).rules.get(str(ask.path["rule"]))
    if rule is None or not isinstance(trial, dict) or trial.get("rule") != rule.id:
        raise not_here("这次试运行不在了")
    level = ask.query("by", "school")
    with ask.site.store.reading() as reader:
        inside = _inside(ask, reader)
        groups = [g for g in trial["groups"] if inside is None or g[2] in inside]
        rows = _grouped(groups, level)
        where = paging(ask, len(rows))
        shown = rows[where.offset : where.offset + where.size]
        names = school_names(reader, ask.site.party, [r["place"] for r in shown]) if level == "school" else {}
    places = {**ask.site.catalog.codes.division_names, **names}
    return ask.page(
        "rules/trial.html", trial=trial, rule=rule, rows=shown, names=places, basis=BASIS[trial["basis"]],
        levels=LEVELS, level=level, called=threshold_name, hits=sum(g[4] for g in groups), paging=where,
        entities={e.name: e.cn for e in ask.site.catalog.entities.values()} | {"run": "本轮"},
        called_field=lambda entity, field: field_name(ask.site.catalog, entity, field),
    )  # fmt: skip


def _inside(ask: Ask, reader: Any) -> set[str] | None:
    """Schools of the visitor's scope; None for all."""
    scopes = (*ask.scopes("query"), *ask.scopes("draft_rule"), *ask.scopes("confirm_rule"))
    if any(s.whole for s in scopes):
        return None
    xx = reader.golden("xx")
    query = sa.select(xx.c.xxdm).where(within_schools(reader, ask.site.party, scopes, xx.c.xxdm))
    return {str(code) for (code,) in reader.connection.execute(query)}


def _grouped(groups: list[Any], level: str) -> list[dict[str, Any]]:
    sums: dict[tuple[str, str, str], dict[str, Any]] = {}
    for entity, field, school, division, hits, records in groups:
        place = school if level == "school" or level not in LEVELS else place_above(division, level)
        new = {"place": place, "entity": entity, "field": field, "hits": 0, "records": ()}
        row = sums.setdefault((place, entity, field), new)
        row["hits"] += hits
        row["records"] = (*row["records"], *records)[:5]
    return sorted(sums.values(), key=lambda r: (-r["hits"], r["place"], r["entity"], r["field"]))


@section.post("/quarantine/{entity}/{src_rid}/recheck", allow="query")
def recheck(ask: Ask) -> Response:
    """Asks the row's rules again, of the kept source row."""
    entity, src_rid = str(ask.path["entity"]), str(ask.path["src_rid"])
    with ask.site.store.reading() as reader:
        held = of_node(reader, ask.site.party)
        rows = [r for r in of_row(reader, held, ask.scopes("query"), entity, src_rid) if not r.closed]
    if not rows:
        raise not_here("没有这一行，或不在您的数据范围内")
    node, catalog, day = open_node(ask.site.node.folder), ask.site.catalog, today(ask.at)
    rules = tuple(dict.fromkeys(r.rule for r in rows))

    def run(telling: Telling) -> dict[str, bool | None]:
        found: dict[str, bool | None] = {}
        for at, rule in enumerate(rules):
            telling.tell(f"按规则 {rule} 再判", at, len(rules))
            found[rule] = still_hit(node, catalog, rule, entity, src_rid, today=day)
        return found

    here = f"/quarantine/{entity}/{src_rid}"
    return start(ask, lambda token: Plan("重新检查", run, here, AGAIN, lambda _: f"{here}/rechecks/{token}"))


@section.get("/quarantine/{entity}/{src_rid}/rechecks/{token}", allow="query", manual="quarantine")
def rechecked(ask: Ask) -> Response:
    """What the rules say now."""
    found = work_of(ask, str(ask.path["token"])).outcome
    if not isinstance(found, dict):
        raise not_here("这次重新检查不在了")
    return ask.page(
        "rules/recheck.html", found=found, rules=ask.site.catalog.rules,
        here=f"/quarantine/{ask.path['entity']}/{ask.path['src_rid']}",
    )  # fmt: skip
